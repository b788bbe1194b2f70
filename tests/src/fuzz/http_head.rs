//! The head of a request: where it ends, and the judgement of its fields.

use offhook_core::wire::Step;
use offhook_core::wire::http::head::{Framing, Head, HeadEnd, parse};

use super::split;

/// Cuts a head off the front of `data` under a small and a roomy limit, and judges what was cut.
pub fn run(data: &[u8]) {
    for limit in [48, 16_384] {
        let whole = find(&[data], limit);
        for pieces in [split::pieces(data), split::bytes(data)] {
            assert_eq!(find(&pieces, limit), whole, "the end of the head depends on how it was split");
        }
        if let Step::Item((), len) = whole {
            assert!(len <= limit && data[..len].ends_with(b"\r\n\r\n"));
            judge(&data[..len]);
        }
    }
}

fn find(pieces: &[&[u8]], limit: usize) -> Step<()> {
    let mut end = HeadEnd::default();
    let mut come = Vec::new();
    for piece in pieces {
        come.extend_from_slice(piece);
        match end.find(&come, limit) {
            Step::More => {}
            step @ (Step::Item(..) | Step::Fault(_)) => return step,
        }
    }
    Step::More
}

fn judge(bytes: &[u8]) {
    let head = match parse(bytes, 100) {
        Ok(head) => head,
        Err(fault) => {
            assert!(matches!(fault.status, 400 | 417 | 431 | 501 | 505), "{fault:?}");
            return;
        }
    };
    assert!(!head.method.is_empty() && head.method.bytes().all(|b| b.is_ascii_graphic()));
    assert!(head.path.starts_with('/') || head.path == "*", "{:?}", head.path);
    assert!(!head.path.contains('?'));
    assert!(head.path.bytes().chain(head.query.bytes()).all(|b| b.is_ascii_graphic() && b != b'#'));
    let named = |name: &'static str| {
        head.fields().iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    };
    assert!(named("host").count() <= 1, "two Hosts passed");
    assert!(!head.http11 || named("host").count() == 1, "HTTP/1.1 without Host passed");
    let codings: Vec<&str> = named("transfer-encoding").collect();
    let lengths: Vec<&str> = named("content-length").collect();
    match head.framing {
        Framing::Chunked => {
            assert!(head.http11 && lengths.is_empty(), "a length beside a coding passed");
            assert!(codings.len() == 1 && codings[0].eq_ignore_ascii_case("chunked"), "{codings:?}");
        }
        Framing::Length(length) => {
            assert!(codings.is_empty(), "{codings:?} passed without chunked framing");
            for value in lengths.iter().flat_map(|v| v.split(',')) {
                assert_eq!(value.trim().parse(), Ok(length), "{lengths:?}");
            }
            assert!(!lengths.is_empty() || length == 0);
        }
    }
    for (name, value) in head.fields() {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        assert!(!name.is_empty() && name.bytes().all(is_token), "{name:?}");
        assert!(!value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)), "{value:?}");
    }
    assert_eq!(parse(bytes, head.fields().len().max(1)).map(|_| ()), Ok(()), "as many fields as are taken");
    written_again(&head);
}

/// A head that was accepted means the same when it is written in its plainest form.
fn written_again(head: &Head<'_>) {
    let version = if head.http11 { "1.1" } else { "1.0" };
    let mut text = format!("{} {}?{} HTTP/{version}\r\n", head.method, head.path, head.query);
    for (name, value) in head.fields() {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    if head.path == "*" {
        return;
    }
    let again = parse(text.as_bytes(), 100).expect("an accepted head is accepted again");
    assert_eq!((again.method, again.path, again.query), (head.method, head.path, head.query));
    assert_eq!((again.framing, again.keep_alive), (head.framing, head.keep_alive));
    assert_eq!(again.expects_continue, head.expects_continue);
    assert_eq!(again.fields(), head.fields());
}
