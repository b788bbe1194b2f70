//! HTTP/1.1 as a client meets it: persistence, pipelining, HEAD, HTTP/1.0, Expect, splitting, half-close, and room.

use offhook_core::{Config, Seq};
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::{chunked, get, publish, request};
use offhook_tests::memory::{DATE, Peer, World};
use proptest::prelude::*;

use crate::common::{
    COLLECTION, EVERYTHING, assert_problem, assert_xms_error, create, document, instance, post_handler,
};

const ONE: &str = r#"{"type":"call.ringing","subject":"call/1"}"#;

fn statuses(world: &mut World, peer: Peer) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(reply) = world.next_reply(peer) {
        statuses.push(reply.status);
    }
    statuses
}

fn numbers(reply: &Reply) -> Vec<u64> {
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    let accepted = body["accepted"].as_array().expect("a list");
    accepted.iter().map(|entry| entry["seq"].as_u64().expect("a number")).collect()
}

#[test]
fn a_reply_to_the_byte() {
    let mut world = World::new();
    let peer = world.connect();
    world.send(peer, get("/healthz"));
    let expected = format!(
        "HTTP/1.1 200 OK\r\nDate: {DATE}\r\nServer: offhook\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 3\r\n\r\nok\n"
    );
    assert_eq!(String::from_utf8(world.take(peer)).unwrap(), expected);
    assert!(!world.is_ended(peer));
}

#[test]
fn the_date_is_that_of_the_turn() {
    let mut world = World::new();
    world.pass(61_000);
    assert_eq!(world.ask_alone(get("/healthz")).field("date"), Some("Tue, 03 Nov 2015 14:38:12 GMT"));
}

#[test]
fn connections_persist_until_somebody_says_close() {
    let mut world = World::new();
    let peer = world.connect();
    for _ in 0..3 {
        let reply = world.ask(peer, get("/healthz"));
        assert_eq!((reply.status, reply.field("connection")), (200, None));
    }
    let reply = world.ask(peer, request("GET", "/healthz", "Connection: close\r\n", ""));
    assert_eq!((reply.status, reply.field("connection")), (200, Some("close")));
    assert!(world.is_finished(peer) && !world.is_closed(peer), "input is swallowed for a while");
    world.send(peer, get("/healthz"));
    assert!(world.received(peer).is_empty(), "nothing is answered after the last reply");
    world.end(peer);
    assert!(world.is_closed(peer));
}

