//! Addresses: SIP URIs (RFC 3261 section 19.1), name and address as `From` and `Contact` have them (section 20.10), and
//! `Via` (section 20.42). What was escaped or quoted in a parameter stays so; only comparison looks through it.
//!
//! What is absent here: other schemes than `sip` and `sips`, and where a host is.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

pub use super::grammar::Params;
use super::grammar::{self, WHITE};
use crate::ground::hosts::{Hosts, is_in};

/// Text that is no such address; the sentence says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A `sip:` or `sips:` URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// `sips`.
    pub secure: bool,
    /// The user, its escapes as they came, and with it a password if there is one.
    pub user: Option<Box<str>>,
    /// A name or an address; IPv6 without brackets.
    pub host: Box<str>,
    /// The port, if it is named.
    pub port: Option<u16>,
    /// Parameters in their order.
    pub params: Params,
    /// What stands after `?`.
    pub headers: Option<Box<str>>,
}

impl Uri {
    /// A parameter's value; a parameter without one has an empty one.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        grammar::find(&self.params, name)
    }

    /// Whether all hosts that it names are among these: its own, and the one that `maddr` puts in its place.
    #[must_use]
    pub fn is_within(&self, hosts: &[Hosts]) -> bool {
        let maddr = self.param("maddr").filter(|maddr| !maddr.is_empty());
        [Some(&*self.host), maddr].into_iter().flatten().all(|host| is_in(host, hosts))
    }

    /// The rules of section 19.1.4.
    #[must_use]
    pub fn is_same(&self, other: &Uri) -> bool {
        let same_user = match (&self.user, &other.user) {
            (Some(a), Some(b)) => unescaped(a) == unescaped(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.secure == other.secure
            && same_user
            && same_host(&self.host, &other.host)
            && self.port == other.port
            && self.params_agree(other)
            && other.params_agree(self)
            && same_headers(self.headers.as_deref(), other.headers.as_deref())
    }

    /// A parameter that both have must match; of those that one alone has, these four never do.
    fn params_agree(&self, other: &Uri) -> bool {
        self.params.iter().all(|(name, value)| match other.param(name) {
            Some(theirs) => {
                let (a, b) = (unescaped(value.as_deref().unwrap_or_default()), unescaped(theirs));
                a.eq_ignore_ascii_case(&b)
            }
            None => {
                !["user", "ttl", "method", "maddr", "transport"].iter().any(|n| name.eq_ignore_ascii_case(n))
            }
        })
    }
}

/// A text whose escapes are undone, but for those of reserved characters, which are not the same as these.
fn unescaped(text: &str) -> Vec<u8> {
    let hex = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    while let [first, rest @ ..] = bytes {
        let escaped = match rest {
            [a, b, ..] if *first == b'%' => hex(*a).zip(hex(*b)).map(|(a, b)| a << 4 | b),
            _ => None,
        };
        match escaped {
            Some(byte) if b";/?:@&=+$,".contains(&byte) => {
                out.extend(bytes[..3].to_ascii_uppercase());
                bytes = &rest[2..];
            }
            Some(byte) => {
                out.push(byte);
                bytes = &rest[2..];
            }
            None => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    out
}

fn same_host(a: &str, b: &str) -> bool {
    match (a.parse::<Ipv6Addr>(), b.parse::<Ipv6Addr>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a.eq_ignore_ascii_case(b),
    }
}

fn same_headers(a: Option<&str>, b: Option<&str>) -> bool {
    let sorted = |headers: Option<&str>| {
        let mut pairs: Vec<_> = headers
            .unwrap_or_default()
            .split('&')
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (unescaped(name).to_ascii_lowercase(), unescaped(value))
            })
            .collect();
        pairs.sort_unstable();
        pairs
    };
    a.is_some() == b.is_some() && sorted(a) == sorted(b)
}

impl FromStr for Uri {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Uri, Malformed> {
        let (scheme, rest) = text.split_once(':').ok_or(Malformed("the URI has no scheme"))?;
        let secure = match scheme {
            s if s.eq_ignore_ascii_case("sip") => false,
            s if s.eq_ignore_ascii_case("sips") => true,
            _ => return Err(Malformed("the URI's scheme is neither sip nor sips")),
        };
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Malformed("the URI holds white space or what must be escaped"));
        }
        // No @ may stand after the host, and none that is not escaped before it.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        if user.is_some_and(|user| !is_user(user)) {
            return Err(Malformed("the URI's user is malformed"));
        }
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        if headers.is_some_and(|headers| !are_headers(headers)) {
            return Err(Malformed("the URI's headers are malformed"));
        }
        let mut pieces = rest.split(';');
        let (host, port) = host_and_port(pieces.next().unwrap_or_default())
            .ok_or(Malformed("the URI's host is malformed"))?;
        let params = pieces.map(uri_param).collect::<Option<_>>();
        Ok(Uri {
            secure,
            user: user.map(Box::from),
            host: host.into(),
            port,
            params: params.ok_or(Malformed("a parameter of the URI is malformed"))?,
            headers: headers.map(Box::from),
        })
    }
}

