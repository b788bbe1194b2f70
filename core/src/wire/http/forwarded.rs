//! What proxies add to the requests that they pass on: `Forwarded` (RFC 7239) and its older kin, `X-Forwarded-For` and
//! `X-Forwarded-Proto`. Whether they are to be believed is not known here.

use super::head::is_tchar;
use std::net::{IpAddr, Ipv6Addr};

use super::head::Head;
use crate::wire::Fault;

const MALFORMED: Fault = Fault::bad("the proxy sent a malformed Forwarded or X-Forwarded-For");
const CONTRADICTION: Fault = Fault::bad(
    "Forwarded and X-Forwarded-For name different clients: let the proxy set one of them, and remove the other",
);
const NAMELESS: Fault = Fault::bad("the proxy does not say for which address it forwards");

/// The address that a request comes from: the rightmost that is no proxy of ours, or the leftmost of all. `None`: the
/// request names nobody, and so is the proxy's own.
///
/// # Errors
/// What proxies said makes no sense, and an answer to the one who connected is all that is left.
pub fn client(head: &Head<'_>, is_proxy: impl Fn(IpAddr) -> bool) -> Result<Option<IpAddr>, Fault> {
    let mut found: Option<IpAddr> = None;
    for name in ["forwarded", "x-forwarded-for"] {
        let nodes = match name {
            // What stands before an element without a node, that one's proxy did not vouch for.
            "forwarded" => standard(head)?
                .rsplit(|element| element.node.is_none())
                .next()
                .map_or_else(Vec::new, |vouched| {
                    vouched.iter().filter_map(|element| element.node.clone()).collect()
                }),
            _ => plain(head),
        };
        let Some(client) = rightmost(&nodes, &is_proxy)? else { continue };
        if found.is_some_and(|other| other != client) {
            return Err(CONTRADICTION);
        }
        found = Some(client);
    }
    Ok(found)
}

/// Whether the client spoke https to the proxy next to us.
#[must_use]
pub fn is_https(head: &Head<'_>) -> bool {
    let standard = standard(head).unwrap_or_default();
    let of_standard = standard.last().and_then(|element| element.proto.as_deref());
    let of_old = || list(head, "x-forwarded-proto").last().map(|proto| proto.trim());
    of_standard.or_else(of_old).is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
}

fn rightmost(nodes: &[String], is_proxy: impl Fn(IpAddr) -> bool) -> Result<Option<IpAddr>, Fault> {
    let mut last = None;
    for node in nodes.iter().rev() {
        // Whom a proxy of ours hides, nobody can judge.
        let address = address(node).ok_or(NAMELESS)?.to_canonical();
        if !is_proxy(address) {
            return Ok(Some(address));
        }
        last = Some(address);
    }
    Ok(last)
}

/// All values of a field that is a list, over all its lines.
fn list<'a>(head: &Head<'a>, name: &'a str) -> Vec<&'a str> {
    let values = head.fields().iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    values.flat_map(|value| value.split(',')).collect()
}

fn plain(head: &Head<'_>) -> Vec<String> {
    list(head, "x-forwarded-for").into_iter().map(|node| node.trim().to_owned()).collect()
}

/// What one proxy said.
#[derive(Default)]
struct Element {
    node: Option<String>,
    proto: Option<String>,
}

/// RFC 7239 section 4: elements between commas, pairs between semicolons, values that are tokens or quoted.
fn standard(head: &Head<'_>) -> Result<Vec<Element>, Fault> {
    let mut elements = Vec::new();
    let lines = head.fields().iter().filter(|(name, _)| name.eq_ignore_ascii_case("forwarded"));
    for (_, line) in lines {
        let mut rest = line.trim();
        let mut element = Element::default();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').ok_or(MALFORMED)?;
            let (value, after) = value(after)?;
            match name.trim() {
                name if !is_token(name) => return Err(MALFORMED),
                name if name.eq_ignore_ascii_case("for") && element.node.is_none() => {
                    element.node = Some(value)
                }
                name if name.eq_ignore_ascii_case("proto") && element.proto.is_none() => {
                    element.proto = Some(value);
                }
                name if name.eq_ignore_ascii_case("for") || name.eq_ignore_ascii_case("proto") => {
                    return Err(MALFORMED);
                }
                _ => {}
            }
            let after = after.trim_start();
            rest = match after.chars().next() {
                None => "",
                Some(';') => after[1..].trim_start(),
                Some(',') => {
                    elements.push(std::mem::take(&mut element));
                    after[1..].trim_start()
                }
                Some(_) => return Err(MALFORMED),
            };
        }
        elements.push(element);
    }
    Ok(elements)
}