#[test]
fn http_1_0_closes_unless_it_asks_to_stay() {
    let mut world = World::new();
    let peer = world.connect();
    let reply = world.ask(peer, "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!((reply.field("connection"), reply.field("content-length")), (Some("keep-alive"), Some("3")));
    let reply = world.ask(peer, "GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!((reply.field("connection"), reply.text()), (Some("close"), "ok\n"));
    assert!(world.is_finished(peer));
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let peer = world.connect();
    let state = format!("{}&view=state", instance(&id));
    for target in ["/healthz", COLLECTION, &state, "/nope"] {
        let head = world.ask(peer, request("HEAD", target, "", ""));
        let body = world.ask(peer, get(target));
        assert_eq!(head.head, body.head, "{target}");
        assert!(head.body.is_empty() && !body.body.is_empty());
    }
    // On endless answers it opens no stream, and the connection goes on.
    for (target, media) in [("/v1/events", "text/event-stream"), (&*instance(&id), "text/plain")] {
        let head = world.ask(peer, request("HEAD", target, "", ""));
        assert_eq!((head.status, head.field("content-type")), (200, Some(media)), "{target}");
        assert_eq!((head.field("transfer-encoding"), head.field("content-length")), (Some("chunked"), None));
    }
    assert_eq!(world.ask(peer, get("/healthz")).status, 200);
    assert!(world.stats().dialects.values().all(|dialect| dialect.streams_opened == 0));
}

#[test]
fn expect_gets_its_go_ahead_and_then_the_answer() {
    let mut world = World::new();
    let peer = world.connect();
    let whole =
        request("POST", "/v1/events", "Content-Type: application/json\r\nExpect: 100-continue\r\n", ONE);
    let (head, body) = whole.split_at(whole.len() - ONE.len());
    world.send(peer, head);
    assert_eq!(world.take(peer), b"HTTP/1.1 100 Continue\r\n\r\n");
    world.send(peer, body);
    assert_eq!(statuses(&mut world, peer), [202]);
}

#[test]
fn expect_is_refused_with_the_final_status_and_the_end() {
    let mut world = World::new();
    let peer = world.connect();
    world.send(peer, request("POST", "/nope", "Expect: 100-continue\r\n", "hello"));
    assert_eq!(statuses(&mut world, peer), [404]);
    assert!(world.is_finished(peer), "whoever waits for a go-ahead may send the body or not");
}

/// RFC 9110 section 15.2: an interim response belongs to the request whose final response follows it.
#[test]
fn a_go_ahead_waits_for_the_replies_before_it() {
    let mut world = World::new();
    world.hold_durability();
    let peer = world.connect();
    world.send(peer, publish(ONE));
    let fields = "Content-Type: application/json\r\nExpect: 100-continue\r\n";
    let whole = request("POST", "/v1/events", fields, ONE);
    world.send(peer, &whole[..whole.len() - ONE.len()]);
    assert!(world.received(peer).is_empty(), "{}", String::from_utf8_lossy(world.received(peer)));
    world.release_durability();
    assert_eq!(statuses(&mut world, peer), [202, 100]);
    world.send(peer, ONE);
    assert_eq!(statuses(&mut world, peer), [202]);
}

/// Requests of all kinds, in one stream of bytes; the last is malformed.
fn script() -> Vec<u8> {
    let json = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let in_chunks = [
        format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{json}\r\n").into_bytes(),
        chunked(ONE.as_bytes(), 7),
    ];
    let refused = [
        b"POST /nope HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        chunked(b"swallowed, not read", 4),
    ];
    [
        publish(ONE),
        publish(format!("[{ONE},{ONE}]")),
        b"\r\n".to_vec(),
        post_handler(EVERYTHING),
        get(COLLECTION),
        publish("[7]"),
        in_chunks.concat(),
        request("HEAD", "/healthz", "", ""),
        refused.concat(),
        request("POST", COLLECTION, "", "<not/>"),
        request("DELETE", COLLECTION, "", ""),
        publish(ONE),
        get("/metrics"),
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n".to_vec(),
        get("/healthz"),
    ]
    .concat()
}

fn answers_to(pieces: &[&[u8]], a_turn_each: bool) -> Vec<u8> {
    let mut world = World::new();
    let peer = world.connect();
    for piece in pieces {
        world.queue(peer, piece);
        if a_turn_each {
            world.turn();
        }
    }
    world.turn();
    assert!(world.is_finished(peer));
    world.take(peer)
}

#[test]
fn the_script_gets_these_answers() {
    let mut world = World::new();
    let peer = world.connect();
    world.send(peer, script());
    let mut statuses = Vec::new();
    let mut received = world.take(peer);
    while let Some(reply) = offhook_tests::memory::read::take_reply(&mut received, statuses.len() == 6) {
        statuses.push(reply.status);
    }
    assert_eq!(statuses, [202, 202, 201, 200, 400, 202, 200, 404, 400, 405, 202, 200, 400]);
}

#[test]
fn one_byte_at_a_time_is_no_different() {
    let script = script();
    let bytes: Vec<&[u8]> = script.chunks(1).collect();
    assert_eq!(answers_to(&bytes, true), answers_to(&[&script], true));
}

#[test]
fn a_head_one_byte_at_a_time() {
    let mut world = World::new();
    let peer = world.connect();
    let head = get("/healthz");
    for byte in &head[..head.len() - 1] {
        world.send(peer, [*byte]);
        assert!(world.received(peer).is_empty());
    }
    world.send(peer, &head[head.len() - 1..]);
    assert_eq!(statuses(&mut world, peer), [200]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The splitting property of a whole connection: wherever the input is cut, the replies are the same bytes.
    #[test]
    fn splitting(cuts in proptest::collection::vec(0.0f64..1.0, 0..12), a_turn_each: bool) {
        let script = script();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| (cut * script.len() as f64) as usize).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&script[from..cut]);
            from = cut;
        }
        pieces.push(&script[from..]);
        pieces.retain(|piece| !piece.is_empty());
        prop_assert_eq!(answers_to(&pieces, a_turn_each), answers_to(&[&script], true));
    }

    /// Whatever 64 KiB of garbage are, there is at most one answer, and the server goes on.
    #[test]
    fn garbage(seed: u64, ascii: bool, lines: bool) {
        let mut state = seed | 1;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let byte = (state >> 24) as u8;
            match byte {
                _ if lines && byte.is_multiple_of(61) => b'\n',
                _ if ascii => 0x20 + byte % 0x5f,
                _ => byte,
            }
        };
        let garbage: Vec<u8> = (0..65_536).map(|_| byte()).collect();
        let mut world = World::new();
        let peer = world.connect();
        world.send(peer, &garbage);
        let answers = statuses(&mut world, peer);
        prop_assert!(matches!(answers[..], [400] | [431]), "{:?}", answers);
        prop_assert!(world.is_finished(peer));
        world.pass(2_000);
        prop_assert!(world.is_closed(peer));
        prop_assert_eq!(world.ask_alone(get("/healthz")).status, 200);
    }
}