/// Letters, digits and marks (RFC 2396 section 2.3), the `others` that stand for themselves here, and escapes.
fn is_escaped(text: &str, others: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|b| b.is_some_and(|b| b.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) || others.contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

fn is_user(text: &str) -> bool {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    !user.is_empty() && is_escaped(user, b"&=+$,;?/") && is_escaped(password, b"&=+$,")
}

fn are_headers(text: &str) -> bool {
    let reserved = b"[]/?:+$";
    text.split('&').all(|header| {
        header.split_once('=').is_some_and(|(name, value)| {
            !name.is_empty() && is_escaped(name, reserved) && is_escaped(value, reserved)
        })
    })
}

fn uri_param(text: &str) -> Option<(Box<str>, Option<Box<str>>)> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let reserved = b"[]/:&+$";
    let fits = !name.is_empty()
        && is_escaped(name, reserved)
        && value.is_none_or(|value| !value.is_empty() && is_escaped(value, reserved));
    fits.then(|| (name.into(), value.map(Box::from)))
}

/// A host, without the brackets of an IPv6 address, and a port.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, rest)
        }
        None => {
            let (host, port) = text.split_at(text.find([':', ' ', '\t']).unwrap_or(text.len()));
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            (!host.is_empty() && host.bytes().all(is_name)).then_some((host, port))?
        }
    };
    // White space may stand around the colon of a Via (COLON of section 25.1); a URI that has any was refused before.
    let port = port.trim_matches(WHITE);
    if port.is_empty() {
        return Some((host, None));
    }
    let port: u16 = grammar::number(port.strip_prefix(':')?.trim_start_matches(WHITE))?;
    (port > 0).then_some((host, Some(port)))
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str, port: Option<u16>) -> fmt::Result {
    f.write_str(&bracketed(host))?;
    port.map_or(Ok(()), |port| write!(f, ":{port}"))
}

/// A host as it stands in a URI: an address of IPv6 in brackets.
#[must_use]
pub fn bracketed(host: &str) -> Box<str> {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]").into() } else { host.into() }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secure { "sips:" } else { "sip:" })?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        write_host(f, &self.host, self.port)?;
        grammar::write_params(&self.params, f)?;
        self.headers.as_ref().map_or(Ok(()), |headers| write!(f, "?{headers}"))
    }
}

/// A name, a URI of any scheme, and parameters: what `From`, `To`, `Contact`, `Route` and `Record-Route` hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The name, its quotes undone; `None` if there is none or it is empty.
    pub display: Option<Box<str>>,
    /// The URI as it was written; it holds no white space.
    pub uri: Box<str>,
    /// The field's own parameters.
    pub params: Params,
}

impl NameAddr {
    /// A parameter's value, its quotes undone; a parameter without one has an empty one.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        grammar::find(&self.params, name).map(grammar::unquoted)
    }

    /// The tag of a dialog.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        grammar::find(&self.params, "tag")
    }
}

/// The parts of a name and address, not copied.
pub(super) struct Parts<'a> {
    display: &'a str,
    uri: &'a str,
    pub(super) params: Vec<grammar::Param<'a>>,
}

