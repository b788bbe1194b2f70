//! The head of a request: request line and header fields, and the one place where framing is judged
//! (RFC 9112 sections 2 to 6). httparse cuts tokens; what they mean together is decided here, strictly: whoever
//! sends an ambiguous message gets a 400 and the connection ends, so that no two readers can disagree about it.

use std::mem::MaybeUninit;

use memchr::memchr;

use crate::wire::{Fault, Step};

/// Header fields that httparse may find; [`crate::ground::limits::Limits::head_fields`] is checked against it.
pub const FIELDS_MAX: usize = 128;

/// A request's head. It borrows the bytes that it was read from.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    /// The method, upper case as it was sent; methods are case-sensitive.
    pub method: &'a str,
    /// The path before any `?`, not decoded.
    pub path: &'a str,
    /// The query after the first `?`, not decoded; empty if there is none.
    pub query: &'a str,
    /// HTTP/1.1; else 1.0.
    pub http11: bool,
    /// How the body is framed.
    pub framing: Framing,
    /// The connection may serve another request.
    pub keep_alive: bool,
    /// `Expect: 100-continue` waits for a go-ahead.
    pub expects_continue: bool,
    /// `Host`, if there is one.
    pub host: Option<&'a str>,
    fields: Vec<(&'a str, &'a str)>,
}

/// How a request's body is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes; 0 if the head names no body.
    Length(u64),
    /// Chunked coding.
    Chunked,
}

impl<'a> Head<'a> {
    /// A header field that stands once; `None` if it is absent. Of repeated fields the first counts.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }

    /// All header fields, names as they were sent, in their order.
    #[must_use]
    pub fn fields(&self) -> &[(&'a str, &'a str)] {
        &self.fields
    }

    /// Whether this is a HEAD request.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// Finds the end of a head without looking at a byte twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadEnd {
    searched: usize,
    line_start: usize,
}

impl HeadEnd {
    /// The length of the head at the start of `input`, its blank line included. Every line must end with CR LF.
    pub fn find(&mut self, input: &[u8], limit: usize) -> Step<()> {
        // What lies beyond the limit is not looked at, so that it cannot matter how much came at once.
        let within = &input[..input.len().min(limit)];
        while let Some(at) = memchr(b'\n', &within[self.searched..]) {
            let at = self.searched + at;
            if at == 0 || within[at - 1] != b'\r' {
                return Step::Fault(Fault::bad("a line of the head ends with a bare line feed"));
            }
            self.searched = at + 1;
            if self.line_start == at - 1 && self.line_start > 0 {
                return Step::Item((), at + 1);
            }
            self.line_start = at + 1;
        }
        if input.len() > limit {
            return Step::Fault(Fault { status: 431, reason: "the head is larger than the server takes" });
        }
        self.searched = self.searched.max(input.len());
        Step::More
    }
}

/// Reads a whole head, as [`HeadEnd`] has cut it.
///
/// # Errors
/// The peer's fault, with its status.
pub fn parse(input: &[u8], fields_max: usize) -> Result<Head<'_>, Fault> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let room = fields_max.min(FIELDS_MAX);
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(input, &mut slots[..room]) {
        Ok(httparse::Status::Complete(n)) if n == input.len() => {}
        Ok(_) => return Err(Fault::bad("the head is not one whole head")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Fault { status: 431, reason: "more header fields than the server takes" });
        }
        Err(httparse::Error::Version) => {
            return Err(Fault { status: 505, reason: "HTTP/1.1 and HTTP/1.0 are spoken here" });
        }
        Err(httparse::Error::HeaderName) => return Err(Fault::bad("a header field's name is malformed")),
        Err(httparse::Error::HeaderValue) => return Err(Fault::bad("a header field's value is malformed")),
        Err(_) => return Err(Fault::bad("the request line is malformed")),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Fault::bad("the request line is malformed"));
    };
    let mut fields = Vec::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let value = std::str::from_utf8(field.value)
            .map_err(|_| Fault::bad("a header field's value is not UTF-8"))?;
        fields.push((field.name, trim(value)));
    }
    let http11 = version == 1;
    let (authority, path, query) = split_target(method, target)?;
    let host = judge_host(&fields, http11)?;
    let framing = judge_framing(&fields, http11)?;
    Ok(Head {
        method,
        path,
        query,
        http11,
        framing,
        keep_alive: keeps_alive(&fields, http11),
        expects_continue: expects_continue(&fields, http11, framing)?,
        host: authority.or(host),
        fields,
    })
}

