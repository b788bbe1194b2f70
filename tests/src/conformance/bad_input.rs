//! What peers get wrong in HTTP itself: always an answer, never anything lost that was published before.

use super::peer::{Peer, get, request};
use super::server::Subject;
use super::transcript::Transcript;
use super::xms::{COLLECTION, document, post, publication};

/// Heads that no two readers may disagree about: 400 and the end of the connection.
pub fn http_faults(subject: &Subject) {
    let server = subject.server("");
    let mut t = Transcript::new("http_faults");
    for (title, head) in [
        ("a malformed request line", "GET\r\n\r\n"),
        ("a target that is no path", "GET v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("a control character in the target", "GET /a\tb HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("no HTTP version that we speak", "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n"),
        ("bare LF, request line", "GET / HTTP/1.1\nHost: localhost\r\n\r\n"),
        ("bare LF, field", "GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n"),
        ("a CR alone", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n"),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n"),
        ("a folded line", "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n"),
        ("a field without a colon", "GET / HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n"),
        ("no Host", "GET / HTTP/1.1\r\n\r\n"),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
        ("a Host that is none", "GET / HTTP/1.1\r\nHost: local host\r\n\r\n"),
        (
            "Content-Length and Transfer-Encoding",
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "unequal lengths",
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        ),
        (
            "unequal lengths in one field",
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5, 6\r\n\r\nhello",
        ),
        (
            "a length that is no number",
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        ),
        (
            "an endless length",
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
        ),
        ("chunked in HTTP/1.0", "POST /v1/events HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "another transfer coding",
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        ),
        (
            "an unknown expectation",
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n",
        ),
        ("a proxy's method", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        t.title(title);
        let mut peer = Peer::connect(server.address);
        // What follows a fault is not taken for a request.
        peer.send(format!("{head}GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        t.sent(head.as_bytes());
        let reply = peer.reply_to(b"");
        t.reply(&reply);
        t.ended(&mut peer);
    }
    t.check();
}

/// Broken chunks: 400 in the form of the dialect that was asked, and the end; what was published before them stays.
pub fn http_faults_in_a_body(subject: &Subject) {
    let server = subject.server("");
    let mut t = Transcript::new("http_faults_in_a_body");
    let native = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let xms = format!("POST {COLLECTION} HTTP/1.1\r\nHost: localhost\r\n");
    let mut published = 0;
    for head in [native, &xms] {
        for (title, body) in [
            ("a size that is none", "zz\r\nhello\r\n0\r\n\r\n"),
            ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
            ("a size with a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
            ("an empty size", "\r\nhello\r\n0\r\n\r\n"),
            ("an endless size", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
            ("a bare LF after the size", "5\nhello\r\n0\r\n\r\n"),
            ("a bare LF in an extension", "5;a=b\nhello\r\n0\r\n\r\n"),
            ("data longer than its size", "4\r\nhello\r\n0\r\n\r\n"),
            ("a bare LF after the data", "5\r\nhello\n0\r\n\r\n"),
            ("a bare LF in the trailer", "0\r\nT: v\n\r\n"),
        ] {
            t.title(title);
            let mut peer = Peer::connect(server.address);
            // The event before it, in the same write, is published.
            peer.send(publication(r#"{"type":"call.ringing"}"#));
            let broken = format!("{head}Transfer-Encoding: chunked\r\n\r\n{body}");
            peer.send(&broken);
            assert_eq!(peer.reply_to(b"POST").status(), 202, "{title}");
            published += 1;
            t.sent(broken.as_bytes());
            let reply = peer.reply_to(b"");
            t.reply(&reply);
            t.ended(&mut peer);
        }
    }
    t.check();
    let mut peer = Peer::connect(server.address);
    assert_eq!(super::xms::metric(&mut peer, "offhook_events_accepted_total"), published);
}

/// 64 KiB of garbage of many kinds: a 4xx and the end, and the server is as it was.
pub fn http_garbage(subject: &Subject) {
    const SIZE: usize = 65_536;
    let server = subject.server("");
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random =
        |alphabet: &[u8]| -> Vec<u8> {
            let mut next = || {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed
            };
            (0..SIZE)
                .map(|_| {
                    if alphabet.is_empty() {
                        next() as u8
                    } else {
                        alphabet[next() as usize % alphabet.len()]
                    }
                })
                .collect()
        };
    let mut garbage = vec![
        (b"A".repeat(SIZE), 431),
        (vec![0; SIZE], 431),
        (b"\n".repeat(SIZE), 400),
        (b"\r\r\n".repeat(SIZE / 3), 431),
        (random(b""), 400),
        (random(b""), 400),
        (random(b"GET /:\r\n"), 400),
        (random(&(0x80..=0xFF).collect::<Vec<u8>>()), 431),
        (random(b"0123456789abcdef"), 431),
        (b"GET / HTTP/1.1\r\n".repeat(SIZE / 16), 431),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}", "X: y\r\n".repeat(SIZE / 6)).into_bytes(), 431),
        (format!("GET /{} HTTP/1.1\r\n", "a".repeat(SIZE)).into_bytes(), 431),
    ];
    // Empty lines before a request are forgiven.
    let mut empty = b"\r\n".repeat(SIZE / 2);
    empty.extend(get("/healthz"));
    garbage.push((empty, 200));
    for (at, (bytes, status)) in garbage.iter().enumerate() {
        let mut peer = Peer::connect(server.address);
        peer.try_send(bytes);
        let reply = peer.reply_to(b"");
        assert_eq!(reply.status(), *status, "garbage {at}: {}", reply.text());
        if *status != 200 {
            peer.expect_end();
        }
    }
    // A TLS greeting, and the preface of HTTP/2.
    for bytes in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut peer = Peer::connect(server.address);
        peer.send(bytes);
        assert!((400..=505).contains(&peer.reply_to(b"").status()));
        peer.expect_end();
    }
    assert_eq!(Peer::connect(server.address).ask(get("/healthz")).status(), 200);
}

/// Heads and bodies beyond their limits.
pub fn http_limits(subject: &Subject) {
    let server = subject.server("");
    let mut t = Transcript::new("http_limits");
    t.title("a head of more than 16 KiB");
    let mut peer = Peer::connect(server.address);
    peer.send(request("GET /healthz", &format!("X: {}\r\n", "x".repeat(16_384)), ""));
    let reply = peer.reply_to(b"");
    t.reply(&reply);
    t.ended(&mut peer);
    t.title("more than 100 fields");
    let mut peer = Peer::connect(server.address);
    peer.send(request("GET /healthz", &"X: y\r\n".repeat(100), ""));
    let reply = peer.reply_to(b"");
    t.reply(&reply);
    t.ended(&mut peer);
    t.title("100 fields, Host among them");
    let reply = Peer::connect(server.address).ask(request("GET /healthz", &"X: y\r\n".repeat(99), ""));
    t.reply(&reply);
    t.title("an announced body of 9 MiB, which nobody waits for");
    let mut peer = Peer::connect(server.address);
    peer.send("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9437184\r\n\r\n");
    let reply = peer.reply_to(b"");
    t.reply(&reply);
    t.ended(&mut peer);
    t.title("... to an eventhandler");
    let mut peer = Peer::connect(server.address);
    peer.send(format!("POST {COLLECTION} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9437184\r\n\r\n"));
    let reply = peer.reply_to(b"");
    t.reply(&reply);
    t.ended(&mut peer);
    t.title("a chunk's size line of more than 4 KiB");
    let mut peer = Peer::connect(server.address);
    let head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    peer.send(format!("{head}5;{}", "x".repeat(4_200)));
    let reply = peer.reply_to(b"");
    t.reply(&reply);
    t.ended(&mut peer);
    t.check();
}

/// A head or a body that does not come: 408, in the form of the dialect where it is known; an idle connection is closed
/// without a word.
pub fn http_deadlines(subject: &Subject) {
    let server = subject.server("[limits]\nhead_ms = \"1s\"\nbody_grace_ms = \"1s\"\nidle_ms = \"1s\"\n");
    let mut t = Transcript::new("http_deadlines");
    let post_head = |target: &str| {
        let fields = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n";
        format!("POST {target} HTTP/1.1\r\n{fields}\r\n123")
    };
    let cases = [
        ("half a head", "GET /healthz HTTP/1.1\r\nHost: loc".to_owned()),
        ("half a body", post_head("/v1/events")),
        ("half a body of an eventhandler", post_head(COLLECTION)),
    ];
    // All at once, so that their second passes once.
    let mut peers = cases.each_ref().map(|(_, bytes)| {
        let mut peer = Peer::connect(server.address);
        peer.send(bytes);
        peer
    });
    let mut silent = Peer::connect(server.address);
    let mut idle = Peer::connect(server.address);
    let reply = idle.ask(get("/healthz"));
    for ((title, bytes), peer) in cases.iter().zip(&mut peers) {
        t.title(title);
        t.sent(bytes.as_bytes());
        let reply = peer.reply_to(b"");
        t.reply(&reply);
        t.ended(peer);
    }
    t.title("nothing at all");
    t.ended(&mut silent);
    t.title("nothing after a reply");
    t.reply(&reply);
    t.ended(&mut idle);
    t.check();
    assert_eq!(Peer::connect(server.address).ask(get("/healthz")).status(), 200);
}

/// A server that is full answers in the caller's dialect, with Retry-After, and takes the next when one has gone.
pub fn http_full_server(subject: &Subject) {
    let server = subject.server("[limits]\nconnections = 2\n");
    let mut t = Transcript::new("http_full_server");
    let mut peers = [Peer::connect(server.address), Peer::connect(server.address)];
    for peer in &mut peers {
        assert_eq!(peer.ask(get("/healthz")).status(), 200);
    }
    for (title, request) in [
        ("to publish", publication(r#"{"type":"call.ringing"}"#)),
        ("for an eventhandler", post("<eventsubscribe/>")),
        ("for the state of the server", get("/readyz")),
    ] {
        t.title(title);
        let mut surplus = Peer::connect(server.address);
        t.ask(&mut surplus, request);
        t.ended(&mut surplus);
    }
    let [mut first, second] = peers;
    drop(second);
    // The server notices the end of a connection when it reads; until then a new one is still too many.
    let start = std::time::Instant::now();
    loop {
        let mut next = Peer::connect(server.address);
        if next.ask(request(&format!("POST {COLLECTION}"), "", document("<eventsubscribe/>"))).status() == 201
        {
            break;
        }
        assert!(start.elapsed() < super::server::PATIENCE, "the place is not free again");
    }
    assert_eq!(first.ask(get("/healthz")).status(), 200);
    t.check();
}