impl<'a> Parts<'a> {
    pub(super) fn read(text: &'a str) -> Result<Parts<'a>, Malformed> {
        let text = text.trim_matches(WHITE);
        let after_name = if text.starts_with('"') {
            grammar::quoted_len(text).ok_or(Malformed("the quotes of a name do not close"))?
        } else {
            text.find(['<', ';', '"']).filter(|at| text[*at..].starts_with('<')).unwrap_or(0)
        };
        let (display, rest) = text.split_at(after_name);
        let (uri, params) = match rest.trim_start_matches(WHITE).strip_prefix('<') {
            Some(rest) => rest.split_once('>').ok_or(Malformed("an angle bracket does not close"))?,
            None if display.is_empty() => {
                // Section 20.10: without brackets parameters are the field's, and neither , nor ? may stand in the URI.
                let (uri, params) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
                if uri.contains([',', '?']) {
                    return Err(Malformed("a URI with a comma or a question mark has no angle brackets"));
                }
                (uri.trim_end_matches(WHITE), params)
            }
            None => return Err(Malformed("a name is followed by no URI in angle brackets")),
        };
        let display = display.trim_matches(WHITE);
        // More than the tokens of section 25.1: real names have parentheses and accents without being quoted.
        if !display.starts_with('"') && display.contains(|c: char| c.is_control() || "\"\\,;:@>".contains(c))
        {
            return Err(Malformed("a name that needs quotes has none"));
        }
        if !is_absolute(uri) {
            return Err(Malformed("a URI is malformed"));
        }
        let params = grammar::params(params).ok_or(Malformed("a parameter is malformed"))?;
        Ok(Parts { display, uri, params })
    }
}

/// A scheme, and something that holds neither white space nor what encloses URIs (RFC 3986 section 4.3).
pub(super) fn is_absolute(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
            && !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b))
    })
}

impl FromStr for NameAddr {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<NameAddr, Malformed> {
        let parts = Parts::read(text)?;
        let display = grammar::unquoted(parts.display);
        Ok(NameAddr {
            display: (!display.is_empty()).then(|| display.into()),
            uri: parts.uri.into(),
            params: grammar::owned(parts.params),
        })
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            grammar::quote(display, f)?;
            f.write_str(" ")?;
        }
        write!(f, "<{}>", self.uri)?;
        grammar::write_params(&self.params, f)
    }
}

/// One hop that a message has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, `TCP`, `TLS` or another word.
    pub transport: Box<str>,
    /// The host that sent it; IPv6 without brackets.
    pub host: Box<str>,
    /// Its port, if it is named.
    pub port: Option<u16>,
    /// Parameters in their order.
    pub params: Params,
}

impl Via {
    /// A parameter's value, its quotes undone; a parameter without one has an empty one.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        grammar::find(&self.params, name).map(grammar::unquoted)
    }

    /// What identifies the transaction.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        grammar::find(&self.params, "branch")
    }

    /// Sets a parameter, in its place if it is there (`received` of section 18.2.1, `rport` of RFC 3581).
    pub fn set(&mut self, name: &str, value: impl Into<Box<str>>) {
        let value = Some(value.into());
        match self.params.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value,
            None => self.params.push((name.into(), value)),
        }
    }
}

impl FromStr for Via {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Via, Malformed> {
        let malformed = Malformed("Via is malformed");
        let (hop, params) = text.split_at(text.find(';').unwrap_or(text.len()));
        let mut protocol = hop.trim_matches(WHITE).splitn(3, '/').map(|word| word.trim_matches(WHITE));
        let (Some(name), Some(version), Some(rest)) = (protocol.next(), protocol.next(), protocol.next())
        else {
            return Err(malformed);
        };
        let (transport, sent_by) = rest.split_once(WHITE).ok_or(malformed)?;
        let (host, port) = host_and_port(sent_by.trim_start_matches(WHITE)).ok_or(malformed)?;
        if !name.eq_ignore_ascii_case("SIP") || !grammar::is_token(version) || !grammar::is_token(transport) {
            return Err(malformed);
        }
        let params = grammar::params(params).ok_or(Malformed("a parameter of Via is malformed"))?;
        Ok(Via { transport: transport.into(), host: host.into(), port, params: grammar::owned(params) })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} ", self.transport)?;
        write_host(f, &self.host, self.port)?;
        grammar::write_params(&self.params, f)
    }
}

#[cfg(test)]
mod tests;