/// A character of a token (RFC 9110 section 5.6.2).
pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// White space of RFC 9110 section 5.6.3 alone: others take a no-break space for a part of the value.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn values<'a>(fields: &'a [(&'a str, &'a str)], name: &'a str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
}

/// RFC 9112 section 3.2: origin-form, absolute-form and, for OPTIONS, asterisk-form.
fn split_target<'a>(method: &str, target: &'a str) -> Result<(Option<&'a str>, &'a str, &'a str), Fault> {
    if method == "CONNECT" {
        return Err(Fault { status: 501, reason: "this server is no proxy" });
    }
    if target.contains('#') || !target.bytes().all(|b| (0x21..0x7f).contains(&b)) {
        return Err(Fault::bad("the request target is malformed"));
    }
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|s| target.get(..s.len()).is_some_and(|t| t.eq_ignore_ascii_case(s)));
    let (authority, rest) = if target == "*" && method == "OPTIONS" || target.starts_with('/') {
        (None, target)
    } else if let Some(scheme) = scheme {
        let rest = &target[scheme.len()..];
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        if !is_host(&rest[..end]) {
            return Err(Fault::bad("the request target is malformed"));
        }
        (Some(&rest[..end]), &rest[end..])
    } else {
        return Err(Fault::bad("the request target is malformed"));
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Ok((authority, if path.is_empty() { "/" } else { path }, query))
}

/// RFC 9112 section 3.2: HTTP/1.1 needs exactly one `Host`, and nobody may send two.
fn judge_host<'a>(fields: &[(&'a str, &'a str)], http11: bool) -> Result<Option<&'a str>, Fault> {
    let mut hosts = fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case("host")).map(|(_, v)| *v);
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(Fault::bad("there is more than one Host"));
    }
    match first {
        None if http11 => Err(Fault::bad("Host is missing")),
        Some(host) if !host.is_empty() && !is_host(host) => Err(Fault::bad("Host is malformed")),
        host => Ok(host.filter(|h| !h.is_empty())),
    }
}

/// A host with an optional port (RFC 3986 sections 3.2.2 and 3.2.3), names and addresses judged by their characters.
fn is_host(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port, more) = match bracketed {
        Some((address, port)) => (address, port, ":"),
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (name, port, "")
        }
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=".contains(c) || more.contains(c);
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    !host.is_empty()
        && host.chars().all(allowed)
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// RFC 9112 section 6: one length, or chunked, never both.
fn judge_framing(fields: &[(&str, &str)], http11: bool) -> Result<Framing, Fault> {
    let mut codings = values(fields, "transfer-encoding").flat_map(|v| v.split(',')).map(trim);
    let coding = codings.next();
    let mut lengths = values(fields, "content-length").flat_map(|v| v.split(',')).map(trim);
    let length = lengths.next();
    match (coding, length) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err(Fault::bad("Content-Length beside Transfer-Encoding")),
        (Some(_), None) if !http11 => Err(Fault::bad("Transfer-Encoding in an HTTP/1.0 request")),
        (Some(coding), None) => {
            if codings.next().is_some() {
                return Err(Fault {
                    status: 501,
                    reason: "chunked is the only transfer coding that is taken",
                });
            }
            if coding.eq_ignore_ascii_case("chunked") {
                Ok(Framing::Chunked)
            } else if coding.is_empty() {
                Err(Fault::bad("Transfer-Encoding is empty"))
            } else {
                Err(Fault { status: 501, reason: "chunked is the only transfer coding that is taken" })
            }
        }
        (None, Some(first)) => {
            if lengths.any(|other| other != first) {
                return Err(Fault::bad("unequal Content-Length values"));
            }
            if first.is_empty() || !first.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Fault::bad("Content-Length is no number"));
            }
            first.parse().map(Framing::Length).map_err(|_| Fault::bad("Content-Length is too large"))
        }
    }
}

fn connection_has(fields: &[(&str, &str)], option: &str) -> bool {
    values(fields, "connection").flat_map(|v| v.split(',')).any(|o| trim(o).eq_ignore_ascii_case(option))
}

/// RFC 9112 section 9.3.
fn keeps_alive(fields: &[(&str, &str)], http11: bool) -> bool {
    !connection_has(fields, "close") && (http11 || connection_has(fields, "keep-alive"))
}

