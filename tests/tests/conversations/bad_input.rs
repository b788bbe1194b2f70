//! Whatever a peer gets wrong: the status, the dialect's own form, whether the connection goes on, and that requests
//! before and after it on the same connection are answered, in order.

use offhook_core::Config;
use offhook_tests::memory::World;
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::{chunked, get, publish, request};

use crate::common::{
    COLLECTION, EVERYTHING, assert_problem, assert_xms_error, create, document, listen, post_handler,
    publish_all, ringing, ringing_xml, xml,
};

/// The form of an error's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Problem,
    Xms,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    GoesOn,
    Closes,
}

use After::{Closes, GoesOn};
use Form::{Problem, Xms};

const RAISED: &str = r#"{"type":"call.ringing","subject":"call/1"}"#;

#[track_caller]
fn assert_error(reply: &Reply, status: u16, form: Form) {
    match form {
        Problem => drop(assert_problem(reply, status)),
        Xms => assert_xms_error(reply, status),
    }
}

/// A good publish, the bad request, and another good publish, in one piece.
#[track_caller]
fn check(name: &str, bad: &[u8], status: u16, form: Form, after: After) -> Reply {
    let mut world = World::new();
    let peer = world.connect();
    world.send(peer, [&publish(RAISED)[..], bad, &publish(RAISED)[..]].concat());
    let first = world.next_reply(peer).expect("the request before is answered");
    assert_eq!(first.status, 202, "{name}");
    let reply = world.next_reply(peer).unwrap_or_else(|| panic!("{name}: an answer"));
    assert_error(&reply, status, form);
    assert_eq!(reply.field("connection"), (after == Closes).then_some("close"), "{name}");
    let last = world.next_reply(peer);
    assert_eq!(last.map(|reply| reply.status), (after == GoesOn).then_some(202), "{name}");
    assert_eq!(world.is_ended(peer), after == Closes, "{name}");
    assert!(world.received(peer).is_empty(), "{name}: nothing else is sent");
    let accepted = world.stats().events_accepted;
    assert_eq!(accepted, if after == GoesOn { 2 } else { 1 }, "{name}: nothing published is lost");
    reply
}

#[test]
fn a_body_that_would_have_to_be_decoded() {
    for (coding, method, target, media, form) in [
        ("Content-Encoding: gzip", "POST", "/v1/events", "application/json", Problem),
        ("content-encoding: identity, br", "POST", "/v1/webhooks", "application/json", Problem),
        (
            "Content-Encoding: identity\r\nContent-Encoding: x",
            "POST",
            "/v1/events",
            "application/x-ndjson",
            Problem,
        ),
        ("Content-Encoding: gzip", "POST", COLLECTION, "application/xml", Xms),
    ] {
        let fields = format!("{coding}\r\nContent-Type: {media}\r\n");
        let reply = check(coding, &request(method, target, &fields, "\x1f\u{8b}"), 415, form, GoesOn);
        assert_eq!(reply.field("accept-encoding"), Some("identity"), "RFC 9110 section 15.5.16");
        assert!(reply.text().contains("Content-Encoding"), "{}", reply.text());
    }
    let mut world = World::new();
    let json = "Content-Encoding: Identity\r\nContent-Type: application/json\r\n";
    assert_eq!(world.ask_alone(request("POST", "/v1/events", json, RAISED)).status, 202);
    assert_eq!(world.ask_alone(request("GET", "/v1/webhooks", "Content-Encoding: gzip\r\n", "")).status, 200);
}

