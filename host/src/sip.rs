//! The sockets of `[sip] listen`: bound once, before any shard runs, for shard 0 alone. What is said on them is the core's
//! affair.

use std::io;
use std::net::TcpListener;

use offhook_core::ground::config::{Config, SipCredential, SipListener, SipTransport};
use offhook_core::ground::network::is_loopback;

use crate::listen;
use crate::udp::Udp;

/// All sockets, each kind in the order of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) udp: Vec<Udp>,
    /// Those that accept connections, with TLS or without.
    pub(crate) listeners: Vec<TcpListener>,
}

/// Binds them, and writes into the configuration where they are: port 0 is any that is free.
pub(crate) fn bind(config: &mut Config) -> Result<Sockets, String> {
    let mut sockets = Sockets::default();
    for listener in &mut config.sip.listen {
        let address = match listener.transport {
            SipTransport::Udp => {
                let via = u16::try_from(sockets.udp.len()).expect("the config file has few sockets");
                let limits = &config.limits;
                Udp::bind(via, listener.address, limits.udp_receive_bytes, limits.udp_send_bytes).and_then(
                    |udp| {
                        let address = udp.address();
                        sockets.udp.push(udp);
                        address
                    },
                )
            }
            SipTransport::Tcp | SipTransport::Tls => {
                listen::bind(listener.address, config.limits.send_buffer_bytes).and_then(|tcp| {
                    let address = tcp.local_addr();
                    sockets.listeners.push(tcp);
                    address
                })
            }
        };
        listener.address = address.map_err(|error| cannot_listen(listener, &error))?;
    }
    Ok(sockets)
}

fn cannot_listen(listener: &SipListener, error: &io::Error) -> String {
    let place = format!("{}:{}", listener.transport.name(), listener.address);
    listen::cannot_have(&place, error, "listen in [sip]")
}

/// The lines about sockets that other machines reach, and about passwords that go anywhere.
pub(crate) fn exposed(config: &Config) -> Vec<String> {
    let sockets = config.sip.listen.iter().filter(|socket| !is_loopback(socket.address.ip()));
    let line = |socket: &SipListener| {
        let (transport, address) = (socket.transport.name(), socket.address);
        format!(
            "[sip] listen \"{transport}:{address}\" is reached from other machines: whoever sends SIP there is answered \
             within bounds, and what belongs to no subscription of this server changes nothing (docs/sip.md); a packet \
             filter that lets in its SIP peers alone is better still"
        )
    };
    let credentials =
        config.sip.credentials.iter().filter(|c| c.hosts.is_empty() && config.sip.targets.is_empty());
    let loose = |credential: &SipCredential| {
        format!(
            "[sip] credentials: the password of realm \"{}\" is for every host that a subscription names, and whoever asks \
             there gets a digest of it, from which a weak one can be guessed; name its hosts, or set targets (docs/sip.md)",
            credential.realm
        )
    };
    sockets.map(line).chain(credentials.map(loose)).collect()
}

#[cfg(test)]
mod tests {
    use offhook_core::ground::hosts::Hosts;

    use super::*;

    fn config(listen: &[(SipTransport, &str)]) -> Config {
        let mut config = Config::default();
        let listener = |(transport, address): &(SipTransport, &str)| SipListener {
            transport: *transport,
            address: address.parse().unwrap(),
            tls: None,
        };
        config.sip.listen = listen.iter().map(listener).collect();
        config
    }

    #[test]
    fn real_ports_go_into_the_config() {
        let any = "127.0.0.1:0";
        let mut config =
            config(&[(SipTransport::Udp, any), (SipTransport::Tcp, any), (SipTransport::Udp, any)]);
        let sockets = bind(&mut config).unwrap();
        let bound: Vec<_> = config.sip.listen.iter().map(|socket| socket.address).collect();
        assert!(bound.iter().all(|address| address.port() != 0));
        let udp: Vec<_> = sockets.udp.iter().map(|udp| (udp.via, udp.address().unwrap())).collect();
        assert_eq!(udp, [(0, bound[0]), (1, bound[2])]);
        assert_eq!(sockets.listeners[0].local_addr().unwrap(), bound[1]);
    }

    #[test]
    fn a_taken_port_is_named() {
        for transport in [SipTransport::Udp, SipTransport::Tcp] {
            let mut config = config(&[(transport, "127.0.0.1:0")]);
            let _sockets = bind(&mut config).unwrap();
            let (name, address) = (transport.name(), config.sip.listen[0].address);
            assert_eq!(
                bind(&mut config).unwrap_err(),
                format!(
                    "cannot listen on {name}:{address}: Address already in use; another process listens there; stop it, or \
                     choose another address (listen in [sip])"
                )
            );
        }
    }

    #[test]
    fn who_is_reached_from_outside_is_told() {
        let udp = SipTransport::Udp;
        let config =
            config(&[(udp, "127.0.0.1:1"), (udp, "0.0.0.0:2"), (udp, "[::1]:3"), (udp, "192.0.2.1:4")]);
        let lines = exposed(&config);
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with("[sip] listen \"udp:0.0.0.0:2\" is reached from other machines"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_password_that_goes_anywhere_is_told() {
        let hosts = |text: &str| -> Vec<Hosts> { vec![text.parse().unwrap()] };
        let credential = |realm: &str, hosts| SipCredential {
            realm: realm.into(),
            hosts,
            user: "gateway".into(),
            password: "open sesame".into(),
        };
        let mut config = config(&[(SipTransport::Udp, "127.0.0.1:1")]);
        config.sip.credentials = vec![credential("pbx", hosts("pbx.example")), credential("*", Vec::new())];
        let lines = exposed(&config);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("[sip] credentials: the password of realm \"*\" is for every host"),
            "{lines:?}"
        );
        assert!(!lines[0].contains("sesame"));
        config.sip.targets = hosts("*.example");
        assert_eq!(exposed(&config), [""; 0]);
    }
}
