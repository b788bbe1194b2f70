//! Readers of Server-Sent Events that come back: nothing twice, nothing lost that is still kept, and a gap is said.

use offhook_core::Config;
use offhook_tests::memory::read::{ServerSent, server_sent};
use offhook_tests::memory::write::{get, request};
use offhook_tests::memory::{Peer, World};
use proptest::prelude::*;

use crate::common::{EVERYTHING, create, publish_all, publish_on, ringing};

fn events(world: &mut World, peer: Peer) -> Vec<ServerSent> {
    let chunks = world.chunks(peer);
    assert!(chunks.rest.is_empty() && !chunks.ended);
    server_sent(&chunks.content())
        .into_iter()
        .filter(|event| event.retry.is_none() && event.comments == 0)
        .collect()
}

/// The numbers of the events that came.
fn numbers(events: &[ServerSent]) -> Vec<u64> {
    let number = |event: &ServerSent| event.id.as_ref()?.strip_prefix("a1-")?.parse().ok();
    events.iter().filter_map(number).collect()
}

fn open(world: &mut World, request: Vec<u8>) -> (Peer, Vec<ServerSent>) {
    let peer = world.connect();
    let head = world.open(peer, request);
    assert_eq!(head.status, 200);
    let events = events(world, peer);
    (peer, events)
}

fn after(id: &str) -> Vec<u8> {
    request("GET", "/v1/events", &format!("Last-Event-ID: {id}\r\n"), "")
}

fn some(count: usize) -> Vec<String> {
    (0..count).map(|n| ringing(&n.to_string())).collect()
}

fn gap(from: &str, to: &str, reason: &str) -> ServerSent {
    ServerSent {
        event: Some("gap".to_owned()),
        data: Some(format!("{{\"from\":\"{from}\",\"to\":\"{to}\",\"reason\":\"{reason}\"}}")),
        ..ServerSent::default()
    }
}

#[test]
fn the_header_and_the_query_resume() {
    let mut world = World::new();
    publish_all(&mut world, &some(5));
    let (peer, first) = open(&mut world, after("a1-2"));
    assert_eq!(numbers(&first), [3, 4, 5]);
    publish_all(&mut world, &some(1));
    assert_eq!(numbers(&events(&mut world, peer)), [6], "the feed follows without a seam");
    let (_, got) = open(&mut world, get("/v1/events?last_event_id=a1-4"));
    assert_eq!(numbers(&got), [5, 6]);
    let both = request("GET", "/v1/events?last_event_id=a1-1", "Last-Event-ID: a1-5\r\n", "");
    assert_eq!(numbers(&open(&mut world, both).1), [6], "the header is younger than the address");
    for (id, expected) in [("a1-0", vec![1, 2, 3, 4, 5, 6]), ("a1-6", vec![]), ("", vec![])] {
        let (_, got) = open(&mut world, after(id));
        assert_eq!((numbers(&got), got.len()), (expected.clone(), expected.len()), "{id:?}");
    }
}

#[test]
fn a_resume_keeps_the_filter() {
    let mut world = World::new();
    publish_all(&mut world, &some(10));
    let target = "/v1/events?subject=call/3&subject=call/7&last_event_id=a1-1";
    let (peer, got) = open(&mut world, get(target));
    assert_eq!(numbers(&got), [4, 8]);
    publish_all(&mut world, &some(10));
    assert_eq!(numbers(&events(&mut world, peer)), [14, 18]);
}

#[test]
fn records_that_are_no_events_leave_no_gap() {
    let mut world = World::new();
    publish_all(&mut world, &some(2));
    create(&mut world, EVERYTHING);
    publish_all(&mut world, &some(1));
    assert_eq!(numbers(&open(&mut world, after("a1-2")).1), [4]);
    let (_, got) = open(&mut world, after("a1-3"));
    assert_eq!((numbers(&got), got.len()), (vec![4], 1));
}

#[test]
fn what_is_no_longer_kept_is_a_gap() {
    let mut config = Config::default();
    config.limits.retained_events = 4;
    let mut world = World::with(config, 1);
    publish_all(&mut world, &some(10));
    let (_, got) = open(&mut world, after("a1-2"));
    assert_eq!(got[0], gap("a1-3", "a1-6", "no longer retained"));
    assert_eq!(numbers(&got), [7, 8, 9, 10]);
    let (_, got) = open(&mut world, after("a1-6"));
    assert_eq!((numbers(&got), got.len()), (vec![7, 8, 9, 10], 4));
    assert_eq!(world.stats().retained_events, 4);
}

#[test]
fn what_is_too_old_is_a_gap() {
    let mut world = World::new();
    publish_all(&mut world, &some(2));
    world.pass(80_000_000);
    publish_all(&mut world, &some(2));
    world.pass(6_400_000);
    let (_, got) = open(&mut world, after("a1-1"));
    assert_eq!(got[0], gap("a1-2", "a1-2", "no longer retained"));
    assert_eq!(numbers(&got), [3, 4]);
}

