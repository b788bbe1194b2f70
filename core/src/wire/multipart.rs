//! MIME bodies of several parts (RFC 2046 section 5.1, RFC 2387): what a resource list's NOTIFY carries (RFC 4662), and
//! what SEP answers on request. Delimiter lines end with CR LF, and nothing of a part is changed.
//!
//! What is absent here: transfer encodings, which SIP does not need (RFC 3261 section 7.4.1); a part that has one is
//! refused. A part that is itself of several parts is handed out as bytes.

use std::borrow::Cow;

use memchr::memmem;

use super::sip::fields::{Lines, Parameterised};

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its type, parameters included; `text/plain` if it names none.
    pub content_type: Cow<'a, str>,
    /// Its name among the parts, without angle brackets.
    pub content_id: Option<Cow<'a, str>>,
    /// Its bytes.
    pub body: &'a [u8],
}

/// The parts of a body: first the root, which `start` names or which is the first one, then the others in their order.
///
/// # Errors
/// A sentence that says what is wrong with the body or its type.
pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, &'static str> {
    let kind = Parameterised::read(content_type);
    if !kind.value.get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/")) {
        return Err("the type of the body is not multipart");
    }
    let boundary = kind.param("boundary").ok_or("the type of the body names no boundary")?;
    if !is_boundary(&boundary) {
        return Err("the boundary is malformed");
    }
    let mut delimiters = Delimiters { body, delimiter: format!("\r\n--{boundary}").into(), searched: 0 };
    let mut from = match delimiters.next() {
        Some((_, Delimiter::Part(from))) => from,
        Some((_, Delimiter::Last)) => return Err("there is no part"),
        None => return Err("the boundary does not occur"),
    };
    let mut parts = Vec::new();
    loop {
        let (to, delimiter) = delimiters.next().ok_or("the last boundary is missing")?;
        parts.push(part(&body[from..to.max(from)])?);
        match delimiter {
            Delimiter::Part(next) => from = next,
            Delimiter::Last => break,
        }
    }
    if let Some(start) = kind.param("start") {
        let root = parts.iter().position(|part| part.content_id.as_deref() == Some(bare(&start)));
        let root = root.ok_or("no part is the one that start names")?;
        parts[..=root].rotate_right(1);
    }
    Ok(parts)
}

/// RFC 2046 section 5.1.1.
fn is_boundary(text: &str) -> bool {
    (1..=70).contains(&text.len())
        && !text.ends_with(' ')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b))
}

/// A content-id without its angle brackets.
fn bare(id: &str) -> &str {
    id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id)
}

/// What stands between parts.
enum Delimiter {
    /// A part begins here.
    Part(usize),
    /// No part follows.
    Last,
}

struct Delimiters<'a> {
    body: &'a [u8],
    /// With the line end before it, which belongs to it.
    delimiter: Vec<u8>,
    searched: usize,
}

impl Iterator for Delimiters<'_> {
    type Item = (usize, Delimiter);

    /// Where what stands before the next delimiter ends, and what the delimiter is. A line that only begins like one is
    /// none.
    fn next(&mut self) -> Option<(usize, Delimiter)> {
        loop {
            // The first line of the body has no line end before it.
            let (at, len) = if self.searched == 0 && self.body.starts_with(&self.delimiter[2..]) {
                (0, self.delimiter.len() - 2)
            } else {
                let at = memmem::find(&self.body[self.searched..], &self.delimiter)?;
                (self.searched + at, self.delimiter.len())
            };
            self.searched = at + len;
            let rest = &self.body[self.searched..];
            if rest.starts_with(b"--") {
                return Some((at, Delimiter::Last));
            }
            let padding = rest.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
            if rest[padding..].starts_with(b"\r\n") {
                // The line end may also be that of the next delimiter, if the part is empty.
                self.searched += padding;
                return Some((at, Delimiter::Part(self.searched + 2)));
            }
        }
    }
}

/// Cuts a part into its fields and its body.
fn part(bytes: &[u8]) -> Result<Part<'_>, &'static str> {
    let mut part = Part { content_type: Cow::Borrowed("text/plain"), content_id: None, body: &[] };
    let mut lines = Lines::of(bytes);
    for line in &mut lines {
        let line = str::from_utf8(&line).map_err(|_| "a field of a part is not UTF-8")?;
        if line.contains(['\r', '\n']) {
            return Err("a field of a part does not end with CR LF");
        }
        let (name, value) = line.split_once(':').ok_or("a field of a part has no colon")?;
        let value = value.trim_matches([' ', '\t']);
        let is = |field: &str| name.trim_end().eq_ignore_ascii_case(field);
        if is("Content-Type") {
            part.content_type = value.to_owned().into();
        } else if is("Content-ID") {
            part.content_id = Some(bare(value).to_owned().into());
        } else if is("Content-Transfer-Encoding") && !is_plain(value) {
            return Err("a part has a transfer encoding");
        }
    }
    part.body = lines.rest();
    Ok(part)
}

/// Encodings that leave bytes as they are (RFC 2045 section 6.2).
fn is_plain(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"].iter().any(|plain| encoding.eq_ignore_ascii_case(plain))
}

