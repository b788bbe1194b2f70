//! What all of SIP's syntax is made of (RFC 3261 section 25.1): tokens, quoted strings, parameters, and text that is cut
//! at a separator, but not inside of quotes and angle brackets.

use std::borrow::Cow;

/// Parameters in their order: names and, where there is one, the value as it was written, quotes included.
pub type Params = Vec<(Box<str>, Option<Box<str>>)>;

/// A parameter, borrowed.
pub(super) type Param<'a> = (&'a str, Option<&'a str>);

/// White space that may stand in a line; folds have become a space.
pub(super) const WHITE: [char; 2] = [' ', '\t'];

/// Whether this is a token: a word without quotes.
#[must_use]
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b)
}

/// A number of decimal digits alone.
pub(super) fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    is_digits(text).then(|| text.parse().ok())?
}

/// A number of seconds (`delta-seconds`); more than can be held counts as the most that can.
pub(super) fn seconds(text: &str) -> Option<u32> {
    is_digits(text).then(|| text.parse().unwrap_or(u32::MAX))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Where the quoted string at the start of `text` ends, its closing quote included.
pub(super) fn quoted_len(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()?),
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The text of a quoted string, or of what is none.
pub(super) fn unquoted(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut chars = inner.chars();
    let next = || match chars.next()? {
        '\\' => chars.next(),
        other => Some(other),
    };
    Cow::Owned(std::iter::from_fn(next).collect())
}

/// Writes a quoted string.
pub(super) fn quote(text: &str, out: &mut impl std::fmt::Write) -> std::fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.write_char('\\')?;
        }
        out.write_char(c)?;
    }
    out.write_char('"')
}

/// Text that is cut at `separator` where that stands outside of quotes and angle brackets; white space around the pieces
/// is left out. What opens and does not close goes on to the end.
pub(super) fn split(text: &str, separator: u8) -> Split<'_> {
    Split { rest: Some(text), separator }
}

/// See [`split`].
#[derive(Clone, Debug)]
pub(super) struct Split<'a> {
    rest: Option<&'a str>,
    separator: u8,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let end = find_outside(rest, self.separator);
        self.rest = end.map(|at| &rest[at + 1..]);
        Some(rest[..end.unwrap_or(rest.len())].trim_matches(WHITE))
    }
}

/// Where an ASCII `separator` stands first outside of quotes and angle brackets.
pub(super) fn find_outside(text: &str, separator: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            byte if byte == separator => return Some(at),
            b'"' => at += quoted_len(&text[at..])?,
            b'<' => at += text[at..].find('>')? + 1,
            _ => at += 1,
        }
    }
    None
}

/// The parameters of `;name=value;name`; `None` if one is malformed. Text without any has none.
pub(super) fn params(text: &str) -> Option<Vec<Param<'_>>> {
    let text = text.trim_matches(WHITE);
    if text.is_empty() {
        return Some(Vec::new());
    }
    split(text.strip_prefix(';')?, b';').map(param).collect()
}

/// `name` or `name=value`; the value is a quoted string or has no white space.
pub(super) fn param(text: &str) -> Option<Param<'_>> {
    let Some((name, value)) = text.split_once('=') else { return is_token(text).then_some((text, None)) };
    let (name, value) = (name.trim_end_matches(WHITE), value.trim_start_matches(WHITE));
    let is_value = match value.as_bytes().first() {
        Some(b'"') => quoted_len(value) == Some(value.len()),
        Some(_) => value.bytes().all(|b| b > b' ' && b != 0x7f && !b"\"<>,".contains(&b)),
        None => false,
    };
    (is_token(name) && is_value).then_some((name, Some(value)))
}

/// The value of a parameter, as it was written; a parameter without one has an empty one.
pub(super) fn find<'a, N, V>(params: &'a [(N, Option<V>)], name: &str) -> Option<&'a str>
where
    N: AsRef<str>,
    V: AsRef<str>,
{
    let (_, value) = params.iter().find(|(n, _)| n.as_ref().eq_ignore_ascii_case(name))?;
    Some(value.as_ref().map_or("", AsRef::as_ref))
}

pub(super) fn owned(params: Vec<Param<'_>>) -> Params {
    params.into_iter().map(|(name, value)| (name.into(), value.map(Box::from))).collect()
}

/// Writes `;name=value` for each.
pub(super) fn write_params(params: &Params, out: &mut impl std::fmt::Write) -> std::fmt::Result {
    params.iter().try_for_each(|(name, value)| match value {
        Some(value) => write!(out, ";{name}={value}"),
        None => write!(out, ";{name}"),
    })
}
