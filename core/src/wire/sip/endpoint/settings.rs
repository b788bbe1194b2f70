//! What an endpoint is told at its start, and what follows from it for `Via` and `Contact`.

use std::net::SocketAddr;

use super::super::uri::{Uri, bracketed};
use super::hop::Transport;
use crate::ground::limits::Limits;

/// What an endpoint is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the UDP sockets are bound to. The one nearest to the address that is sent to is chosen.
    pub udp: Vec<SocketAddr>,
    /// What the TCP listeners are bound to. Without one we still dial.
    pub tcp: Vec<SocketAddr>,
    /// What the TLS listeners are bound to.
    pub tls: Vec<SocketAddr>,
    /// The host in `Via` and `Contact`; needed where the sockets are bound to an unspecified address.
    pub advertised: Option<Box<str>>,
    /// Where requests without a `Route` go.
    pub proxy: Option<Uri>,
    /// New requests towards one address within any second; 0 is no bound. Copies over UDP are not counted.
    pub requests_per_second: u32,
    /// A request that is longer goes by TCP (RFC 3261 section 18.1.1).
    pub datagram_max: usize,
    /// Body types that the answer to an OPTIONS names.
    pub accept: Box<str>,
    /// Bounds: the rows `sip_…`.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            udp: Vec::new(),
            tcp: Vec::new(),
            tls: Vec::new(),
            advertised: None,
            proxy: None,
            requests_per_second: 100,
            datagram_max: 1_300,
            accept: "*/*".into(),
            limits: Limits::default(),
        }
    }
}

impl Settings {
    /// The UDP socket that reaches `to`, as its place, and `to` as that socket has to name it: one of IPv6 that is bound to
    /// no address in particular reaches IPv4 too.
    pub(super) fn socket(&self, to: SocketAddr) -> Option<(u16, SocketAddr)> {
        let at = nearest(&self.udp, to)?;
        let to = match to {
            SocketAddr::V4(v4) if self.udp[at].is_ipv6() => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => to,
        };
        u16::try_from(at).ok().map(|at| (at, to))
    }

    /// The `sent-by` of a `Via` (RFC 3261 section 18.1.1): where answers find us without the request's own way.
    pub(super) fn sent_by(&self, transport: Transport, to: SocketAddr) -> Box<str> {
        let bound = self.bound(transport);
        let near = |bound: &[SocketAddr]| nearest(bound, to).map(|at| bound[at]).or(bound.first().copied());
        match (near(bound), near(&self.udp)) {
            (Some(listener), _) => self.authority(listener, Some(listener.port())),
            (None, Some(other)) => self.authority(other, None),
            (None, None) => self.nameless(),
        }
    }

    /// Our address as a URI.
    pub(super) fn contact(&self, user: &str, secure: bool) -> Box<str> {
        let mut ways = [
            (Transport::Udp, "sip", ""),
            (Transport::Tcp, "sip", ";transport=tcp"),
            (Transport::Tls, "sips", ""),
        ];
        ways.rotate_right(usize::from(secure));
        let chosen = ways.iter().find(|(transport, ..)| !self.bound(*transport).is_empty());
        let (transport, scheme, params) = *chosen.unwrap_or(&ways[0]);
        let at = if user.is_empty() { "" } else { "@" };
        let authority = match self.bound(transport).first() {
            Some(bound) => self.authority(*bound, Some(bound.port())),
            None => self.nameless(),
        };
        format!("{scheme}:{user}{at}{authority}{params}").into()
    }

    fn bound(&self, transport: Transport) -> &[SocketAddr] {
        match transport {
            Transport::Udp => &self.udp,
            Transport::Tcp => &self.tcp,
            Transport::Tls => &self.tls,
        }
    }

    /// The host where there is no socket at all.
    fn nameless(&self) -> Box<str> {
        self.advertised.as_deref().map_or_else(|| "invalid.invalid".into(), bracketed)
    }

    fn authority(&self, bound: SocketAddr, port: Option<u16>) -> Box<str> {
        let host = self.advertised.as_deref().map_or_else(|| bracketed(&bound.ip().to_string()), bracketed);
        port.map_or_else(|| host.clone(), |port| format!("{host}:{port}").into())
    }
}

/// The place of the bound address from which `to` is reached best: of its family, and of this machine alone or not.
fn nearest(bound: &[SocketAddr], to: SocketAddr) -> Option<usize> {
    let distance = |from: &SocketAddr| {
        let same_family = from.is_ipv4() == to.is_ipv4();
        let is_any = from.ip().is_unspecified();
        let reaches = same_family || from.is_ipv6() && is_any;
        let same_scope = is_any || from.ip().is_loopback() == to.ip().is_loopback();
        reaches.then_some((!same_family, !same_scope))
    };
    let distances = bound.iter().enumerate().filter_map(|(at, from)| distance(from).map(|far| (far, at)));
    distances.min().map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_that_reaches_an_address() {
        let check = |udp: &[&str], to: &str, expected: Option<(u16, &str)>| {
            let udp = udp.iter().map(|bound| bound.parse().unwrap()).collect();
            let settings = Settings { udp, ..Settings::default() };
            let expected = expected.map(|(at, to)| (at, to.parse().unwrap()));
            assert_eq!(settings.socket(to.parse().unwrap()), expected, "{:?} {to}", settings.udp);
        };
        let to = "192.0.2.1:5060";
        check(&["0.0.0.0:5060"], to, Some((0, to)));
        check(&["127.0.0.1:5060", "192.0.2.9:5060"], to, Some((1, to)));
        check(&["192.0.2.9:5060", "127.0.0.1:5060"], "127.0.0.2:5080", Some((1, "127.0.0.2:5080")));
        check(&["192.0.2.9:5060"], "127.0.0.1:5080", Some((0, "127.0.0.1:5080")));
        check(&["[::]:5060"], to, Some((0, "[::ffff:192.0.2.1]:5060")));
        check(&["[::]:5060", "0.0.0.0:5070"], to, Some((1, to)));
        check(&["[2001:db8::1]:5060"], to, None);
        check(&["0.0.0.0:5060", "[2001:db8::1]:5060"], "[2001:db8::2]:5060", Some((1, "[2001:db8::2]:5060")));
        check(&["0.0.0.0:5060"], "[2001:db8::2]:5060", None);
        check(&[], to, None);
    }
}