#[test]
fn garbage_in_a_body_is_refused_and_the_connection_goes_on() {
    let mut world = World::new();
    let peer = world.connect();
    let garbage: Vec<u8> = (0..65_536u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert_problem(&world.ask(peer, publish(&garbage)), 400);
    assert_xms_error(&world.ask(peer, request("POST", COLLECTION, "", &garbage)), 400);
    assert_eq!(world.ask(peer, publish(ONE)).status, 202);
}

#[test]
fn pipelined_publishes_are_accepted_as_they_come_and_answered_in_order() {
    let mut world = World::new();
    world.hold_durability();
    let peer = world.connect();
    world.send(peer, [publish(ONE), publish(format!("[{ONE},{ONE}]")), publish(ONE)].concat());
    assert_eq!((world.stats().events_accepted, world.received(peer).len()), (4, 0));
    // A broken one and a refused one wait in line.
    world.send(peer, [publish("{"), get("/nope")].concat());
    assert!(world.received(peer).is_empty());
    // Durability reaches the middle of the second request.
    world.make_durable(Seq(2));
    assert_eq!(numbers(&world.next_reply(peer).unwrap()), [1]);
    assert!(world.received(peer).is_empty());
    world.make_durable(Seq(3));
    assert_eq!(numbers(&world.next_reply(peer).unwrap()), [2, 3]);
    assert!(world.received(peer).is_empty());
    world.release_durability();
    assert_eq!(numbers(&world.next_reply(peer).unwrap()), [4]);
    assert_eq!(statuses(&mut world, peer), [400, 404]);
}

#[test]
fn a_request_that_reads_waits_for_the_writes_before_it() {
    let mut world = World::new();
    world.hold_durability();
    let peer = world.connect();
    world.send(peer, [post_handler(EVERYTHING), get(COLLECTION)].concat());
    assert!(world.received(peer).is_empty());
    world.release_durability();
    assert_eq!(world.next_reply(peer).unwrap().status, 201);
    assert!(world.next_reply(peer).unwrap().text().contains("size=\"1\""));
}

#[test]
fn more_pipelined_requests_than_may_wait_stay_unread() {
    let mut config = Config::default();
    config.limits.pipelined_requests = 4;
    let mut world = World::with(config, 1);
    world.hold_durability();
    let peer = world.connect();
    for _ in 0..10 {
        world.queue(peer, publish(ONE));
    }
    world.turn();
    assert_eq!(world.stats().events_accepted, 4);
    assert_eq!(world.held_back(peer), 6 * publish(ONE).len(), "the rest is left to the kernel");
    world.release_durability();
    assert_eq!((statuses(&mut world, peer), world.held_back(peer)), (vec![202; 10], 0));
}

#[test]
fn replies_that_nobody_reads_stop_the_reading_of_requests() {
    let mut config = Config::default();
    config.limits.reply_bytes = 10_000;
    let mut world = World::with(config, 1);
    let peer = world.connect();
    world.limit_room(peer, 0);
    for _ in 0..2_000 {
        world.queue(peer, get("/healthz"));
    }
    world.turn();
    assert!(world.held_back(peer) > 50_000, "{}", world.held_back(peer));
    world.lift_limit(peer);
    assert_eq!((statuses(&mut world, peer).len(), world.held_back(peer)), (2_000, 0));
}

#[test]
fn half_close_after_a_request_still_gets_the_answer() {
    let mut world = World::new();
    world.hold_durability();
    let peer = world.connect();
    world.queue(peer, publish(ONE));
    world.end(peer);
    assert!(!world.is_ended(peer));
    world.release_durability();
    assert_eq!(statuses(&mut world, peer), [202]);
    assert!(world.is_closed(peer));
}

/// `printf ... | nc -N`: all requests, then the end of the sending direction, and every one wants its answer.
#[test]
fn half_close_after_pipelined_requests_still_gets_all_answers() {
    let mut world = World::new();
    let peer = world.connect();
    world.queue(peer, [post_handler(EVERYTHING), get(COLLECTION), publish(ONE), get("/healthz")].concat());
    world.end(peer);
    assert_eq!(statuses(&mut world, peer), [201, 200, 202, 200]);
    assert!(world.is_closed(peer));
}

#[test]
fn half_close_without_a_request_is_the_end() {
    let mut world = World::new();
    for start in ["", "GET /hea", "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1"]
    {
        let peer = world.connect();
        world.send(peer, start);
        world.end(peer);
        assert!(world.is_closed(peer), "{start:?}");
    }
}

/// Nothing may be left of a client that has gone before its stream could open.
#[test]
fn half_close_right_after_asking_for_a_stream_leaves_nothing_behind() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    for target in ["/v1/events", &instance(&id)] {
        let peer = world.connect();
        world.queue(peer, get(target));
        world.end(peer);
        world.pass(600_000);
        assert!(world.is_closed(peer), "{target}");
    }
    assert_eq!(world.stats().connections_open, 0);
}

