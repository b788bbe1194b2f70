//! URLs that requests are sent to: `http` or `https`, a host, perhaps a port, and a path and query that are sent byte
//! for byte as they stand. Absent: user information, fragments, relative references, and repair of what is malformed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A URL that a request can be sent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    /// `https`; else `http`.
    pub https: bool,
    /// The host: a name in lower case, or an address without brackets.
    pub host: Box<str>,
    /// The port, the scheme's own if none is written.
    pub port: u16,
    /// Host and port as they are written: the value of `Host`.
    pub authority: Box<str>,
    /// Path and query as they are written, from the first `/` on: the request's target.
    pub target: Box<str>,
}

/// Why a text is no such URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UrlFault {
    /// The character at fault; the first is 1.
    pub at: usize,
    /// A sentence.
    pub reason: &'static str,
}

impl fmt::Display for UrlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at, self.reason)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.https { "https" } else { "http" }, self.authority, self.target)
    }
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str) -> Result<Url, UrlFault> {
        let (scheme, after) = text.split_once("://").ok_or_else(|| fault(text, 0, SCHEME))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(fault(text, 0, SCHEME)),
        };
        let host_at = scheme.len() + 3;
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        if let Some(at) = authority.find('@') {
            let reason = "a user name in the URL is not taken; there are settings for credentials";
            return Err(fault(text, host_at + at, reason));
        }
        let (host, port) = host_and_port(authority).map_err(|(at, why)| fault(text, host_at + at, why))?;
        let rest_at = host_at + end;
        check_rest(rest).map_err(|(at, why)| fault(text, rest_at + at, why))?;
        let slash = if rest.starts_with('/') { "" } else { "/" };
        Ok(Url {
            https,
            host: host.into(),
            port: port.unwrap_or(if https { 443 } else { 80 }),
            authority: authority.into(),
            target: format!("{slash}{rest}").into(),
        })
    }

    /// Whether there is a query, be it an empty one.
    #[must_use]
    pub fn has_query(&self) -> bool {
        self.target.contains('?')
    }

    /// The host's address, if the host is one and not a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

const SCHEME: &str = "a URL begins with http:// or https://";

fn fault(text: &str, byte: usize, reason: &'static str) -> UrlFault {
    UrlFault { at: text.get(..byte).unwrap_or(text).chars().count() + 1, reason }
}

/// A place in a part of the URL, and what is wrong there.
type Place = (usize, &'static str);

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), Place> {
    let (host, port_at) = if let Some(rest) = authority.strip_prefix('[') {
        let (inner, _) = rest.split_once(']').ok_or((0, "a `[` without its `]`"))?;
        let address: Ipv6Addr = inner.parse().map_err(|_| (1, "no IPv6 address stands in the brackets"))?;
        (address.to_string(), inner.len() + 2)
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        (host_name(&authority[..end])?, end)
    };
    let port = match authority[port_at..].strip_prefix(':') {
        Some(digits) => {
            let sound = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let port = digits.parse::<u16>().ok().filter(|port| sound && *port > 0);
            Some(port.ok_or((port_at + 1, "a port is a number from 1 to 65535"))?)
        }
        None if authority.len() > port_at => {
            return Err((port_at, "after the host comes `:` and a port, or a `/`"));
        }
        None => None,
    };
    Ok((host, port))
}

/// A name as DNS has them (underscores too, as they are in use), or an IPv4 address.
fn host_name(host: &str) -> Result<String, Place> {
    if host.is_empty() {
        return Err((0, "the host is missing"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if let Some(at) = host.find(|c| !allowed(c)) {
        return Err((at, "a host is a name of letters, digits, `-`, `_` and `.`, or an address"));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err((0, "a part of the host's name is empty or too long"));
    }
    // Resolvers take 127.1 and 0x7f000001 for addresses; we take neither for anything.
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    if (hexadecimal || last.bytes().all(|b| b.is_ascii_digit())) && host.parse::<Ipv4Addr>().is_err() {
        return Err((0, "the host looks like an IPv4 address and is none"));
    }
    Ok(host.to_ascii_lowercase())
}

/// Path and query: what RFC 3986 allows in them, and brackets, which many servers want in queries.
fn check_rest(rest: &str) -> Result<(), Place> {
    let bytes = rest.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'#' => return Err((at, "a fragment is never sent")),
            b'%' if !is_triplet(&bytes[at..]) => {
                return Err((at, "a `%` begins a percent triplet, such as %25 for the sign itself"));
            }
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                return Err((at, "this character must be percent-encoded"));
            }
            0x21..=0x7e => {}
            _ => {
                return Err((at, "blanks, control characters and what is not ASCII must be percent-encoded"));
            }
        }
    }
    Ok(())
}

