//! Server-Sent Events at `/v1/events`: form, filters, resume, gaps, heartbeats, and who may read.

use std::time::{Duration, Instant};

use super::QUIET;
use super::peer::{Peer, get, request, value_after};
use super::server::{Server, Subject};
use super::transcript::Transcript;
use super::xms::publish;

/// Three events whose every attribute is known.
const THREE: &str = concat!(
    r#"[{"type":"call.ringing","id":"a","source":"pbx-1","subject":"call/1","time":"2026-01-01T00:00:00.000Z","#,
    r#""appid":"app","data":{"caller_number":"100","n":1.0,"nested":{"a":[1,2]}}},"#,
    r#"{"type":"call.hangup","id":"b","source":"pbx-1","subject":"call/1","time":"2026-01-01T00:00:01.000Z"},"#,
    r#"{"type":"user.login","id":"c","source":"pbx-2","subject":"user/jürgen","time":"2026-01-01T00:00:02.000Z","#,
    r#""data":{"username":"j\"\r\n\u2028ü"}}]"#
);

/// The epoch of a server that has accepted [`THREE`].
fn epoch(server: &Server) -> String {
    let mut peer = Peer::connect(server.address);
    peer.send(get("/v1/events?last_event_id=0-0"));
    peer.head();
    peer.chunk();
    let gap = String::from_utf8(peer.chunk()).unwrap();
    value_after(&gap, "\"to\":\"").split('-').next().unwrap().to_owned()
}

fn with_epoch(name: &'static str, server: &Server) -> (Transcript, String) {
    let mut t = Transcript::new(name);
    t.given(THREE);
    let epoch = epoch(server);
    t.name(epoch.clone(), "epoch");
    (t, epoch)
}

/// Form and filters: the head at once, `retry`, then an `id` and one `data` line for each event, one chunk each.
pub fn sse_streams(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let (mut t, _) = with_epoch("sse_streams", &server);
    t.title("without a filter");
    let mut all = Peer::connect(server.address);
    t.open(&mut all, request("GET /v1/events", "Accept: text/event-stream\r\n", ""));
    t.chunks(&mut all, 1);
    let filters = [
        "type=call.*",
        "type=call.ringing&type=user.login",
        "type=*&source=pbx-2",
        "subject=call/1&appid=app",
        "data.username=j%22%0D%0A%E2%80%A8%C3%BC",
        "data.n=1.0&data.caller_number=1*",
        "data.n=1.0&data.caller_number=100",
        "source=nobody",
    ];
    let mut filtered: Vec<Peer> = filters
        .iter()
        .map(|query| {
            let mut peer = Peer::connect(server.address);
            peer.send(get(&format!("/v1/events?{query}")));
            assert_eq!(peer.head().status, 200, "{query}");
            peer.chunk();
            peer
        })
        .collect();
    let mut old = Peer::connect(server.address);
    old.send("GET /v1/events HTTP/1.0\r\n\r\n");
    let head = old.head();
    old.until(b"\n\n");
    publish(peer, THREE);
    t.chunks(&mut all, 3);
    // Whatever a filter lets through comes before the end of all streams.
    server.signal(rustix::process::Signal::TERM);
    for (query, stream) in filters.iter().zip(&mut filtered) {
        t.title(&format!("?{query}"));
        t.chunks_to_end(stream);
    }
    t.title("HTTP/1.0: the same without chunks");
    t.received(head.raw.as_bytes());
    let rest = old.rest();
    t.received(&rest);
    t.check();
}