#[test]
fn malformed_heads_are_400_and_the_end() {
    for (name, bad) in [
        ("no request line", "nonsense\r\n\r\n"),
        ("a target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("bare LF in the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
        ("bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
        ("bare LF as the blank line", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("a field without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
        ("a folded field", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
        ("a NUL in a field", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
        ("no Host", "GET / HTTP/1.1\r\n\r\n"),
        ("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        (
            "a length beside a coding",
            "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "unequal lengths",
            "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        ),
        ("unequal lengths in a list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhello"),
        ("a signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"),
        ("a coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        check(name, bad.as_bytes(), 400, Problem, Closes);
    }
}

#[test]
fn bad_chunks_are_400_in_the_dialect_s_form_and_the_end() {
    for (name, body) in [
        ("an empty size", "\r\n"),
        ("no number", "x\r\n"),
        ("a sign", "-1\r\n"),
        ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a size beyond 64 bits", "10000000000000000\r\n"),
        ("bare LF after the size", "5\nhello\r\n0\r\n\r\n"),
        ("bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n"),
        ("data longer than its size", "5\r\nhello!\r\n0\r\n\r\n"),
        ("no CR LF after the data", "5\r\nhello0\r\n\r\n"),
        ("bare LF in the trailer", "5\r\nhello\r\n0\r\nA: b\n\r\n"),
    ] {
        for (target, form) in [("/v1/events", Problem), (COLLECTION, Xms)] {
            let bad = format!(
                "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Transfer-Encoding: chunked\r\n\r\n{body}"
            );
            check(&format!("{name} on {target}"), bad.as_bytes(), 400, form, Closes);
        }
    }
}

#[test]
fn what_is_not_spoken_here_is_said_and_ends_the_connection() {
    for (bad, status) in [
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n1", 417),
    ] {
        check(bad, bad.as_bytes(), status, Problem, Closes);
    }
}

#[test]
fn heads_beyond_their_limits_are_431() {
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    check("a long field", long.as_bytes(), 431, Problem, Closes);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100));
    check("101 fields", many.as_bytes(), 431, Problem, Closes);
    // The limit itself is still taken: 16,384 bytes of head.
    let mut fits = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    fits.resize(16_380, b'x');
    fits.extend_from_slice(b"\r\n\r\n");
    assert_eq!(World::new().ask_alone(&fits).status, 200);
}

#[test]
fn unknown_addresses_are_404_in_the_dialect_s_form() {
    check("nobody's", &get("/nope"), 404, Problem, GoesOn);
    check("native", &get("/v1/nope"), 404, Problem, GoesOn);
    check("XMS", &get("/default/nope?appid=app"), 404, Xms, GoesOn);
    check("with a body", &request("POST", "/nope", "", "swallowed"), 404, Problem, GoesOn);
    let body = chunked(b"swallowed", 3);
    let head = "POST /nope HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    check("with chunks", &[head.as_bytes(), &body].concat(), 404, Problem, GoesOn);
}

#[test]
fn wrong_methods_are_405_with_allow() {
    for (method, target, form, allow) in [
        ("PUT", "/v1/events", Problem, "GET, HEAD, POST, OPTIONS"),
        ("DELETE", "/healthz", Problem, "GET, HEAD"),
        ("POST", "/metrics", Problem, "GET, HEAD"),
        ("DELETE", COLLECTION, Xms, "GET, HEAD, POST"),
        ("PATCH", COLLECTION, Xms, "GET, HEAD, POST"),
        ("POST", "/default/eventhandlers/x?appid=app", Xms, "GET, HEAD, PUT, DELETE"),
        ("get", "/healthz", Problem, "GET, HEAD"),
    ] {
        let reply = check(target, &request(method, target, "", ""), 405, form, GoesOn);
        assert_eq!(reply.field("allow"), Some(allow), "{method} {target}");
    }
}

#[test]
fn wrong_content_types_are_415() {
    for media in ["text/plain", "application/xml", "application/jsonx", "multipart/form-data"] {
        let bad = request("POST", "/v1/events", &format!("Content-Type: {media}\r\n"), RAISED);
        let reply = check(media, &bad, 415, Problem, GoesOn);
        assert!(
            reply.text().contains("application/cloudevents+json"),
            "it says what is taken: {}",
            reply.text()
        );
    }
    check("none", &request("POST", "/v1/events", "", RAISED), 415, Problem, GoesOn);
}

#[test]
fn bodies_beyond_their_limits_are_413() {
    let big = request("POST", COLLECTION, "", vec![b' '; 65_537]);
    check("XMS, by length", &big, 413, Xms, GoesOn);
    let head = format!("POST {COLLECTION} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunks = chunked(&vec![b' '; 70_000], 1_000);
    check("XMS, in chunks", &[head.as_bytes(), &chunks].concat(), 413, Xms, GoesOn);
    // So long a rest is not swallowed.
    let huge = request("POST", "/v1/events", "Content-Type: application/json\r\n", vec![b' '; 8_388_609]);
    check("native, by length", &huge, 413, Problem, Closes);
    check("a GET with a body", &request("GET", "/v1/events", "", "x"), 413, Problem, GoesOn);
    let head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let chunks = chunked(&vec![b' '; 8_400_000], 50_000);
    check("native, in chunks", &[head.as_bytes(), &chunks].concat(), 413, Problem, GoesOn);
}

#[test]
fn bodies_at_their_limits_are_taken() {
    let mut body = document(EVERYTHING);
    body += &" ".repeat(65_536 - body.len());
    assert_eq!(World::new().ask_alone(request("POST", COLLECTION, "", &body)).status, 201);
    let mut body = RAISED.to_owned();
    body += &" ".repeat(8_388_608 - body.len());
    assert_eq!(World::new().ask_alone(publish(&body)).status, 202);
}

/// Beyond the bound of what is swallowed the connection ends, but not before the answer.
#[test]
fn endless_bodies_of_refused_requests_end_the_connection_after_the_answer() {
    let head = "POST /nope HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = chunked(&vec![b'x'; 1_200_000], 60_000);
    let mut world = World::new();
    let peer = world.connect();
    world.send(peer, [head.as_bytes(), &chunks].concat());
    let reply = world.next_reply(peer).expect("an answer");
    assert_problem(&reply, 404);
    assert!(world.is_ended(peer));
}

#[test]
fn wrong_xml_is_400_and_says_where() {
    let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    for (name, body) in [
        ("not well-formed", "<web_service><eventhandler></web_service>".to_owned()),
        ("cut off", "<web_service version=\"1.0\"><eventhandler><eventsubscribe/>".to_owned()),
        ("too deep", document(&format!("{EVERYTHING}{deep}"))),
        ("a DOCTYPE", format!("<!DOCTYPE web_service>{}", document(EVERYTHING))),
        ("an unknown type", document("<eventsubscribe type=\"no_such_word\"/>")),
        ("an unknown entity", document("<eventsubscribe resource_id=\"&boom;\"/>")),
    ] {
        let bad = request("POST", COLLECTION, "", &body);
        let reply = check(name, &bad, 400, Xms, GoesOn);
        assert!(reply.text().contains("at byte "), "{name}: {}", reply.text());
    }
    let unknown = request("POST", COLLECTION, "", document("<eventsubscribe type=\"no_such_word\"/>"));
    assert!(World::new().ask_alone(&unknown).text().contains("no_such_word"), "the value is named");
}

#[test]
fn a_wrong_event_spoils_its_batch_and_nothing_of_it_is_published() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    let good = ringing("good");
    for (bad, index) in [
        (format!("[{good},{good},{{\"type\":7}}]"), Some(2)),
        (format!("[{good},{{\"subject\":\"call/1\"}},{good}]"), Some(1)),
        (format!("[{{\"type\":\"call.ringing\",\"time\":\"soon\"}},{good}]"), Some(0)),
        (format!("[{good},7]"), Some(1)),
        (format!("[{good},{good}"), None),
        ("{".to_owned(), None),
        (String::new(), None),
    ] {
        let reply = world.ask_alone(publish(&bad));
        let problem = assert_problem(&reply, 400);
        match index {
            Some(index) => assert_eq!(problem["index"], index, "{bad}: {problem}"),
            None => assert!(problem["index"].is_null() || problem["index"] == 0, "{bad}: {problem}"),
        }
    }
    assert_eq!((world.stats().events_accepted, xml(&mut world, stream).len()), (0, 0));
    publish_all(&mut world, &[good]);
    assert_eq!(xml(&mut world, stream), [ringing_xml("good")]);
}

#[test]
fn too_many_handlers_are_503_with_retry_after() {
    let mut config = Config::default();
    config.limits.xms_handlers_per_app = 2;
    let mut world = World::with(config, 1);
    let first = create(&mut world, EVERYTHING);
    create(&mut world, EVERYTHING);
    let peer = world.connect();
    let reply = world.ask(peer, post_handler(EVERYTHING));
    assert_xms_error(&reply, 503);
    assert!(reply.field("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
    // The connection goes on, and room that comes free is given.
    let gone = world.ask(peer, request("DELETE", &crate::common::instance(&first), "", ""));
    assert_eq!(gone.status, 204);
    assert_eq!(world.ask(peer, post_handler(EVERYTHING)).status, 201);
}

#[test]
fn the_subscriptions_of_an_application_are_bounded_together() {
    let of = |types: &[&str]| -> String {
        types.iter().map(|word| format!(r#"<eventsubscribe type="{word}" action="add"/>"#)).collect()
    };
    let mut config = Config::default();
    config.limits.xms_subscriptions_per_app = 3;
    let mut world = World::with(config, 2);
    let first = create(&mut world, &of(&["ringing", "hangup"]));
    let peer = world.connect_to(1);
    assert_xms_error(&world.ask(peer, post_handler(&of(&["ringing", "hangup"]))), 503);
    assert_eq!(world.ask(peer, post_handler(&of(&["dtmf"]))).status, 201);
    // No more on any eventhandler, on any shard; fewer, and then as many as are free again.
    let reply = world.ask(peer, crate::common::put_handler(&first, &of(&["info"])));
    assert_xms_error(&reply, 503);
    assert!(reply.field("retry-after").is_some());
    let fewer = r#"<eventsubscribe type="hangup" action="remove"/>"#;
    assert_eq!(world.ask(peer, crate::common::put_handler(&first, fewer)).status, 200);
    assert_eq!(world.ask(peer, crate::common::put_handler(&first, &of(&["info"]))).status, 200);
    assert_xms_error(&world.ask(peer, post_handler(&of(&["dtmf"]))), 503);
    assert_eq!(world.ask(peer, request("DELETE", &crate::common::instance(&first), "", "")).status, 204);
    assert_eq!(world.ask(peer, post_handler(&of(&["dtmf", "info"]))).status, 201);
}