/// Whether the text begins with a percent triplet (RFC 3986 section 2.1).
#[must_use]
pub fn is_triplet(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, https, host, port, authority, target) in [
            ("http://h", false, "h", 80, "h", "/"),
            ("https://h", true, "h", 443, "h", "/"),
            ("HTTP://Example.COM:8080/A/b?C=d", false, "example.com", 8080, "Example.COM:8080", "/A/b?C=d"),
            (
                "https://1.2.3.4:8443/Face/eventNotify",
                true,
                "1.2.3.4",
                8443,
                "1.2.3.4:8443",
                "/Face/eventNotify",
            ),
            ("http://[2001:DB8::1]/x", false, "2001:db8::1", 80, "[2001:DB8::1]", "/x"),
            ("http://[::1]:81", false, "::1", 81, "[::1]:81", "/"),
            ("http://h?a=b", false, "h", 80, "h", "/?a=b"),
            ("http://h/%2f%AB//../a[]=1?x?y", false, "h", 80, "h", "/%2f%AB//../a[]=1?x?y"),
            ("http://my_host.example./", false, "my_host.example.", 80, "my_host.example.", "/"),
        ] {
            let url = Url::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!((url.https, &*url.host, url.port), (https, host, port), "{text}");
            assert_eq!((&*url.authority, &*url.target), (authority, target), "{text}");
            assert_eq!(Url::parse(&url.to_string()), Ok(url), "{text}");
        }
    }

    #[test]
    fn faults_have_a_place() {
        for (text, at, part) in [
            ("", 1, "http://"),
            ("example.com/x", 1, "http://"),
            ("ftp://h", 1, "http://"),
            ("http://", 8, "host is missing"),
            ("http:///x", 8, "host is missing"),
            ("http://:80/", 8, "host is missing"),
            ("http://user:pw@h/", 15, "credentials"),
            ("http://h:/", 10, "port"),
            ("http://h:0/", 10, "port"),
            ("http://h:65536/", 10, "port"),
            ("http://h:+1/", 10, "port"),
            ("http://h h/", 9, "host is a name"),
            ("http://ä/", 8, "host is a name"),
            ("http://a..b/", 8, "empty or too long"),
            ("http://127.1/", 8, "none"),
            ("http://0x7f000001/", 8, "none"),
            ("http://[::1/", 8, "without its"),
            ("http://[fe80::1%25eth0]/", 9, "no IPv6 address"),
            ("http://[::1]x/", 13, "port"),
            ("http://h/a#b", 11, "fragment"),
            ("http://h/a b", 11, "percent-encoded"),
            ("http://h/ü?ä", 10, "percent-encoded"),
            ("http://h/%", 10, "triplet"),
            ("http://h/?a=%4", 13, "triplet"),
            ("http://h/{id}", 10, "percent-encoded"),
            ("http://h/\r\nX: y", 10, "percent-encoded"),
        ] {
            let fault = Url::parse(text).expect_err(text);
            assert_eq!(fault.at, at, "{text}: {fault}");
            assert!(fault.reason.contains(part), "{text}: {fault}");
        }
        let fault = UrlFault { at: 8, reason: "the host is missing" };
        assert_eq!(fault.to_string(), "at character 8: the host is missing");
    }

    /// RFC 1035 section 2.3.4.
    #[test]
    fn names_have_bounds() {
        let label = "a".repeat(63);
        let name = [&label[..], &label, &label, &label[..61]].join(".");
        for (host, taken) in [
            (label.clone(), true),
            (format!("{label}a"), false),
            (name.clone(), true),
            (format!("{name}."), true),
            (format!("{name}a"), false),
        ] {
            assert_eq!(Url::parse(&format!("http://{host}/")).is_ok(), taken, "{host}");
        }
    }

    #[test]
    fn what_a_url_says() {
        for (text, has_query, address) in [
            ("http://h/a", false, None),
            ("http://h/a?", true, None),
            ("http://192.0.2.1/?b", true, Some("192.0.2.1")),
            ("http://[2001:db8::1]", false, Some("2001:db8::1")),
        ] {
            let url = Url::parse(text).unwrap();
            let address = address.map(|address| address.parse::<IpAddr>().unwrap());
            assert_eq!((url.has_query(), url.address()), (has_query, address), "{text}");
        }
    }
}
