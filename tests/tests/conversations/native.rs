//! Our own API: publishing in all forms, Server-Sent Events to the byte, filters, and who may come in.

use offhook_core::Config;
use offhook_tests::memory::read::{Reply, ServerSent, server_sent};
use offhook_tests::memory::write::{get, publish, request};
use offhook_tests::memory::{Peer, World};

use crate::common::{assert_problem, publish_all};

const RETRY: &str = "d\r\nretry: 2000\n\n\r\n";

/// Opens an event stream; its `retry` is taken.
fn open(world: &mut World, target: &str) -> Peer {
    let peer = world.connect();
    let head = world.open(peer, get(target));
    assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")), "{target}");
    assert_eq!(world.take(peer), RETRY.as_bytes());
    peer
}

/// The events of an open stream since the last time, one chunk each.
fn events(world: &mut World, peer: Peer) -> Vec<ServerSent> {
    let chunks = world.chunks(peer);
    assert!(chunks.rest.is_empty() && !chunks.ended);
    let one = |chunk: &Vec<u8>| {
        let mut events = server_sent(chunk);
        assert_eq!(events.len(), 1, "one event, one chunk");
        events.remove(0)
    };
    chunks.chunks.iter().map(one).collect()
}

fn data(world: &mut World, peer: Peer) -> Vec<String> {
    events(world, peer).into_iter().map(|event| event.data.expect("an event has data")).collect()
}

fn accepted(reply: &Reply) -> Vec<(String, u64)> {
    assert_eq!(
        (reply.status, reply.field("content-type")),
        (202, Some("application/json")),
        "{}",
        reply.text()
    );
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("the reply is JSON");
    let entry = |e: &serde_json::Value| Some((e["id"].as_str()?.to_owned(), e["seq"].as_u64()?));
    let entries = body["accepted"].as_array().expect("a list");
    entries.iter().map(|e| entry(e).expect("an id and a number")).collect()
}

#[test]
fn an_event_to_the_byte() {
    let mut world = World::new();
    let peer = open(&mut world, "/v1/events");
    let event = r#"{"id":"7","source":"pbx","type":"call.ringing","subject":"call/1",
        "time":"2026-01-01T01:00:00+01:00","appid":"app","zone":true,"account":"a\u00fc",
        "dataschema":"urn:x", "data": {"b": 1.0, "a": [1, {"x": null}], "c": "\n\u2028"} }"#;
    assert_eq!(accepted(&world.ask_alone(publish(event))), [("7".to_owned(), 1)]);
    let json = "{\"specversion\":\"1.0\",\"id\":\"7\",\"source\":\"pbx\",\"type\":\"call.ringing\",\
                \"subject\":\"call/1\",\"time\":\"2026-01-01T01:00:00+01:00\",\"dataschema\":\"urn:x\",\
                \"account\":\"aü\",\"appid\":\"app\",\"zone\":true,\
                \"data\":{\"b\":1.0,\"a\":[1,{\"x\":null}],\"c\":\"\\n\u{2028}\"}}";
    let text = format!("id: a1-1\ndata: {json}\n\n");
    assert_eq!(String::from_utf8(world.take(peer)).unwrap(), format!("{:x}\r\n{text}\r\n", text.len()));
}

