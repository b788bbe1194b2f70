//! What an endpoint is told at its start, and what follows from it for `Via` and `Contact`.

use std::net::SocketAddr;

use super::super::uri::Uri;
use super::hop::Transport;
use crate::ground::limits::Limits;

/// What an endpoint is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the UDP sockets are bound to. One is chosen by the family of the address that is sent to.
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
    /// The UDP socket that reaches `to`: its place.
    pub(super) fn socket(&self, to: SocketAddr) -> Option<u16> {
        let at = self.udp.iter().position(|bound| bound.is_ipv4() == to.is_ipv4())?;
        u16::try_from(at).ok()
    }

    /// The `sent-by` of a `Via` (RFC 3261 section 18.1.1): where answers find us without the request's own way.
    pub(super) fn sent_by(&self, transport: Transport, to: SocketAddr) -> Box<str> {
        let bound = self.bound(transport);
        let same = bound.iter().find(|bound| bound.is_ipv4() == to.is_ipv4());
        match (same.or(bound.first()), self.udp.first()) {
            (Some(listener), _) => self.authority(*listener, Some(listener.port())),
            (None, Some(other)) => self.authority(*other, None),
            (None, None) => self.advertised.as_deref().map_or_else(|| "invalid.invalid".into(), bracketed),
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
            None => self.advertised.as_deref().map_or_else(|| "invalid.invalid".into(), bracketed),
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

    fn authority(&self, bound: SocketAddr, port: Option<u16>) -> Box<str> {
        let host = self.advertised.as_deref().map_or_else(|| bracketed(&bound.ip().to_string()), bracketed);
        port.map_or_else(|| host.clone(), |port| format!("{host}:{port}").into())
    }
}

/// A host as it stands in a URI: IPv6 in brackets.
fn bracketed(host: &str) -> Box<str> {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]").into() } else { host.into() }
}