/// `Last-Event-ID`, as header and in the query; the header goes first.
pub fn sse_resume(subject: &Subject) {
    for shards in [1, 2] {
        let server = subject.shards(shards, QUIET);
        let peer = &mut Peer::connect(server.address);
        publish(peer, THREE);
        let (mut t, epoch) = with_epoch("sse_resume", &server);
        let mut streams = Vec::new();
        for (title, target, fields, count) in [
            ("after the first", "/v1/events".to_owned(), format!("Last-Event-ID: {epoch}-1\r\n"), 2),
            ("by query", format!("/v1/events?last_event_id={epoch}-2"), String::new(), 1),
            (
                "the header goes before the query, filters hold for the past too",
                format!("/v1/events?last_event_id={epoch}-2&type=call.*"),
                format!("last-event-id: {epoch}-0\r\n"),
                2,
            ),
            ("all are known", "/v1/events".to_owned(), format!("Last-Event-ID: {epoch}-3\r\n"), 0),
            ("an empty id is none", "/v1/events?last_event_id=".to_owned(), String::new(), 0),
        ] {
            t.title(title);
            let mut stream = Peer::connect(server.address);
            t.open(&mut stream, request(&format!("GET {target}"), &fields, ""));
            t.chunks(&mut stream, 1 + count);
            streams.push(stream);
        }
        publish(peer, r#"{"type":"call.dtmf","id":"live","source":"s","time":"2026-01-01T00:00:03Z"}"#);
        t.title("then, live, on each of them");
        for stream in &mut streams {
            t.chunks(stream, 1);
        }
        t.check();
    }
}

/// What is no longer retained, or never was this server's, is told as a gap before what follows.
pub fn sse_gaps(subject: &Subject) {
    for shards in [1, 2] {
        let server = subject.shards(shards, &format!("{QUIET}retained_events = 2\n"));
        let peer = &mut Peer::connect(server.address);
        publish(peer, THREE);
        publish(peer, r#"{"type":"call.dtmf","id":"d","source":"s","time":"2026-01-01T00:00:03Z"}"#);
        let (mut t, epoch) = with_epoch("sse_gaps", &server);
        for (title, id, events) in [
            ("the oldest are gone", format!("{epoch}-1"), 2),
            ("nothing is missing", format!("{epoch}-2"), 2),
            ("an id of another start", "1-7".to_owned(), 2),
            ("a number that was never given", format!("{epoch}-99"), 0),
            ("no id of ours", "hello \"world\"".to_owned(), 0),
        ] {
            t.title(title);
            let mut stream = Peer::connect(server.address);
            t.open(&mut stream, request("GET /v1/events", &format!("Last-Event-ID: {id}\r\n"), ""));
            let gap = usize::from(title != "nothing is missing");
            t.chunks(&mut stream, 1 + gap + events);
        }
        t.check();
    }
}

/// A comment after some silence, so that proxies keep the connection.
pub fn sse_heartbeats(subject: &Subject) {
    let server = subject.server("[limits]\nsse_heartbeat_ms = 200\n");
    let start = Instant::now();
    let mut stream = Peer::connect(server.address);
    stream.send(get("/v1/events"));
    stream.head();
    stream.chunk();
    for count in 1..=3 {
        assert_eq!(stream.chunk(), b"3\r\n:\n\n\r\n");
        assert!(start.elapsed() >= Duration::from_millis(200 * count - 2), "a heartbeat came early");
    }
}

/// Without tokens: this machine alone, by its own name, without a proxy between, and no pages of other origins.
pub fn sse_access(subject: &Subject) {
    let config = "[native]\nallowed_origins = [\"https://crm.example.com\"]\n";
    let mut server = subject.server(config);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("sse_access");
    for (title, head) in [
        ("a name that was rebound", "GET /v1/events HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        ("a proxy", "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n"),
        ("a proxy", "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nForwarded: for=127.0.0.1\r\n\r\n"),
        ("a proxy", "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nVia: 1.1 proxy\r\n\r\n"),
        (
            "another origin",
            "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n",
        ),
        (
            "a listed origin asks",
            "OPTIONS /v1/events HTTP/1.1\r\nHost: localhost\r\nOrigin: https://crm.example.com\r\n\r\n",
        ),
        (
            "a listed origin errs",
            "GET /v1/events?x=1 HTTP/1.1\r\nHost: localhost\r\nOrigin: https://crm.example.com\r\n\r\n",
        ),
        ("what is no filter", "GET /v1/events?tpye=call.* HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("a broken query", "GET /v1/events?type=%f HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (
            "no event stream wanted",
            "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n",
        ),
        ("a wrong method", "DELETE /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("an unknown address", "GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        t.title(title);
        t.ask(peer, head);
    }
    t.title("a listed origin reads");
    t.open(peer, "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nOrigin: https://crm.example.com\r\nAccept: */*\r\n\r\n");
    t.chunks(peer, 1);
    t.check();
    let line = server.wait_for("was refused: its origin https://evil.example");
    assert!(line.contains("[native] allowed_origins = [\"https://evil.example\"] admits it"), "{line}");
}