#[test]
fn full_is_503_with_retry_after_in_the_dialect_s_form() {
    let mut config = Config::default();
    (config.limits.connections, config.limits.refusal_places) = (2, 2);
    let mut world = World::with(config, 1);
    let (first, second) = (world.connect(), world.connect());
    let third = world.connect();
    let reply = world.ask(third, post_handler(EVERYTHING));
    assert_xms_error(&reply, 503);
    assert!(reply.field("retry-after").is_some() && reply.field("connection") == Some("close"));
    assert!(world.is_finished(third));
    let fourth = world.connect();
    let reply = world.ask(fourth, publish(ONE));
    assert_problem(&reply, 503);
    assert!(reply.field("retry-after").is_some());
    assert_eq!(world.try_connect(0, "127.0.0.1:9"), None, "no room even for a refusal");
    assert_eq!((world.stats().connections_refused, world.stats().events_accepted), (3, 0));
    // Those that were there are served; room that comes free is given.
    assert_eq!(world.ask(first, publish(ONE)).status, 202);
    for peer in [second, third, fourth] {
        world.break_off(peer);
    }
    assert_eq!(world.ask_alone(get("/healthz")).status, 200);
}

#[test]
fn a_body_that_comes_in_pieces_between_other_clients() {
    let mut world = World::new();
    let (slow, quick) = (world.connect(), world.connect());
    let body = document(EVERYTHING);
    let whole = request("POST", COLLECTION, "", &body);
    for piece in whole.chunks(40) {
        world.send(slow, piece);
        assert_eq!(world.ask(quick, get("/healthz")).status, 200);
    }
    assert_eq!(statuses(&mut world, slow), [201]);
}