/// A token or a quoted string at the start, and what is behind it.
fn value(text: &str) -> Result<(String, &str), Fault> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return if is_token(token) { Ok((token.to_owned(), rest)) } else { Err(MALFORMED) };
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next().ok_or(MALFORMED)?.1),
            c => value.push(c),
        }
    }
    Err(MALFORMED)
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// The address of a node (RFC 7239 section 6), with or without a port. `unknown` and `_hidden` are none.
fn address(node: &str) -> Option<IpAddr> {
    let is_port = |port: &str| port.is_empty() || port.starts_with(':');
    if let Some(rest) = node.strip_prefix('[') {
        let (v6, port) = rest.split_once(']')?;
        return v6.parse::<Ipv6Addr>().ok().filter(|_| is_port(port)).map(IpAddr::V6);
    }
    // Without brackets, as X-Forwarded-For has them.
    node.parse().ok().or_else(|| node.split_once(':')?.0.parse().ok().map(IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::network::Network;
    use crate::wire::http::head::parse;

    fn with<R>(fields: &str, ask: impl FnOnce(&Head<'_>) -> R) -> R {
        let text = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", fields.replace('\n', "\r\n"));
        ask(&parse(text.as_bytes(), 100).unwrap())
    }

    #[test]
    fn the_rightmost_that_is_no_proxy() {
        let proxies: Vec<Network> = ["10.0.0.0/8", "fd00::/8"].iter().map(|n| n.parse().unwrap()).collect();
        let is_proxy = |address| proxies.iter().any(|network| network.contains(address));
        for (fields, expected) in [
            ("", Ok(None)),
            ("X-Forwarded-For: 192.0.2.1\n", Ok(Some("192.0.2.1"))),
            ("X-Forwarded-For: 127.0.0.1, 192.0.2.1\n", Ok(Some("192.0.2.1"))),
            ("X-Forwarded-For: nonsense, 192.0.2.1,10.0.0.9\n", Ok(Some("192.0.2.1"))),
            ("X-Forwarded-For: 127.0.0.1\nX-Forwarded-For: 192.0.2.1\n", Ok(Some("192.0.2.1"))),
            ("X-Forwarded-For: 10.0.0.7, 10.0.0.8\n", Ok(Some("10.0.0.7"))),
            ("X-Forwarded-For: 192.0.2.1:4711\n", Ok(Some("192.0.2.1"))),
            ("X-Forwarded-For: 2001:db8::1\n", Ok(Some("2001:db8::1"))),
            ("X-Forwarded-For: [2001:db8::1]:9, fd00::1\n", Ok(Some("2001:db8::1"))),
            ("X-Forwarded-For: ::ffff:10.0.0.1, ::ffff:192.0.2.4\n", Ok(Some("192.0.2.4"))),
            ("X-Forwarded-For: nonsense\n", Err("does not say")),
            ("X-Forwarded-For: 192.0.2.1, \n", Err("does not say")),
            ("X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1\n", Err("does not say")),
            // The examples of RFC 7239 sections 4 and 7.
            ("Forwarded: for=\"_gazonk\"\n", Err("does not say")),
            ("Forwarded: For=\"[2001:db8:cafe::17]:4711\"\n", Ok(Some("2001:db8:cafe::17"))),
            ("Forwarded: for=192.0.2.60;proto=http;by=203.0.113.43\n", Ok(Some("192.0.2.60"))),
            ("Forwarded: for=192.0.2.43, for=198.51.100.17\n", Ok(Some("198.51.100.17"))),
            ("Forwarded: for=192.0.2.43,for=\"[fd00::17]\";by=\"a,b;c\\\"\"\n", Ok(Some("192.0.2.43"))),
            ("Forwarded: for=192.0.2.43\nForwarded: for=198.51.100.17\n", Ok(Some("198.51.100.17"))),
            ("Forwarded: by=10.0.0.1\n", Ok(None)),
            ("Forwarded: for=127.0.0.1, proto=https;host=h\n", Ok(None)),
            ("Forwarded: for=127.0.0.1, proto=https, for=192.0.2.1\n", Ok(Some("192.0.2.1"))),
            ("Forwarded: for=unknown\n", Err("does not say")),
            ("Forwarded: for=\"192.0.2.43\n", Err("malformed")),
            ("Forwarded: for=[::1]\n", Err("malformed")),
            ("Forwarded: for\n", Err("malformed")),
            ("Forwarded: b(y=10.0.0.1\n", Err("malformed")),
            ("Forwarded: for=192.0.2.1;for=192.0.2.2\n", Err("malformed")),
            ("Forwarded: for=192.0.2.1 for=192.0.2.2\n", Err("malformed")),
            // What the proxy adds beside what the client brought.
            ("Forwarded: for=192.0.2.1\nX-Forwarded-For: 192.0.2.1\n", Ok(Some("192.0.2.1"))),
            ("Forwarded: for=127.0.0.1\nX-Forwarded-For: 192.0.2.1\n", Err("different clients")),
        ] {
            let expected = expected.map(|address| address.map(|text: &str| text.parse::<IpAddr>().unwrap()));
            match (with(fields, |head| client(head, is_proxy)), expected) {
                (Err(fault), Err(part)) => assert!(fault.reason.contains(part), "{fields}: {fault:?}"),
                (found, expected) => assert_eq!(found.ok(), expected.ok(), "{fields}"),
            }
        }
    }

    #[test]
    fn the_scheme_of_the_client() {
        for (fields, https) in [
            ("", false),
            ("X-Forwarded-Proto: https\n", true),
            ("X-Forwarded-Proto: http, HTTPS\n", true),
            ("X-Forwarded-Proto: https, http\n", false),
            ("Forwarded: for=192.0.2.1;proto=https\n", true),
            ("Forwarded: proto=https, for=192.0.2.1;proto=http\nX-Forwarded-Proto: https\n", false),
        ] {
            assert_eq!(with(fields, is_https), https, "{fields}");
        }
    }
}
