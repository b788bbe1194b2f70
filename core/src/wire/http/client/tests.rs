//! Answers, whole and in pieces.

use proptest::prelude::*;

use super::*;

const WALL: Wall = Wall(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT

fn ask(content_max: u64) -> Ask {
    Ask { content_max, ..Ask::default() }
}

/// What came of the pieces, and how many bytes the answer took.
fn decode(ask: Ask, pieces: &[&[u8]]) -> (Received, usize) {
    let limits = Limits { head_bytes: 300, head_fields: 8, chunk_line_bytes: 32, ..Limits::default() };
    let mut client = Client::default();
    client.ask(ask);
    let mut before = 0;
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        match client.receive(WALL, piece, &limits) {
            Received::More => before += piece.len(),
            Received::Whole(response, used) => return (Received::Whole(response, 0), before + used),
            fault @ Received::Fault(_) => return (fault, 0),
        }
    }
    match client.receive_eof(true) {
        Ended::Whole(response) => (Received::Whole(response, 0), before),
        Ended::Silent | Ended::Cut => (Received::More, 0),
    }
}

#[track_caller]
fn check(asked: Ask, text: &str, expected: Result<(u16, &str, bool, usize), &str>) {
    match (decode(asked, &[text.as_bytes()]), expected) {
        ((Received::Whole(got, _), used), Ok((status, content, reusable, left))) => {
            let got = (got.status, String::from_utf8(got.content).unwrap(), got.reusable, text.len() - used);
            assert_eq!(got, (status, content.to_owned(), reusable, left), "{text:?}");
        }
        ((Received::Fault(reason), _), Err(part)) => assert!(reason.contains(part), "{text:?}: {reason}"),
        ((Received::More, _), Err("")) => {}
        (got, expected) => panic!("{text:?}: {got:?}, expected {expected:?}"),
    }
}

#[test]
fn answers_are_taken_and_reuse_is_judged() {
    let all = ask(1_000);
    for (text, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Ok((200, "hi", true, 0))),
        ("HTTP/1.1 200\r\ncontent-length: 2, 2\r\n\r\nhi", Ok((200, "hi", true, 0))),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\n\r\nhi", Ok((200, "hi", false, 0))),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
            Ok((200, "hi", false, 0)),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP", Ok((200, "hi", false, 4))),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            Ok((200, "hi", true, 0)),
        ),
        ("HTTP/1.1 500 Oh\r\n\r\nuntil the end", Ok((500, "until the end", false, 0))),
        ("HTTP/1.0 200 OK\r\n\r\n", Ok((200, "", false, 0))),
        ("HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n", Ok((204, "", true, 0))),
        ("HTTP/1.1 304 No\r\n\r\n", Ok((304, "", true, 0))),
        // RFC 9110 section 15.2: interim answers are passed over.
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            Ok((204, "", true, 0)),
        ),
        ("HTTP/1.1 101 Switch\r\n\r\n", Err("switches")),
        ("HTTP/1.1 099 No\r\n\r\n", Err("status")),
        ("HTTP/1.1 600 No\r\n\r\n", Err("status")),
        // RFC 9112 section 6: framing.
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", Err("beside")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", Err("unequal")),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n", Err("number")),
        ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", Err("number")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Err("large")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Err("coding")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", Err("coding")),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Err("1.0")),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx", Err("size")),
        // Sections 2 to 5.
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", Err("bare line feed")),
        ("HTTP/1.1 2x0 OK\r\n\r\n", Err("status line")),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Err("name")),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Err("malformed")),
        ("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", Err("value")),
        ("HTTP/2 200\r\n\r\n", Err("begin")),
        ("HTTP/1.2 200 OK\r\n\r\n", Err("1.0")),
        ("SSH-2.0-OpenSSH", Err("begin")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", Err("")),
        ("HTTP/1.1 200", Err("")),
    ] {
        check(all, text, expected);
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    check(Ask { head_only: true, ..all }, head, Ok((200, "", true, 0)));
    check(Ask { connect: true, ..all }, "HTTP/1.1 200 OK\r\n\r\ntunnel", Ok((200, "", false, 6)));
    let refused = "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno";
    check(Ask { connect: true, ..all }, refused, Ok((407, "no", true, 0)));
}

#[test]
fn content_and_heads_are_bounded() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        let (Received::Whole(got, _), _) = decode(ask(4), &[text.as_bytes()]) else { panic!("{text}") };
        assert_eq!((&got.content[..], got.cut, got.reusable), (&b"hell"[..], true, false), "{text}");
        let (Received::Whole(got, _), _) = decode(ask(5), &[text.as_bytes()]) else { panic!("{text}") };
        assert_eq!((&got.content[..], got.cut), (&b"hello"[..], false), "{text}");
    }
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(300));
    check(ask(0), &long, Err("head_bytes"));
    check(ask(0), &format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(9)), Err("head_fields"));
    // Interim answers share the bound of the head, so that they end.
    check(ask(0), &"HTTP/1.1 102 Wait\r\n\r\n".repeat(20), Err("head_bytes"));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    for (value, ms) in [
        ("120", Some(120_000)),
        ("0", Some(0)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
        ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60_000)),
        ("Sun Nov  6 08:50:37 1994", Some(60_000)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("-1", None),
        ("soon", None),
        ("", None),
    ] {
        let text = format!("HTTP/1.1 429 No\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        let (Received::Whole(got, _), _) = decode(ask(0), &[text.as_bytes()]) else { panic!("{text}") };
        assert_eq!(got.retry_after_ms, ms, "{value}");
    }
}

#[test]
fn an_end_is_told_apart() {
    let limits = Limits::default();
    let after = |bytes: &[u8], clean| {
        let mut client = Client::default();
        client.ask(ask(10));
        if !bytes.is_empty() {
            assert_eq!(client.receive(WALL, bytes, &limits), Received::More);
        }
        client.receive_eof(clean)
    };
    assert_eq!(after(b"", true), Ended::Silent);
    assert_eq!(after(b"H", true), Ended::Cut);
    assert_eq!(after(b"HTTP/1.1 100 Continue\r\n\r\n", true), Ended::Cut);
    assert_eq!(after(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", true), Ended::Cut);
    assert!(matches!(after(b"HTTP/1.1 200 OK\r\n\r\nh", true), Ended::Whole(_)));
    assert_eq!(after(b"HTTP/1.1 200 OK\r\n\r\nh", false), Ended::Cut);
    assert_eq!(
        Client::default().receive(WALL, b"HTTP/1.1 408", &limits),
        Received::Fault("bytes that nobody asked for")
    );
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        Just(b"Content-Length: 7\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Retry-After: 3\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"5\r\nhello\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    /// The splitting property; only whether the connection may go on depends on what else has come.
    #[test]
    fn splitting(
        input in proptest::collection::vec(pieces(), 0..7),
        cuts in proptest::collection::vec(0usize..120, 0..6),
        content_max in 0u64..12,
        head_only: bool,
    ) {
        let input: Vec<u8> = input.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(input.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts { pieces.push(&input[from..cut]); from = cut; }
        pieces.push(&input[from..]);
        let asked = Ask { head_only, content_max, connect: false };
        let plain = |pieces: &[&[u8]]| match decode(asked, pieces) {
            (Received::Whole(response, _), used) => {
                (Received::Whole(Response { reusable: false, ..response }, 0), used)
            }
            other => other,
        };
        prop_assert_eq!(plain(&pieces), plain(&[&input]));
    }
}
