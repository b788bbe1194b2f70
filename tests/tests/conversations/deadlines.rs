//! What a slow or silent peer meets, to the millisecond, and what it must not meet.

use offhook_core::Config;
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, publish, request};

use crate::common::{COLLECTION, EVERYTHING, assert_problem, assert_xms_error, create};

const ONE: &str = r#"{"id":"one","type":"call.ringing","subject":"call/1"}"#;

#[test]
fn a_slow_head_is_408() {
    let mut world = World::new();
    let peer = world.connect();
    assert_eq!(world.ask(peer, get("/healthz")).status, 200);
    world.pass(30_000);
    world.send(peer, "GET /healthz HTTP/1.1\r\n");
    for _ in 0..9 {
        world.pass(1_000);
        world.send(peer, "X: y\r\n");
    }
    world.pass(999);
    assert!(world.received(peer).is_empty());
    world.pass(1);
    let reply = world.next_reply(peer).unwrap();
    assert_problem(&reply, 408);
    assert!(reply.field("connection") == Some("close") && world.is_finished(peer));
    world.pass(1_999);
    assert!(!world.is_closed(peer), "input is swallowed for a while");
    world.pass(1);
    assert!(world.is_closed(peer));
}

#[test]
fn whoever_never_says_anything_is_closed_without_a_word() {
    let mut world = World::new();
    let peer = world.connect();
    world.pass(9_999);
    assert!(!world.is_closed(peer));
    world.pass(1);
    assert!(world.is_closed(peer) && world.received(peer).is_empty());
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let mut world = World::new();
    let peer = world.connect();
    for _ in 0..3 {
        assert_eq!(world.ask(peer, get("/healthz")).status, 200);
        world.pass(74_999);
        assert!(!world.is_closed(peer));
    }
    world.pass(1);
    assert!(world.is_closed(peer) && world.received(peer).is_empty());
}