#[test]
fn bytes_bound_what_is_kept() {
    let mut config = Config::default();
    config.limits.retained_bytes = 2_000;
    let mut world = World::with(config, 1);
    publish_all(&mut world, &some(100));
    let stats = world.stats();
    assert!((1..=2_000).contains(&stats.retained_bytes) && stats.retained_events < 15, "{stats:?}");
    let (_, got) = open(&mut world, after("a1-0"));
    assert_eq!(got[0].event.as_deref(), Some("gap"));
    assert_eq!(numbers(&got).len() as u64, stats.retained_events);
}

#[test]
fn ids_of_another_start_and_ids_of_nobody_are_a_gap() {
    let mut world = World::new();
    publish_all(&mut world, &some(3));
    let (peer, got) = open(&mut world, after("b2-77"));
    assert_eq!(got[0], gap("b2-77", "a1-0", "the id is of another start of the server"));
    assert_eq!(numbers(&got), [1, 2, 3], "what this start has is news");
    publish_all(&mut world, &some(1));
    assert_eq!(numbers(&events(&mut world, peer)), [4]);
    for id in ["nonsense", "a1-", "-3", "a1-x", "a1-99999999999999999999999", "é"] {
        let (peer, got) = open(&mut world, after(id));
        assert_eq!((got.len(), got[0].event.as_deref()), (1, Some("gap")), "{id}");
        assert!(got[0].data.as_ref().unwrap().starts_with(&format!("{{\"from\":\"{id}\"")), "{:?}", got[0]);
        world.break_off(peer);
    }
}

#[test]
fn a_long_search_through_old_events_does_not_block_others() {
    let mut config = Config::default();
    config.limits.resume_step_events = 10;
    let mut world = World::with(config, 1);
    let mut old = some(1_000);
    old.push(ringing("last"));
    publish_all(&mut world, &old);
    let (peer, got) = open(&mut world, get("/v1/events?subject=call/last&last_event_id=a1-0"));
    assert_eq!(numbers(&got), [1_001]);
    publish_all(&mut world, &[ringing("last")]);
    assert_eq!(numbers(&events(&mut world, peer)), [1_002]);
    let (_, got) = open(&mut world, after("a1-0"));
    assert_eq!(numbers(&got), (1..=1_002).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A reader that comes back again and again with the last id that it saw gets every matching event once, in
    /// order; room, filters, steps and shards make no difference.
    #[test]
    fn coming_back_loses_nothing(
        steps in proptest::collection::vec((0usize..4, 0usize..6, 0usize..3_000), 1..40),
        filtered: bool, old_http: bool, step in 1u64..8,
    ) {
        let mut config = Config::default();
        config.limits.resume_step_events = step;
        let mut world = World::with(config, 2);
        let target = if filtered { "/v1/events?subject=call/1" } else { "/v1/events" };
        let mut wanted: Vec<u64> = Vec::new();
        let mut got: Vec<u64> = Vec::new();
        let mut reader: Option<Peer> = None;
        let mut bytes: Vec<u8> = Vec::new();
        let mut shard = 0;
        let last = [(2, 0, 0), (1, 0, 0)];
        for (step, count, room) in steps.into_iter().chain(last) {
            match step {
                0 => {
                    let batch = some(count.max(1));
                    for n in 0..batch.len() {
                        if !filtered || n == 1 {
                            wanted.push(world.records() + n as u64 + 1);
                        }
                    }
                    publish_on(&mut world, count % 2, &batch);
                }
                1 if reader.is_none() => {
                    shard = 1 - shard;
                    let peer = world.connect_to(shard);
                    let id = got.last().map_or("a1-0".to_owned(), |n| format!("a1-{n}"));
                    let version = if old_http { "1.0" } else { "1.1" };
                    let head = format!("GET {target} HTTP/{version}\r\nHost: localhost\r\nLast-Event-ID: {id}\r\n\r\n");
                    // The stream opens into a socket with little room.
                    world.limit_room(peer, room);
                    world.send(peer, head);
                    reader = Some(peer);
                }
                2 => if let Some(peer) = reader.take() {
                    world.break_off(peer);
                    bytes.extend(world.take(peer));
                    got.extend(read_numbers(&bytes, old_http));
                    bytes.clear();
                },
                _ => if let Some(peer) = reader { world.give_room(peer, room) },
            }
        }
        let peer = reader.unwrap();
        world.lift_limit(peer);
        got.extend(read_numbers(&world.take(peer), old_http));
        prop_assert_eq!(got, wanted);
    }
}

/// The numbers of the events that a reader saw whole, before its connection broke.
fn read_numbers(received: &[u8], bare: bool) -> Vec<u64> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Vec::new() };
    let body = &received[end + 4..];
    let content = if bare { body.to_vec() } else { offhook_tests::memory::read::chunks(body).content() };
    let whole = content.windows(2).rposition(|window| window == b"\n\n").map_or(0, |at| at + 2);
    let events = server_sent(&content[..whole]);
    assert!(events.iter().all(|event| event.event.is_none()), "nothing is missing: {events:?}");
    numbers(&events)
}
