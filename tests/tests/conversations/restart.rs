//! A restart over a log that is kept: readers go on where they were, from memory or from the log, or hear of a gap.

use offhook_core::{Config, Seq};
use offhook_tests::memory::read::{ServerSent, server_sent};
use offhook_tests::memory::write::{get, request};
use offhook_tests::memory::{Peer, World};
use proptest::prelude::*;

use crate::common::{publish_all, ringing};

/// A memory that keeps few events, so that the log has more.
fn small_memory(events: u64) -> Config {
    let mut config = Config::default();
    config.limits.retained_events = events;
    config
}

fn events(world: &mut World, peer: Peer) -> Vec<ServerSent> {
    let chunks = world.chunks(peer);
    assert!(chunks.rest.is_empty() && !chunks.ended);
    let all = server_sent(&chunks.content());
    all.into_iter().filter(|event| event.retry.is_none() && event.comments == 0).collect()
}

/// The events that came, by the number of their call; gaps as their data.
fn calls(events: &[ServerSent]) -> Vec<String> {
    let call = |event: &ServerSent| {
        let data = event.data.clone().unwrap_or_default();
        if event.event.is_some() {
            return data;
        }
        let json: serde_json::Value = serde_json::from_str(&data).expect("data is JSON");
        json["subject"].as_str().expect("a subject").trim_start_matches("call/").to_owned()
    };
    events.iter().map(call).collect()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn publish_numbered(world: &mut World, range: std::ops::Range<usize>) {
    let all: Vec<String> = range.map(|n| ringing(&n.to_string())).collect();
    publish_all(world, &all);
}

fn resume(world: &mut World, target: &str, id: &str) -> Peer {
    let peer = world.connect();
    let head = world.open(peer, request("GET", target, &format!("Last-Event-ID: {id}\r\n"), ""));
    assert_eq!(head.status, 200);
    peer
}

#[test]
fn a_reader_goes_on_with_an_id_from_before_the_restart() {
    let mut world = World::keeping(Config::default(), 2);
    publish_numbered(&mut world, 0..5);
    world.restart(Config::default());
    let peer = resume(&mut world, "/v1/events", "a1-3");
    assert_eq!(calls(&events(&mut world, peer)), numbered(2..5));
    publish_numbered(&mut world, 5..7);
    let new = events(&mut world, peer);
    assert_eq!(calls(&new), numbered(5..7));
    // Ids of the second start resume as well, and those of the first still do after a third.
    let id = new[0].id.clone().unwrap();
    assert!(id.starts_with("a2-"), "{id}");
    world.restart(Config::default());
    let peer = resume(&mut world, "/v1/events", &id);
    assert_eq!(calls(&events(&mut world, peer)), numbered(6..7));
    let peer = resume(&mut world, "/v1/events", "a1-5");
    assert_eq!(calls(&events(&mut world, peer)), numbered(4..7));
}

#[test]
fn what_was_seen_and_not_kept_is_a_gap() {
    let mut world = World::keeping(Config::default(), 1);
    publish_numbered(&mut world, 0..3);
    world.hold_durability();
    let (reader, publisher) = (world.connect(), world.connect());
    world.open(reader, get("/v1/events"));
    world.send(publisher, offhook_tests::memory::write::publish(ringing("lost")));
    let seen = events(&mut world, reader);
    assert_eq!((calls(&seen), world.received(publisher).len()), (vec!["lost".to_owned()], 0));
    world.restart(Config::default());
    world.release_durability();
    publish_numbered(&mut world, 3..4);
    let peer = resume(&mut world, "/v1/events", seen[0].id.as_deref().unwrap());
    let got = events(&mut world, peer);
    assert_eq!(got[0].event.as_deref(), Some("gap"), "{got:?}");
    assert_eq!(calls(&got[1..]), numbered(3..4), "what it had before does not come again");
}

#[test]
fn what_memory_lacks_comes_from_the_log() {
    let mut world = World::keeping(small_memory(4), 1);
    publish_numbered(&mut world, 0..2_000);
    let peer = resume(&mut world, "/v1/events", "a1-11");
    assert_eq!(calls(&events(&mut world, peer)), numbered(10..2_000));
    publish_numbered(&mut world, 2_000..2_002);
    assert_eq!(calls(&events(&mut world, peer)), numbered(2_000..2_002), "the feed follows without a seam");
    let peer = resume(&mut world, "/v1/events?subject=call/7&subject=call/1500", "a1-3");
    assert_eq!(calls(&events(&mut world, peer)), ["7", "1500"]);
    let peer = resume(&mut world, "/v1/events?subject=call/none", "a1-3");
    assert!(events(&mut world, peer).is_empty());
    publish_all(&mut world, &[ringing("none")]);
    assert_eq!(calls(&events(&mut world, peer)), ["none"]);
}

#[test]
fn a_bare_stream_gets_the_log_without_chunks() {
    let mut world = World::keeping(small_memory(2), 1);
    publish_numbered(&mut world, 0..20);
    let peer = world.connect();
    world.open(peer, "GET /v1/events?last_event_id=a1-6 HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let got = server_sent(&world.take(peer));
    let got: Vec<ServerSent> = got.into_iter().filter(|event| event.retry.is_none()).collect();
    assert_eq!(calls(&got), numbered(5..20));
}

#[test]
fn what_retention_took_is_a_gap() {
    let mut world = World::keeping(small_memory(4), 1);
    publish_numbered(&mut world, 0..50);
    world.drop_records_before(Seq(32));
    let peer = resume(&mut world, "/v1/events", "a1-11");
    let got = calls(&events(&mut world, peer));
    assert_eq!(got[0], r#"{"from":"a1-12","to":"a1-31","reason":"no longer retained"}"#);
    assert_eq!(got[1..], numbered(30..50));
    world.drop_records_before(Seq(52));
    let peer = resume(&mut world, "/v1/events", "a1-11");
    let got = calls(&events(&mut world, peer));
    assert_eq!(got[0], r#"{"from":"a1-12","to":"a1-51","reason":"no longer retained"}"#);
}

#[test]
fn what_retention_took_before_a_restart_is_a_gap() {
    let mut world = World::keeping(Config::default(), 1);
    publish_numbered(&mut world, 0..20);
    world.drop_records_before(Seq(12));
    world.restart(Config::default());
    let peer = resume(&mut world, "/v1/events", "a1-4");
    let got = calls(&events(&mut world, peer));
    assert_eq!(got[0], r#"{"from":"a1-5","to":"a1-11","reason":"no longer retained"}"#);
    assert_eq!(got[1..], numbered(10..20), "memory holds all that the log has");
}

#[test]
fn an_event_keeps_its_id_wherever_it_is_read() {
    let mut world = World::keeping(small_memory(2), 1);
    publish_numbered(&mut world, 0..10);
    world.restart(small_memory(2));
    publish_numbered(&mut world, 10..12);
    let peer = resume(&mut world, "/v1/events", "a1-8");
    let ids: Vec<_> = events(&mut world, peer).into_iter().filter_map(|event| event.id).collect();
    assert_eq!(ids, ["a1-9", "a1-10", "a1-11", "a2-13", "a2-14"]);
}

#[test]
fn a_slow_reader_holds_one_piece_and_readers_take_turns() {
    let mut config = small_memory(4);
    config.limits.log_readers = 1;
    config.limits.log_read_bytes = 10_000;
    let mut world = World::keeping(config, 1);
    publish_numbered(&mut world, 0..500);
    let slow = world.connect();
    world.limit_room(slow, 3_000);
    world.open(slow, get("/v1/events?last_event_id=a1-0"));
    let quick = resume(&mut world, "/v1/events", "a1-0");
    assert_eq!(calls(&events(&mut world, quick)), numbered(0..500), "nobody waits for the slow one");
    let leaver = world.connect();
    world.limit_room(leaver, 1_000);
    world.open(leaver, get("/v1/events?last_event_id=a1-0"));
    world.break_off(leaver);
    publish_numbered(&mut world, 500..510);
    world.lift_limit(slow);
    assert_eq!(calls(&events(&mut world, slow)), numbered(0..510));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens between two looks: publishing, restarts, readers that come back to another shard. Together they
    /// see each event once, in order.
    #[test]
    fn every_event_once_and_in_order(
        steps in proptest::collection::vec((0_usize..4, 1_usize..30), 1..12),
        memory in 1_u64..40,
        piece in 1_u64..30,
    ) {
        let mut config = small_memory(memory);
        config.limits.log_read_bytes = piece * 1_000;
        let mut world = World::keeping(config.clone(), 2);
        let mut published = 0;
        let (mut seen, mut last): (Vec<ServerSent>, _) = (Vec::new(), "a1-0".to_owned());
        let mut reader = None;
        for (step, count) in steps.into_iter().chain([(3, 0)]) {
            if step < 2 {
                publish_numbered(&mut world, published..published + count);
                published += count;
            }
            if let Some(reader) = reader {
                seen.extend(events(&mut world, reader));
                last = seen.last().and_then(|event| event.id.clone()).unwrap_or(last);
            }
            if step == 1 {
                world.restart(config.clone());
                reader = None;
            } else if step > 1 {
                if let Some(old) = reader {
                    world.break_off(old);
                }
                let new = world.connect_to(count % 2);
                world.open(new, request("GET", "/v1/events", &format!("Last-Event-ID: {last}\r\n"), ""));
                reader = Some(new);
            }
        }
        seen.extend(events(&mut world, reader.unwrap()));
        prop_assert_eq!(calls(&seen), numbered(0..published));
    }
}