/// A body at `rate` bytes a second; the status of the answer, if one came before the body was whole.
fn body_at(target: &str, fields: &str, rate: usize, seconds: usize) -> (World, Option<u16>) {
    let mut world = World::new();
    let peer = world.connect();
    let whole = request("POST", target, fields, vec![b' '; rate * seconds + 1]);
    let head = whole.len() - rate * seconds - 1;
    world.send(peer, &whole[..head]);
    for second in 0..seconds {
        world.send(peer, &whole[head + second * rate..][..rate]);
        world.pass(1_000);
        if let Some(reply) = world.next_reply(peer) {
            assert_eq!(reply.field("connection"), Some("close"));
            match target {
                COLLECTION => assert_xms_error(&reply, 408),
                _ => drop(assert_problem(&reply, 408)),
            }
            assert!(world.is_finished(peer));
            return (world, Some(reply.status));
        }
    }
    world.send(peer, b" ");
    let reply = world.next_reply(peer).expect("a whole body is answered");
    (world, (reply.status == 408).then_some(408))
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn a_slow_body_is_408() {
    assert_eq!(body_at("/v1/events", JSON, 200, 60).1, Some(408));
}

/// The address is known, so the answer has its dialect's form.
#[test]
fn a_slow_xms_body_is_408_in_the_dialect_s_form() {
    assert_eq!(body_at(COLLECTION, "", 200, 60).1, Some(408));
}

#[test]
fn a_body_at_the_least_rate_is_taken() {
    assert_eq!(body_at("/v1/events", JSON, 600, 100).1, None);
}

#[test]
fn a_body_that_stops_is_408_after_the_grace() {
    let mut world = World::new();
    let peer = world.connect();
    let whole = publish(ONE);
    world.send(peer, &whole[..whole.len() - 10]);
    world.pass(9_999);
    assert!(world.received(peer).is_empty());
    world.pass(2_000);
    assert_problem(&world.next_reply(peer).unwrap(), 408);
    assert_eq!(world.stats().events_accepted, 0);
}

/// The body of a refused request that comes at a good rate is swallowed to its end; there is one answer, not two.
#[test]
fn a_refused_body_is_judged_by_its_rate_as_well() {
    let mut world = World::new();
    let peer = world.connect();
    let body = vec![b'x'; 300_000];
    let whole = request("POST", COLLECTION, "", &body);
    let head = whole.len() - body.len();
    world.send(peer, &whole[..head]);
    assert_xms_error(&world.next_reply(peer).unwrap(), 413);
    for piece in body.chunks(10_000) {
        world.pass(1_000);
        world.send(peer, piece);
        let received = String::from_utf8_lossy(world.received(peer));
        assert!(received.is_empty() && !world.is_ended(peer), "10 KB/s are fast enough: {received}");
    }
    assert_eq!(world.ask(peer, get("/healthz")).status, 200);
}

#[test]
fn a_reader_that_takes_nothing_of_a_reply_is_closed() {
    let mut world = World::new();
    for _ in 0..50 {
        create(&mut world, EVERYTHING);
    }
    let (stuck, slow) = (world.connect(), world.connect());
    for peer in [stuck, slow] {
        world.limit_room(peer, 100);
        world.send(peer, get(COLLECTION));
    }
    world.pass(20_000);
    world.give_room(slow, 1_000);
    world.pass(9_999);
    assert!(!world.is_closed(stuck));
    world.pass(1);
    assert!(world.is_closed(stuck) && !world.is_closed(slow));
    world.lift_limit(slow);
    assert_eq!(world.next_reply(slow).unwrap().status, 200);
}

/// A long reply to a slow reader that goes on reading is no idle connection.
#[test]
fn a_reply_that_is_being_read_is_not_cut_by_the_idle_deadline() {
    let mut world = World::new();
    for _ in 0..100 {
        create(&mut world, EVERYTHING);
    }
    let peer = world.connect();
    world.limit_room(peer, 0);
    world.send(peer, get(COLLECTION));
    for second in 0..120 {
        world.pass(1_000);
        world.give_room(peer, 200);
        assert!(!world.is_closed(peer), "closed in the middle of a reply after {second} s");
    }
    world.lift_limit(peer);
    assert!(world.next_reply(peer).unwrap().text().contains("size=\"100\""));
    world.pass(74_999);
    assert!(!world.is_closed(peer), "the idle time starts when the reply has left");
}

/// The time that we need ourselves is not the peer's.
#[test]
fn a_reply_that_waits_for_durability_is_not_cut_by_the_idle_deadline() {
    let mut world = World::new();
    let peer = world.connect();
    world.hold_durability();
    world.send(peer, publish(ONE));
    world.pass(80_000);
    assert!(!world.is_closed(peer));
    world.release_durability();
    assert_eq!(world.next_reply(peer).map(|reply| reply.status), Some(202));
    world.pass(1_000);
    assert!(!world.is_closed(peer), "the idle time starts when the reply has left");
}

#[test]
fn deadlines_follow_the_limits() {
    let mut config = Config::default();
    (config.limits.head_ms, config.limits.idle_ms, config.limits.linger_ms) = (100, 300, 50);
    let mut world = World::with(config, 1);
    let peer = world.connect();
    assert_eq!(world.ask(peer, get("/healthz")).status, 200);
    world.pass(299);
    world.send(peer, "G");
    world.pass(99);
    assert!(!world.is_ended(peer));
    world.pass(1);
    assert_problem(&world.next_reply(peer).unwrap(), 408);
    world.pass(50);
    assert!(world.is_closed(peer));
}

#[test]
fn a_stop_closes_what_is_idle_and_answers_what_waits() {
    let mut world = World::new();
    world.hold_durability();
    let (idle, waiting) = (world.connect(), world.connect());
    world.send(waiting, publish(ONE));
    world.tell(|| offhook_core::Completion::Stop);
    assert!(world.is_closed(idle) && !world.is_closed(waiting));
    world.release_durability();
    assert_eq!(world.next_reply(waiting).map(|reply| reply.status), Some(202));
    assert!(world.is_ended(waiting));
    world.end(waiting);
    assert!(world.is_drained());
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let mut world = World::new();
    world.hold_durability();
    let peer = world.connect();
    world.send(peer, publish(ONE));
    world.tell(|| offhook_core::Completion::Stop);
    world.pass(4_999);
    assert!(!world.is_drained());
    world.pass(1);
    assert!(world.is_drained() && world.is_closed(peer));
}
