//! Publishing at `/v1/events`: every form in, every fault answered, and what came of it on a stream.

use super::QUIET;
use super::peer::{Peer, get, request};
use super::server::Subject;
use super::transcript::Transcript;

const JSON: &str = "Content-Type: application/json\r\n";

fn publication(content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST /v1/events", &format!("Content-Type: {content_type}\r\n"), body)
}

/// One event and many, relaxed and strict, structured and binary; with a length and in chunks.
pub fn publishing_forms(subject: &Subject) {
    let server = subject.server(&format!("{QUIET}[native]\nsource = \"here\"\n"));
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("publishing_forms");
    let mut sse = Peer::connect(server.address);
    sse.send(get("/v1/events"));
    sse.head();
    sse.chunk();
    let full =
        r#"{"specversion":"1.0","id":"i","source":"s","type":"call.hangup","time":"2026-01-01T00:00:00Z"}"#;
    let binary =
        "ce-specversion: 1.0\r\nce-id: b\r\nce-source: s\r\nce-type: call.info\r\nce-appid: a%20b\r\n";
    for (title, events, request) in [
        ("one, relaxed", 1, publication("application/json; charset=utf-8", r#"{"type":"call.ringing"}"#)),
        (
            "an array",
            2,
            publication(
                "application/json",
                r#" [ {"type":"a","id":"1","data":{"n":1.0,"big":12345678901234567890123,"s":"a\u00fc\n"}},
                {"type":"b","data":"text","subject":"x/y","zeta":7,"appid":"app"} ] "#,
            ),
        ),
        ("an empty array", 0, publication("application/json", "[]")),
        (
            "one a line",
            2,
            publication("application/x-ndjson", "{\"type\":\"a\"}\r\n\n{\"type\":\"b\",\"data\":{\"l\":[1, 2]}}\n"),
        ),
        ("CloudEvents, structured", 1, publication("application/cloudevents+json", full)),
        ("CloudEvents, a batch", 2, publication("application/cloudevents-batch+json", format!("[{},{}]", full.replace("\"i\"", "\"j\""), full.replace("\"i\"", "\"k\"")))),
        (
            "CloudEvents, binary, JSON data",
            1,
            request("POST /v1/events", &format!("{binary}{JSON}"), r#"{"content": "x"}"#),
        ),
        (
            "CloudEvents, binary, other data",
            1,
            request(
                "POST /v1/events",
                &format!("{}Content-Type: text/plain\r\n", binary.replace("ce-id: b", "ce-id: c")),
                "hi",
            ),
        ),
        (
            "in chunks, with an extension and a trailer",
            1,
            b"POST /v1/events HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n\
              Transfer-Encoding: chunked\r\n\r\n8;x=\"y\"\r\n{\"type\":\r\n9\r\n\"chunked\"\r\n01\r\n}\r\n0\r\nT: v\r\n\r\n"
                .to_vec(),
        ),
    ] {
        t.title(title);
        let reply = t.ask(peer, request);
        assert_eq!(reply.status(), 202, "{title}");
        for _ in 0..events {
            let chunk = sse.chunk();
            let text = String::from_utf8(chunk).unwrap();
            let (head, rest) = text.split_once("id: ").unwrap();
            let (id, rest) = rest.split_once('\n').unwrap();
            let (_, seq) = id.split_once('-').unwrap();
            assert!(head.ends_with("\r\n"));
            t.chunk(format!("{head}id: {{epoch}}-{seq}\n{rest}").as_bytes());
        }
    }
    t.check();
}

/// JSON that is wrong names the index; nothing of the batch is published.
pub fn publishing_faults(subject: &Subject) {
    let server =
        subject.server(&format!("{QUIET}batch_events = 3\nevent_names = 4\npublish_bytes = \"4KiB\"\n"));
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("publishing_faults");
    let mut sse = Peer::connect(server.address);
    sse.send(get("/v1/events"));
    sse.head();
    sse.chunk();
    for (title, content_type, body) in [
        ("no JSON", "application/json", "nonsense".to_owned()),
        ("no body", "application/json", String::new()),
        ("no object", "application/json", "7".to_owned()),
        ("no type", "application/json", "{}".to_owned()),
        ("the third of a batch", "application/json", r#"[{"type":"t"},{"type":"t"},{"type":7}]"#.to_owned()),
        ("an array that ends early", "application/json", r#"[{"type":"t"}"#.to_owned()),
        ("the second line", "application/x-ndjson", "{\"type\":\"t\"}\n{\"type\":\n".to_owned()),
        ("a member twice", "application/json", r#"{"type":"t","type":"u"}"#.to_owned()),
        ("a time that is none", "application/json", r#"{"type":"t","time":"noon"}"#.to_owned()),
        (
            "more events than a batch may have",
            "application/json",
            format!("[{}]", [r#"{"type":"t"}"#; 4].join(",")),
        ),
        (
            "more members than data may have",
            "application/json",
            r#"{"type":"t","data":{"a":1,"b":1,"c":1,"d":1,"e":1}}"#.to_owned(),
        ),
        (
            "strict, without a source",
            "application/cloudevents+json",
            r#"{"specversion":"1.0","id":"1","type":"t"}"#.to_owned(),
        ),
        ("a batch that is no array", "application/cloudevents-batch+json", "{}".to_owned()),
        ("another content type", "text/plain", "x".to_owned()),
    ] {
        t.title(title);
        let reply = t.ask(peer, publication(content_type, body));
        assert!(reply.status() >= 400, "{title}");
    }
    t.title("no content type at all");
    t.ask(peer, request("POST /v1/events", "", "{}"));
    t.title("bytes that are no UTF-8");
    t.ask(peer, publication("application/json", b"{\"type\":\"\xff\"}"));
    t.title("more bytes than a body may have (not shown)");
    let reply = peer.ask(publication("application/json", " ".repeat(4_097)));
    t.reply(&reply);
    t.title("a body of unknown length that grows too large (not shown)");
    let chunked = format!("{JSON}Transfer-Encoding: chunked\r\n");
    let mut large = request("POST /v1/events", &chunked, "");
    large.extend(format!("1001\r\n{}\r\n0\r\n\r\n", " ".repeat(4_097)).into_bytes());
    let reply = peer.ask(large);
    t.reply(&reply);
    t.title("the connection goes on, and this is the first event that anybody sees");
    t.ask(
        peer,
        publication(
            "application/json",
            r#"{"type":"t","id":"i","source":"s","time":"2026-01-01T00:00:00Z"}"#,
        ),
    );
    let chunk = String::from_utf8(sse.chunk()).unwrap();
    assert!(chunk.contains("-1\ndata: "), "{chunk}");
    t.check();
}
