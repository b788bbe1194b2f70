//! MIME bodies of several parts (RFC 2046 section 5.1, RFC 2387): what a resource list's NOTIFY carries (RFC 4662), and
//! what SEP answers on request. Delimiter lines end with CR LF, and nothing of a part is changed.
//!
//! What is absent here: transfer encodings, which SIP does not need (RFC 3261 section 7.4.1); a part that has one is
//! refused. A part that is itself of several parts is handed out as bytes.

use std::borrow::Cow;

use memchr::memmem;

use super::sip::fields::Parameterised;

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
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let (line, after) = (&rest[..end], rest.get(end + 2..).unwrap_or_default());
        if line.is_empty() {
            part.body = after;
            break;
        }
        rest = after;
        let line = str::from_utf8(line).map_err(|_| "a field of a part is not UTF-8")?;
        let (name, value) = line.split_once(':').ok_or("a field of a part has no colon")?;
        let mut value = Cow::Borrowed(value.trim());
        while let Some(b' ' | b'\t') = rest.first() {
            let end = memmem::find(rest, b"\r\n").unwrap_or(rest.len());
            let more = str::from_utf8(&rest[..end]).map_err(|_| "a field of a part is not UTF-8")?;
            value = Cow::Owned(format!("{value} {}", more.trim()));
            rest = rest.get(end + 2..).unwrap_or_default();
        }
        match name.trim_end() {
            name if name.eq_ignore_ascii_case("Content-Type") => part.content_type = value,
            name if name.eq_ignore_ascii_case("Content-ID") => {
                part.content_id = Some(match value {
                    Cow::Borrowed(id) => Cow::Borrowed(bare(id)),
                    Cow::Owned(id) => Cow::Owned(bare(&id).to_owned()),
                });
            }
            name if name.eq_ignore_ascii_case("Content-Transfer-Encoding") => {
                if !["7bit", "8bit", "binary"].iter().any(|plain| value.eq_ignore_ascii_case(plain)) {
                    return Err("a part has a transfer encoding");
                }
            }
            _ => {}
        }
    }
    Ok(part)
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
