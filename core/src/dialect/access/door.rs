//! `/v1` without tokens: open to peers on this machine alone, and only when nothing hints that somebody else speaks
//! through them. A proxy on the same host and a name that was rebound to 127.0.0.1 must not open the door.

use std::net::{IpAddr, Ipv6Addr};

use crate::ground::network::is_loopback;
use crate::wire::http::head::Head;

/// Header fields that a proxy adds.
const PROXY_FIELDS: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// Whether a request hints that somebody speaks through its peer. `forwarded`: a proxy of ours has said who that is, and
/// the peer is that one.
pub(super) fn is_proxied(forwarded: bool, head: &Head<'_>) -> bool {
    !forwarded && PROXY_FIELDS.iter().any(|name| head.field(name).is_some())
}

/// Why a peer may not use `/v1`, if so.
pub(super) fn refusal(peer: IpAddr, forwarded: bool, head: &Head<'_>) -> Option<&'static str> {
    if !is_loopback(peer) {
        return Some("without tokens, /v1 is open to peers on this machine alone");
    }
    if is_proxied(forwarded, head) {
        return Some("without tokens, /v1 is closed to requests that come through a proxy");
    }
    // HTTP/1.0 may leave Host out; one that is there and empty names nobody.
    if !head.host.map_or(head.field("host").is_none(), names_loopback) {
        return Some("without tokens, /v1 is open only when Host is localhost or a loopback address");
    }
    None
}

/// Whether a `Host` value is `localhost` or a loopback address, with or without a port.
fn names_loopback(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(ip, port)| {
            ip.parse::<Ipv6Addr>().is_ok_and(|ip| is_loopback(ip.into())) && is_port(port)
        });
    }
    let (name, port) = match host.find(':') {
        Some(at) => host.split_at(at),
        None => (host, ""),
    };
    let loopback = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(is_loopback);
    loopback && is_port(port)
}

fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok() || p.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::head::parse;

    #[test]
    fn the_door() {
        for (peer, fields, open) in [
            ("127.0.0.1", "Host: localhost:8080\r\n", true),
            ("127.8.8.8", "Host: 127.0.0.1\r\n", true),
            ("::1", "Host: [::1]:80\r\n", true),
            ("::ffff:127.0.0.1", "Host: LOCALHOST\r\n", true),
            ("192.0.2.1", "Host: localhost\r\n", false),
            ("127.0.0.1", "Host: evil.example\r\n", false),
            ("127.0.0.1", "Host: localhost.evil.example\r\n", false),
            ("127.0.0.1", "Host: 127.0.0.1.evil.example\r\n", false),
            ("127.0.0.1", "Host: [::2]\r\n", false),
            ("127.0.0.1", "Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n", false),
            ("127.0.0.1", "Host: localhost\r\nVia: 1.1 x\r\n", false),
            ("127.0.0.1", "Host: localhost\r\nFORWARDED: for=x\r\n", false),
        ] {
            let text = format!("GET /v1/events HTTP/1.1\r\n{fields}\r\n");
            let head = parse(text.as_bytes(), 100).unwrap();
            assert_eq!(refusal(peer.parse().unwrap(), false, &head).is_none(), open, "{peer} {fields}");
        }
    }
}