/// RFC 9110 section 10.1.1: an unknown expectation is refused; HTTP/1.0's is ignored.
fn expects_continue(fields: &[(&str, &str)], http11: bool, framing: Framing) -> Result<bool, Fault> {
    let Some(expect) = values(fields, "expect").next() else { return Ok(false) };
    if !http11 {
        return Ok(false);
    }
    if !expect.eq_ignore_ascii_case("100-continue") {
        return Err(Fault { status: 417, reason: "100-continue is the only expectation that is met" });
    }
    Ok(framing != Framing::Length(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(String, Framing, bool), u16> {
        let mut end = HeadEnd::default();
        match end.find(text.as_bytes(), 16_384) {
            Step::Item((), n) => {
                assert_eq!(n, text.len(), "{text:?}");
                parse(text.as_bytes(), 100)
                    .map(|h| (format!("{} {} {}", h.method, h.path, h.query), h.framing, h.keep_alive))
                    .map_err(|f| f.status)
            }
            Step::More => Err(0),
            Step::Fault(fault) => Err(fault.status),
        }
    }

    #[test]
    fn heads_are_judged() {
        let plain = |line: &str| Ok((line.to_owned(), Framing::Length(0), true));
        let post = |framing| Ok(("POST /e ".to_owned(), framing, true));
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", plain("GET / ")),
            ("GET /a?b=c?d HTTP/1.1\r\nhost:\ta \r\n\r\n", plain("GET /a b=c?d")),
            ("GET http://h:1/a?b HTTP/1.1\r\nHost: h\r\n\r\n", plain("GET /a b")),
            ("GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", plain("GET / ")),
            ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", plain("OPTIONS * ")),
            // RFC 9112 section 2.2: an empty line before the request line.
            ("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", plain("GET / ")),
            // RFC 9112 section 2.2: bare LF, and a CR alone.
            ("GET / HTTP/1.1\nHost: a\n\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Err(400)),
            // Section 3: the request line.
            ("get\r\n\r\n", Err(400)),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
            ("OPTIONS a HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
            ("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", Err(400)),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err(505)),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", Err(501)),
            // Section 3.2: Host.
            ("GET / HTTP/1.1\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [::1]80\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a[b]\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", plain("GET / ")),
            ("GET / HTTP/1.1\r\nHost: a_b.c:\r\n\r\n", plain("GET / ")),
            ("GET / HTTP/1.0\r\n\r\n", Ok(("GET / ".to_owned(), Framing::Length(0), false))),
            // Section 5: fields.
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Err(400)),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", Err(400)),
            // Section 6: framing.
            ("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", post(Framing::Length(5))),
            ("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n", post(Framing::Length(5))),
            ("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Err(400)),
            ("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n", Err(400)),
            ("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", Err(400)),
            ("POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", Err(400)),
            ("POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", post(Framing::Chunked)),
            (
                "POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
                Err(400),
            ),
            ("POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Err(501)),
            ("POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", Err(501)),
            ("POST /e HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(400)),
            // RFC 9110 section 10.1.1.
            ("POST /e HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", Err(417)),
        ] {
            assert_eq!(verdict(text), expected, "{text:?}");
        }
    }

    #[test]
    fn connection_options_decide_persistence() {
        for (text, keeps) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(parse(text.as_bytes(), 100).unwrap().keep_alive, keeps, "{text:?}");
        }
    }

    #[test]
    fn what_a_head_says() {
        for (text, host, is_head, expects_continue) in [
            ("GET / HTTP/1.1\r\nHost: a:1\r\n\r\n", Some("a:1"), false, false),
            ("HEAD / HTTP/1.1\r\nHost:\r\n\r\n", None, true, false),
            ("HEAD http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Some("b"), true, false),
            ("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", Some("a"), false, false),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
                Some("a"),
                false,
                true,
            ),
            ("PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", None, false, false),
        ] {
            let head = parse(text.as_bytes(), 100).unwrap();
            assert_eq!(
                (head.host, head.is_head(), head.expects_continue),
                (host, is_head, expects_continue),
                "{text:?}"
            );
        }
        let head = parse(b"GET / HTTP/1.0\r\nX-a: 1\r\nx-A:  2 \r\nY:\r\n\r\n", 100).unwrap();
        assert_eq!(["x-a", "y", "z"].map(|name| head.field(name)), [Some("1"), Some(""), None]);
        assert_eq!(head.fields(), [("X-a", "1"), ("x-A", "2"), ("Y", "")]);
    }

    #[test]
    fn limits_are_431() {
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(200));
        let mut end = HeadEnd::default();
        assert!(matches!(end.find(&long.as_bytes()[..100], 100), Step::More));
        assert!(matches!(end.find(long.as_bytes(), 100), Step::Fault(Fault { status: 431, .. })));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(20));
        assert_eq!(parse(many.as_bytes(), 10).unwrap_err().status, 431);
    }
}
