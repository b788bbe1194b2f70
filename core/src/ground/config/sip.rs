//! `[sip]`: where SIP is spoken, and as whom. What is absent here: sockets, which the host binds, and the meaning of URIs,
//! which the host has checked.

use std::fmt;
use std::net::SocketAddr;

use super::{Listener, ListenerTls, Protocol, Tls};
use crate::ground::hosts::Hosts;

/// `[sip]`. Without `listen` no SIP is spoken.
#[derive(Clone, Debug)]
pub struct Sip {
    /// The sockets, in the order of the file. Once they are bound, `address` is the real one.
    pub listen: Vec<SipListener>,
    /// The outbound proxy, a SIP URI: every request goes there. Without one each URI's own host is asked.
    pub proxy: Option<Box<str>>,
    /// Users and passwords for peers that ask; the first that fits a realm and a host counts.
    pub credentials: Vec<SipCredential>,
    /// The hosts that subscriptions may name; none are all.
    pub targets: Vec<Hosts>,
    /// New requests towards one address in a second; 0 is no bound.
    pub requests_per_second: u32,
    /// The URI in `From`; without one it is `sip:offhook@` and the host of the first socket.
    pub from: Option<Box<str>>,
    /// The host in `Via` and `Contact`, for sockets that are bound to an unspecified address or stand behind a NAT.
    pub host: Option<Box<str>>,
    /// How peers are verified that we connect to with TLS, and what they are shown.
    pub tls: Tls,
}

impl Default for Sip {
    fn default() -> Sip {
        Sip {
            listen: Vec::new(),
            proxy: None,
            credentials: Vec::new(),
            targets: Vec::new(),
            requests_per_second: 50,
            from: None,
            host: None,
            tls: Tls::default(),
        }
    }
}

impl Sip {
    /// Whether SIP is spoken at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.listen.is_empty()
    }

    /// Whether this says the same as another but for its sockets.
    #[must_use]
    pub fn speaks_as(&self, other: &Sip) -> bool {
        let Sip { listen: _, proxy, credentials, targets, requests_per_second, from, host, tls } = self;
        (proxy, credentials, targets, requests_per_second)
            == (&other.proxy, &other.credentials, &other.targets, &other.requests_per_second)
            && (from, host, tls) == (&other.from, &other.host, &other.tls)
    }

    /// The addresses of one transport, in their order: of UDP that is the number in `via`.
    pub fn addresses(&self, transport: SipTransport) -> impl Iterator<Item = SocketAddr> {
        self.listen.iter().filter(move |l| l.transport == transport).map(|l| l.address)
    }

    /// What the sockets that accept connections are among [`super::Config::listeners`], where they stand behind all others,
    /// in their order.
    pub fn listeners(&self) -> impl Iterator<Item = Listener> {
        let accepting = self.listen.iter().filter(|l| l.transport != SipTransport::Udp);
        accepting.map(|l| Listener { protocol: Protocol::Sip, tls: l.tls.clone(), ..Listener::default() })
    }
}

/// One socket of `[sip] listen`.
#[derive(Clone, Debug)]
pub struct SipListener {
    /// What it takes.
    pub transport: SipTransport,
    /// Where it is bound.
    pub address: SocketAddr,
    /// TLS on its connections; of [`SipTransport::Tls`] alone.
    pub tls: Option<ListenerTls>,
}

/// What SIP goes over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SipTransport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
    /// Connections with TLS.
    Tls,
}

impl SipTransport {
    /// The word of the config file, and of a URI's `transport`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SipTransport::Udp => "udp",
            SipTransport::Tcp => "tcp",
            SipTransport::Tls => "tls",
        }
    }
}

/// `sip:127.0.0.1:5060;transport=udp`; with TLS `sips:127.0.0.1:5061`.
impl fmt::Display for SipListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            SipTransport::Tls => write!(f, "sips:{}", self.address),
            SipTransport::Udp | SipTransport::Tcp => {
                write!(f, "sip:{};transport={}", self.address, self.transport.name())
            }
        }
    }
}

/// A user and a password for a realm.
#[derive(Clone, PartialEq, Eq)]
pub struct SipCredential {
    /// The realm; `*` is any.
    pub realm: Box<str>,
    /// The hosts that it is for; none are all that may be asked.
    pub hosts: Vec<Hosts>,
    /// The user.
    pub user: Box<str>,
    /// The password.
    pub password: Box<str>,
}

/// Passwords stay out of logs.
impl fmt::Debug for SipCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipCredential")
            .field("realm", &self.realm)
            .field("hosts", &self.hosts)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_shown_as_a_uri() {
        for (transport, address, shown) in [
            (SipTransport::Udp, "127.0.0.1:5060", "sip:127.0.0.1:5060;transport=udp"),
            (SipTransport::Tcp, "[::1]:5060", "sip:[::1]:5060;transport=tcp"),
            (SipTransport::Tls, "127.0.0.1:5061", "sips:127.0.0.1:5061"),
        ] {
            let listener = SipListener { transport, address: address.parse().unwrap(), tls: None };
            assert_eq!(listener.to_string(), shown);
        }
    }

    #[test]
    fn whatever_else_differs_is_seen() {
        let sip = Sip::default();
        let socket =
            SipListener { transport: SipTransport::Udp, address: "127.0.0.1:1".parse().unwrap(), tls: None };
        assert!(sip.speaks_as(&Sip { listen: vec![socket], ..Sip::default() }));
        for other in [
            Sip { proxy: Some("sip:a".into()), ..Sip::default() },
            Sip { requests_per_second: 1, ..Sip::default() },
            Sip { targets: vec!["a".parse().unwrap()], ..Sip::default() },
            Sip { from: Some("sip:a@b".into()), ..Sip::default() },
            Sip { host: Some("b".into()), ..Sip::default() },
            Sip { tls: Tls { insecure: true, ..Tls::default() }, ..Sip::default() },
        ] {
            assert!(!sip.speaks_as(&other), "{other:?}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let credential = SipCredential {
            realm: "*".into(),
            hosts: Vec::new(),
            user: "gateway".into(),
            password: "open sesame".into(),
        };
        let sip = Sip { credentials: vec![credential], ..Sip::default() };
        assert!(!format!("{sip:?}").contains("sesame"));
    }
}