#[test]
fn what_is_left_out_is_filled_in() {
    let mut world = World::new();
    let peer = open(&mut world, "/v1/events");
    let reply = world.ask_alone(publish(r#"{"type":"x"}"#));
    let id = &accepted(&reply)[0].0;
    assert_eq!(&id[14..15], "7", "a UUIDv7 is minted: {id}");
    let expected = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"offhook\",\"type\":\"x\",\
         \"time\":\"2015-11-03T14:37:11.000Z\"}}"
    );
    assert_eq!(data(&mut world, peer), [expected]);
}

#[test]
fn all_forms_of_publishing() {
    let strict = |id: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t"}}"#);
    let relaxed = r#"{"type":"t","id":"a"}"#;
    let binary = "ce-specversion: 1.0\r\nce-id: a\r\nce-source: s\r\nce-type: t\r\n";
    for (name, fields, body, ids) in [
        ("one", "Content-Type: application/json\r\n".to_owned(), relaxed.to_owned(), vec!["a"]),
        (
            "parameters",
            "Content-Type: Application/JSON; charset=utf-8\r\n".to_owned(),
            relaxed.to_owned(),
            vec!["a"],
        ),
        (
            "an array",
            "Content-Type: application/json\r\n".to_owned(),
            format!("[{},{relaxed}]", strict("b")),
            vec!["b", "a"],
        ),
        ("nothing", "Content-Type: application/json\r\n".to_owned(), "[]".to_owned(), vec![]),
        (
            "lines",
            "Content-Type: application/x-ndjson\r\n".to_owned(),
            format!("{relaxed}\r\n\n{}\n", strict("b")),
            vec!["a", "b"],
        ),
        ("structured", "Content-Type: application/cloudevents+json\r\n".to_owned(), strict("a"), vec!["a"]),
        (
            "batch",
            "Content-Type: application/cloudevents-batch+json\r\n".to_owned(),
            format!("[{},{}]", strict("a"), strict("b")),
            vec!["a", "b"],
        ),
        ("binary", format!("{binary}Content-Type: application/json\r\n"), r#"{"k":1}"#.to_owned(), vec!["a"]),
        ("binary, bytes", format!("{binary}Content-Type: text/plain\r\n"), "hi".to_owned(), vec!["a"]),
        ("binary, no data", binary.to_owned(), String::new(), vec!["a"]),
    ] {
        let mut world = World::new();
        let reply = world.ask_alone(request("POST", "/v1/events", &fields, &body));
        let got = accepted(&reply);
        assert_eq!(got.iter().map(|(id, _)| &**id).collect::<Vec<_>>(), ids, "{name}");
        let numbers: Vec<u64> = got.iter().map(|(_, seq)| *seq).collect();
        assert_eq!(numbers, (1..=ids.len() as u64).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn data_that_is_no_object_is_passed_on() {
    let mut world = World::new();
    let peer = open(&mut world, "/v1/events");
    let fields = "ce-specversion: 1.0\r\nce-id: a%20b\r\nce-source: s\r\nce-type: t\r\nce-appid: x\r\nContent-Type: text/plain\r\n";
    accepted(&world.ask_alone(request("POST", "/v1/events", fields, "hi")));
    accepted(&world.ask_alone(publish(
        r#"{"id":"b","source":"s","type":"t","time":"2026-01-01T00:00:00Z","data":[1, 2]}"#,
    )));
    let got = data(&mut world, peer);
    let first: serde_json::Value = serde_json::from_str(&got[0]).unwrap();
    assert_eq!(
        (&first["id"], &first["appid"], &first["data_base64"]),
        (&"a b".into(), &"x".into(), &"aGk=".into())
    );
    assert_eq!(first["datacontenttype"], "text/plain");
    assert!(got[1].ends_with("\"data\":[1,2]}"), "{}", got[1]);
}

#[test]
fn strict_forms_are_strict() {
    let mut world = World::new();
    for (media, body) in [
        ("application/cloudevents+json", r#"{"id":"a","source":"s","type":"t"}"#),
        ("application/cloudevents+json", r#"{"specversion":"1.0","source":"s","type":"t"}"#),
        ("application/cloudevents+json", r#"{"specversion":"1.0","id":"a","type":"t"}"#),
        ("application/cloudevents+json", r#"{"specversion":"1.0","id":"a","source":"s"}"#),
        ("application/cloudevents+json", r#"[{"specversion":"1.0","id":"a","source":"s","type":"t"}]"#),
        ("application/cloudevents-batch+json", r#"{"specversion":"1.0","id":"a","source":"s","type":"t"}"#),
        ("application/json", r#"{"specversion":"0.3","type":"t"}"#),
        ("application/json", r#"{"type":"t","type":"u"}"#),
        ("application/json", r#"{"type":"t","Bad_Name":"u"}"#),
        ("application/json", r#"{"type":"t","data":{},"data_base64":"AAAA"}"#),
        ("application/json", r#"{"type":"t","data_base64":"?"}"#),
        ("application/json", r#"{"type":"t","id":""}"#),
        ("application/json", "{\"type\":\"t\"} x"),
        ("application/x-ndjson", "{\"type\":\"t\"}\n{"),
    ] {
        let bad = request("POST", "/v1/events", &format!("Content-Type: {media}\r\n"), body);
        let reply = world.ask_alone(bad);
        assert_problem(&reply, 400);
    }
    let reply = world.ask_alone(request(
        "POST",
        "/v1/events",
        "Content-Type: application/x-ndjson\r\n",
        "{\"type\":\"t\"}\n\n{",
    ));
    assert_eq!(assert_problem(&reply, 400)["index"], 1);
    assert_eq!(world.stats().events_accepted, 0);
}

#[test]
fn a_batch_is_bounded() {
    let mut config = Config::default();
    config.limits.batch_events = 3;
    let mut world = World::with(config, 1);
    let batch = |count: usize| publish(format!("[{}]", vec![r#"{"type":"t"}"#; count].join(",")));
    assert_eq!(accepted(&world.ask_alone(batch(3))).len(), 3);
    assert_problem(&world.ask_alone(batch(4)), 413);
    assert_eq!(world.stats().events_accepted, 3);
}

#[test]
fn filters() {
    let mut world = World::new();
    let all = [
        r#"{"id":"1","type":"call.ringing","subject":"call/1","appid":"app","data":{"digits":"1","n":1.0}}"#,
        r#"{"id":"2","type":"call.hangup","subject":"call/2","source":"pbx","data":{"digits":"2","b":true}}"#,
        r#"{"id":"3","type":"user.login","data":{"user name":"ü","n":1}}"#,
        r#"{"id":"4","type":"call","appid":"other","data":{"digits":{"nested":"1"}}}"#,
    ];
    let queries = [
        ("", "1234"),
        ("?type=call.*", "12"),
        ("?type=call.*&type=user.login", "123"),
        ("?type=call", "4"),
        ("?type=*", "1234"),
        ("?type=call.*&data.digits=2", "2"),
        ("?subject=call/1&subject=call/2", "12"),
        ("?subject=*", "12"),
        ("?source=pbx", "2"),
        ("?appid=app&appid=other", "14"),
        ("?data.n=1.0", "1"),
        ("?data.b=true", "2"),
        ("?data.user%20name=%C3%BC", "3"),
        ("?data.digits=*", "12"),
        ("?type=no.such", ""),
    ];
    let streams: Vec<Peer> =
        queries.iter().map(|(query, _)| open(&mut world, &format!("/v1/events{query}"))).collect();
    publish_all(&mut world, &all.map(str::to_owned));
    for ((query, expected), stream) in queries.iter().zip(&streams) {
        let got: String = data(&mut world, *stream)
            .iter()
            .map(|json| {
                serde_json::from_str::<serde_json::Value>(json).unwrap()["id"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(got, *expected, "{query}");
    }
    for query in ["?colour=red", "?data.=1", "?type=%zz", &format!("?{}", "type=a&".repeat(65))] {
        assert_problem(&world.ask_alone(get(&format!("/v1/events{query}"))), 400);
    }
}

#[test]
fn accept_decides() {
    let mut world = World::new();
    for (accept, status) in [
        ("text/event-stream", 200),
        ("*/*", 200),
        ("text/html, text/*;q=0.5", 200),
        ("application/json", 406),
        ("text/event-stream;q=0", 406),
    ] {
        let peer = world.connect();
        let head = world.open(peer, request("GET", "/v1/events", &format!("Accept: {accept}\r\n"), ""));
        assert_eq!(head.status, status, "{accept}");
        world.break_off(peer);
    }
    assert_problem(&world.ask_alone(request("GET", "/v1/events", "Accept: application/json\r\n", "")), 406);
}

#[test]
fn the_head_leaves_at_once_and_heartbeats_follow() {
    let mut world = World::new();
    let peer = world.connect();
    let head = world.open(peer, get("/v1/events"));
    assert_eq!(
        (head.field("cache-control"), head.field("transfer-encoding")),
        (Some("no-store"), Some("chunked"))
    );
    assert_eq!(head.field("content-length"), None);
    assert_eq!(world.take(peer), RETRY.as_bytes());
    world.pass(14_999);
    assert!(world.received(peer).is_empty());
    world.pass(1);
    assert_eq!(world.take(peer), b"3\r\n:\n\n\r\n");
    world.pass(30_000);
    assert_eq!(events(&mut world, peer).iter().map(|event| event.comments).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn http_1_0_streams_without_chunks() {
    let mut world = World::new();
    let peer = world.connect();
    let head = world.open(peer, "GET /v1/events?type=a HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.field("connection"), head.field("transfer-encoding")), (Some("close"), None));
    assert_eq!(world.take(peer), b"retry: 2000\n\n");
    publish_all(
        &mut world,
        &[r#"{"type":"a"}"#.to_owned(), r#"{"type":"b"}"#.to_owned(), r#"{"type":"a"}"#.to_owned()],
    );
    world.pass(15_000);
    let ids: Vec<_> =
        server_sent(&world.take(peer)).into_iter().map(|event| (event.id, event.comments)).collect();
    assert_eq!(ids, [(Some("a1-1".to_owned()), 0), (Some("a1-3".to_owned()), 0), (None, 1)]);
}

/// What was queued when the server stops still leaves, also without chunks.
#[test]
fn a_stop_ends_streams_cleanly() {
    for (version, end) in [("1.1", "0\r\n\r\n"), ("1.0", "")] {
        let mut world = World::new();
        let peer = world.connect();
        world.open(peer, format!("GET /v1/events HTTP/{version}\r\nHost: localhost\r\n\r\n"));
        world.take(peer);
        world.limit_room(peer, 0);
        let event = r#"{"id":"1","source":"s","type":"t","time":"2026-01-01T00:00:00Z"}"#.to_owned();
        publish_all(&mut world, &[event.clone(), event.replace("\"1\"", "\"2\"")]);
        world.tell(|| offhook_core::Completion::Stop);
        world.lift_limit(peer);
        let text = String::from_utf8(world.take(peer)).unwrap();
        assert_eq!(text.matches("id: a1-").count(), 2, "{version}: {text}");
        assert!(
            text.ends_with(&format!("\n\n{}{end}", if end.is_empty() { "" } else { "\r\n" })),
            "{version}: {text:?}"
        );
        assert!(world.is_ended(peer));
    }
}

#[test]
fn only_this_machine_may_use_v1() {
    let mut world = World::new();
    for (from, fields, open) in [
        ("127.0.0.1:1", "Host: localhost:8080\r\n", true),
        ("127.3.2.1:1", "Host: 127.0.0.1\r\n", true),
        ("[::1]:1", "Host: [::1]:8080\r\n", true),
        ("192.0.2.1:1", "Host: localhost\r\n", false),
        ("127.0.0.1:1", "Host: events.example.com\r\n", false),
        ("127.0.0.1:1", "Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\n", false),
        ("127.0.0.1:1", "Host: localhost\r\nForwarded: for=127.0.0.1\r\n", false),
        ("127.0.0.1:1", "Host: localhost\r\nVia: 1.1 proxy\r\n", false),
    ] {
        for target in [
            "GET /v1/events",
            "HEAD /v1/events",
            "GET /v1/xms/eventhandlers",
            "POST /v1/events",
            "GET /v1/nope",
        ] {
            let peer = world.connect_from(0, from);
            let length = if target.starts_with("POST") {
                "Content-Type: application/json\r\nContent-Length: 2\r\n"
            } else {
                ""
            };
            let body = if length.is_empty() { "" } else { "[]" };
            let head = world.open(peer, format!("{target} HTTP/1.1\r\n{fields}{length}\r\n{body}"));
            assert_eq!(head.status == 403, !open, "{target} from {from}: {fields}");
            world.break_off(peer);
        }
    }
    let peer = world.connect_from(0, "192.0.2.1:1");
    assert_problem(&world.ask(peer, get("/v1/events")), 403);
    for target in ["/healthz", "/readyz", "/metrics"] {
        assert_problem(&world.ask(peer, get(target)), 403);
    }
}

#[test]
fn pages_of_other_origins_stay_out_unless_they_are_listed() {
    let good = "https://crm.example.com";
    let mut config = Config::default();
    config.native.allowed_origins = vec![good.to_owned()];
    let mut world = World::with(config, 1);
    let peer = world.connect();
    let with = |method: &str, origin: &str, body: &str| {
        let fields = format!("Origin: {origin}\r\nContent-Type: application/json\r\n");
        request(method, "/v1/events", &fields, body)
    };
    for origin in ["https://evil.example.com", "null", "http://crm.example.com"] {
        let reply = world.ask(peer, with("POST", origin, "[]"));
        assert_problem(&reply, 403);
        assert_eq!(reply.field("access-control-allow-origin"), None);
    }
    assert!(
        world
            .take_notes()
            .iter()
            .any(|note| note.text.contains("allowed_origins = [\"https://evil.example.com\"]"))
    );
    let preflight = world.ask(peer, with("OPTIONS", good, ""));
    assert_eq!((preflight.status, preflight.field("access-control-allow-origin")), (204, Some(good)));
    assert!(preflight.field("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
    assert!(
        preflight.field("access-control-allow-headers").is_some_and(|names| names.contains("last-event-id"))
    );
    for (request, status) in [
        (with("POST", good, "[]"), 202),
        (with("POST", good, "[7]"), 400),
        (with("POST", good, r#"{"type":"t"}"#), 202),
        (with("DELETE", good, ""), 405),
    ] {
        let reply = world.ask(peer, request);
        assert_eq!(
            (reply.status, reply.field("access-control-allow-origin")),
            (status, Some(good)),
            "{}",
            reply.text()
        );
        assert_eq!(reply.field("vary"), Some("Origin"));
    }
    // A page of this very host needs no leave, and gets no CORS fields.
    let own = world.ask(peer, with("POST", "http://localhost", "[]"));
    assert_eq!((own.status, own.field("access-control-allow-origin")), (202, None));
    let head = world.open(peer, with("GET", good, ""));
    assert_eq!((head.status, head.field("access-control-allow-origin")), (200, Some(good)));
}

#[test]
fn methods() {
    let mut world = World::new();
    for method in ["PUT", "DELETE", "PATCH"] {
        let reply = world.ask_alone(request(method, "/v1/events", "", ""));
        assert_problem(&reply, 405);
        assert_eq!(reply.field("allow"), Some("GET, HEAD, POST, OPTIONS"));
    }
}
