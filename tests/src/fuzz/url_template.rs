//! Templates of query strings: a line with the characters that values keep, a template, and behind a line feed a value.

use offhook_core::dialect::isr::template::{Bare, Template, is_parameter_name, placeholders};
use offhook_core::wire::http::head::parse;
use offhook_core::wire::http::query::percent_decode;

/// Reads and prints a template, and puts the value in all its places.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (bare, template, value) = (next(), next(), next());
    let kept = if bare.chars().all(|c| Bare::ALLOWED.contains(c)) { bare } else { "" };
    assert_eq!(Bare::parse(bare).is_ok(), kept == bare);
    let bare = Bare::parse(kept).expect("only what is allowed is kept");
    for (at, name) in placeholders(template) {
        let rest: String = template.chars().skip(at - 1).collect();
        assert!(is_parameter_name(name) && rest.starts_with(&format!("%{name}%")), "{at} {name}");
    }
    let encoded = encode_plainly(kept, value);
    match (Template::parse(template), read_plainly(template, &encoded)) {
        (Err(fault), Err(at)) => {
            assert_eq!(fault.at, at, "{fault}: {template:?}");
            let before: String = template.chars().take(at - 1).collect();
            assert!(Template::parse(&before).is_ok(), "what stands before the first fault has none");
        }
        (Ok(read), Ok((names, plain))) => {
            assert_eq!(read.to_string(), template);
            assert!(read.names().eq(names), "{template:?}");
            let mut out = Vec::new();
            read.expand(bare, |_| value.into(), &mut out);
            assert_eq!(String::from_utf8(out).as_ref(), Ok(&plain), "{template:?} with {value:?}");
            assert_eq!(percent_decode(&encoded).as_deref(), Ok(value));
            is_sent(&plain);
        }
        (read, plain) => panic!("a second reading disagrees: {read:?}, {plain:?}"),
    }
}

/// A request with it is one.
fn is_sent(query: &str) {
    let request = format!("GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = parse(request.as_bytes(), 4).expect("a query goes into a request");
    assert_eq!((head.path, head.query), ("/", query));
}

/// isr.md 2.3, read plainly: the names of a template, and its text with `value` in their places; or the number of the
/// character at fault.
fn read_plainly<'t>(template: &'t str, value: &str) -> Result<(Vec<&'t str>, String), usize> {
    let (mut names, mut out) = (Vec::new(), String::new());
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        let name = rest[c.len_utf8()..].split('%').next().unwrap_or_default();
        let is_name = c == '%' && rest.get(1 + name.len()..).is_some_and(|end| end.starts_with('%'));
        let took = if is_name && is_parameter_name(name) {
            names.push(name);
            out += value;
            name.len() + 2
        } else {
            let hex = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
            let len = match c {
                '%' if hex(1) && hex(2) => 3,
                'a'..='z' | 'A'..='Z' | '0'..='9' => 1,
                // RFC 3986 section 3.4
                _ if "-._~!$&'()*+,;=:@/?".contains(c) => 1,
                _ => return Err(template.chars().count() - rest.chars().count() + 1),
            };
            out += &rest[..len];
            len
        };
        rest = &rest[took..];
    }
    Ok((names, out))
}

/// RFC 3986 section 2.1: all but unreserved characters and those that are kept.
fn encode_plainly(kept: &str, value: &str) -> String {
    let encode = |byte: u8| match char::from(byte) {
        c if c.is_ascii_alphanumeric() || "-._~".contains(c) || c.is_ascii() && kept.contains(c) => {
            c.to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}