/// Writes parts between boundaries.
pub fn write<'a>(boundary: &str, parts: impl IntoIterator<Item = Part<'a>>, out: &mut Vec<u8>) {
    for part in parts {
        out.extend_from_slice(format!("--{boundary}\r\nContent-Type: {}\r\n", part.content_type).as_bytes());
        if let Some(id) = part.content_id {
            out.extend_from_slice(format!("Content-ID: <{id}>\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(part.body);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part as type, content-id and body.
    type Seen = (&'static str, Option<&'static str>, &'static str);

    fn check(content_type: &str, body: &str, expected: Result<&[Seen], &'static str>) {
        let part = |(content_type, id, body): &Seen| Part {
            content_type: Cow::Borrowed(*content_type),
            content_id: id.map(Cow::Borrowed),
            body: body.as_bytes(),
        };
        let expected = expected.map(|parts| parts.iter().map(part).collect());
        assert_eq!(parts(content_type, body.as_bytes()), expected, "{body:?}");
    }

    #[test]
    fn s40_parts_are_byte_exact() {
        let mixed = "multipart/mixed;boundary=B";
        check(mixed, "--B\r\n\r\na\r\n--B--", Ok(&[("text/plain", None, "a")]));
        check(mixed, "--B\r\n\r\na\r\n\r\n--B--\r\n", Ok(&[("text/plain", None, "a\r\n")]));
        check(
            mixed,
            "over\r\n--B \t\r\nc: d\r\n\r\n\n--B\n\r\n--B--\r\nend",
            Ok(&[("text/plain", None, "\n--B\n")]),
        );
        check(
            mixed,
            "--B\r\n\r\n--Bee\r\n--B\r\n\r\nb\r\n--B--",
            Ok(&[("text/plain", None, "--Bee"), ("text/plain", None, "b")]),
        );
        check(
            mixed,
            "--B\r\n\r\n\r\n--B\r\n\r\n--B--",
            Ok(&[("text/plain", None, ""), ("text/plain", None, "")]),
        );
        check(mixed, "--B\r\nContent-ID: <x>\r\n--B--", Ok(&[("text/plain", Some("x"), "")]));
        check(
            "Multipart/Mixed; Boundary=\"a b\"",
            "--a b\r\nCONTENT-TYPE :a/b;\r\n c=\"d\"\r\ncontent-id:\r\n\t<sip:e@f>\r\n\r\n--B\r\n--a b--",
            Ok(&[("a/b; c=\"d\"", Some("sip:e@f"), "--B")]),
        );
    }

    #[test]
    fn s40_the_root_is_first() {
        let body =
            "--B\r\nContent-ID: <1>\r\n\r\na\r\n--B\r\nContent-ID: 2\r\n\r\nb\r\n--B\r\n\r\nc\r\n--B--";
        let (a, b, c) =
            (("text/plain", Some("1"), "a"), ("text/plain", Some("2"), "b"), ("text/plain", None, "c"));
        check("multipart/related;boundary=B", body, Ok(&[a, b, c]));
        check("multipart/related;boundary=B;start=\"<2>\"", body, Ok(&[b, a, c]));
        check("multipart/related;boundary=B;start=2", body, Ok(&[b, a, c]));
        check("multipart/related;boundary=B;start=\"<3>\"", body, Err("no part is the one that start names"));
    }

    #[test]
    fn what_is_at_fault_is_named() {
        let check = |body, reason| check("multipart/mixed;boundary=B", body, Err(reason));
        check("", "the boundary does not occur");
        check("--B", "the boundary does not occur");
        check("--B\n\na\n--B--", "the boundary does not occur");
        check("x--B\r\n\r\n", "the boundary does not occur");
        check("--B--\r\n", "there is no part");
        check("--B\r\n\r\na", "the last boundary is missing");
        check("--B\r\n\r\na\r\n--B\r\n", "the last boundary is missing");
        check("--B\r\nno colon\r\n\r\na\r\n--B--", "a field of a part has no colon");
        check("--B\r\nContent-Transfer-Encoding: base64\r\n\r\na\r\n--B--", "a part has a transfer encoding");
        let kind = |kind, reason| super::tests::check(kind, "--B\r\n\r\na\r\n--B--", Err(reason));
        kind("application/rlmi+xml", "the type of the body is not multipart");
        kind("multipart/mixed", "the type of the body names no boundary");
        kind("multipart/mixed;boundary=\"\"", "the boundary is malformed");
        kind("multipart/mixed;boundary=\"a \"", "the boundary is malformed");
        kind(&format!("multipart/mixed;boundary={}", "a".repeat(71)), "the boundary is malformed");
        let bytes = parts("multipart/mixed;boundary=B", b"--B\r\nX: \xff\r\n\r\n--B--");
        assert_eq!(bytes, Err("a field of a part is not UTF-8"));
    }

    /// The body of 590 bytes that the SEP page shows.
    #[test]
    fn s40_parts_as_they_are_written() {
        let root = "<?xml version=\"1.0\"?>\r\n<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" \
            uri=\"sip:182ebe38-3854-4873-a8ab-2cb0eff38b4c@example.test\" version=\"1\" fullState=\"true\">\
            <resource uri=\"sip:alice@example.test\"><instance id=\"k3\" state=\"active\" cid=\"7c2d@example.test\"/>\
            </resource><resource uri=\"sip:bob@example.test\"/></list>";
        let summary = "Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.test\r\nVoice-Message: 2/8 (0/2)\r\n";
        let part = |content_type: &'static str, id: &'static str, body: &'static str| Part {
            content_type: content_type.into(),
            content_id: Some(id.into()),
            body: body.as_bytes(),
        };
        let written_parts = [
            part("application/rlmi+xml;charset=\"UTF-8\"", "7c1d@example.test", root),
            part("application/simple-message-summary", "7c2d@example.test", summary),
        ];
        let mut out = Vec::new();
        write("B", written_parts.clone(), &mut out);
        assert_eq!(out.len(), 590, "{}", String::from_utf8_lossy(&out));
        let content_type =
            "multipart/related;type=\"application/rlmi+xml\";start=\"<7c1d@example.test>\";boundary=\"B\"";
        assert_eq!(parts(content_type, &out), Ok(written_parts.to_vec()));
    }
}
