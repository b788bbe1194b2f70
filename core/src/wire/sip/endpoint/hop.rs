//! Where a request goes first (RFC 3261 sections 8.1.2 and 12.2.1.1): host, port and transport.
//!
//! What is absent here: SRV and NAPTR, so that a URI that names no transport means UDP, and no port means 5060 or 5061;
//! and route sets: a dialog says which hop is the first, since the request does not tell it once a strict router has
//! moved into its URI.

use std::net::IpAddr;

use super::super::message::Message;
use super::super::uri::{NameAddr, Uri};

/// How messages travel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    /// The word in a `Via`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
        }
    }
}

/// The next hop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Hop {
    /// A name or an address.
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) transport: Transport,
    /// The name that a certificate must have.
    pub(super) certified: Box<str>,
}

impl Hop {
    /// The next hop of a request: the first of its dialog's `route`, else the proxy, else what its URI says. None if its
    /// URI is no SIP URI, may not stand in a request (RFC 3261 section 19.1.1) or asks for a transport that is not spoken
    /// here.
    pub(super) fn of(request: &Message, route: Option<&str>, proxy: Option<&Uri>) -> Option<Hop> {
        let target: Uri = request.uri()?.parse().ok().filter(|uri: &Uri| uri.headers.is_none())?;
        let next = match (route, proxy) {
            (Some(route), _) => route.parse::<NameAddr>().ok()?.uri.parse().ok()?,
            (None, Some(proxy)) => proxy.clone(),
            (None, None) => target.clone(),
        };
        // A sips target makes every hop one (RFC 3261 section 8.1.2).
        Hop::to(&next, next.secure || target.secure)
    }

    fn to(uri: &Uri, secure: bool) -> Option<Hop> {
        let named = uri.param("transport").unwrap_or("udp").to_ascii_lowercase();
        let transport = match &*named {
            _ if secure => Transport::Tls,
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            _ => return None,
        };
        let port = uri.port.unwrap_or(if transport == Transport::Tls { 5061 } else { 5060 });
        let host = uri.param("maddr").filter(|maddr| !maddr.is_empty()).unwrap_or(&uri.host);
        Some(Hop { host: host.into(), port, transport, certified: uri.host.clone() })
    }

    /// The host, if it is an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, route: &str, proxy: Option<&str>, expected: Option<(&str, u16, Transport)>) {
        let request = Message::request("SUBSCRIBE", uri);
        let proxy: Option<Uri> = proxy.map(|proxy| proxy.parse().unwrap());
        let hop = Hop::of(&request, Some(route).filter(|route| !route.is_empty()), proxy.as_ref());
        let found = hop.as_ref().map(|hop| (&*hop.host, hop.port, hop.transport));
        assert_eq!(found, expected, "{uri} {route} {proxy:?}");
    }

    #[test]
    fn rfc3261_8_1_2_the_next_hop() {
        use Transport::{Tcp, Tls, Udp};
        let proxy = Some("sip:proxy.test;transport=tcp");
        check("sip:bill@example.com", "", None, Some(("example.com", 5060, Udp)));
        check("sip:bill@example.com:5070", "", None, Some(("example.com", 5070, Udp)));
        check("sips:bill@example.com", "", None, Some(("example.com", 5061, Tls)));
        check("sip:bill@example.com;transport=TCP", "", None, Some(("example.com", 5060, Tcp)));
        check("sip:bill@example.com;transport=tls", "", None, Some(("example.com", 5061, Tls)));
        check("sip:bill@example.com;transport=sctp", "", None, None);
        check("sip:bill@example.com;maddr=192.0.2.9", "", None, Some(("192.0.2.9", 5060, Udp)));
        check("sip:[2001:db8::1]:5070", "", None, Some(("2001:db8::1", 5070, Udp)));
        check("sip:bill@example.com", "", proxy, Some(("proxy.test", 5060, Tcp)));
        check("sip:bill@example.com", "<sip:192.0.2.1;lr>", proxy, Some(("192.0.2.1", 5060, Udp)));
        check("sips:a@b.test", "<sip:192.0.2.1;lr>", None, Some(("192.0.2.1", 5061, Tls)));
        check("sip:192.0.2.7", "<sip:example.com:5070>", proxy, Some(("example.com", 5070, Udp)));
        check("sip:a@b.test", "nonsense", None, None);
        check("tel:+1", "", None, None);
        check("sip:bill@example.com?Subject=x", "", None, None);
    }
}
