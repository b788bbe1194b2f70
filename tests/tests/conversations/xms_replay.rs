//! What waits for an eventhandler without a stream, and how long it lives (xms.md 2.5: replay, life time).

use offhook_core::ground::stats::{NotSent, XmsAppStats};
use offhook_core::{Config, Wall};
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, request};
use proptest::prelude::*;

use crate::common::{
    COLLECTION, EVERYTHING, assert_xms_error, create, frame, instance, listen, listen_again, post_handler,
    publish_all, put_handler, ringing, ringing_xml, xml,
};

fn numbered(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| ringing(&n.to_string())).collect()
}

fn numbered_xml(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| ringing_xml(&n.to_string())).collect()
}

/// The counters of the default application.
fn counters(world: &World) -> XmsAppStats {
    world.stats().xms_apps.get("app").cloned().unwrap_or_default()
}

/// The counters of one eventhandler, as operators see them: matched, sent, replayed, dropped, pending.
fn listed(world: &mut World, id: &str) -> [u64; 5] {
    let reply = world.ask_alone(get("/v1/xms/eventhandlers"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let page: serde_json::Value = serde_json::from_slice(&reply.body).expect("the list is JSON");
    let entries = page["eventhandlers"].as_array().expect("a list");
    let entry = entries.iter().find(|entry| entry["id"] == id).expect("the eventhandler is listed");
    ["matched", "sent", "replayed", "dropped", "pending"].map(|name| entry[name].as_u64().expect("a counter"))
}

#[test]
fn x29_events_between_post_and_get_arrive_after_the_keepalive_in_order() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &numbered(0..50));
    let (stream, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events), (None, numbered_xml(0..50)));
    publish_all(&mut world, &numbered(50..60));
    assert_eq!(xml(&mut world, stream), numbered_xml(50..60));
    // Events before the POST are not replayed, and the replay goes to the first stream that opens.
    let late = create(&mut world, EVERYTHING);
    let (_, _, events) = listen_again(&mut world, 0, &late);
    assert_eq!(events, Vec::<String>::new());
    let (_, _, events) = listen_again(&mut world, 0, &id);
    assert_eq!(events, Vec::<String>::new());
}

#[test]
fn x29_only_what_matches_waits() {
    let mut world = World::new();
    let id = create(&mut world, "<eventsubscribe resource_id=\"3\"/><eventsubscribe resource_id=\"7\"/>");
    publish_all(&mut world, &numbered(0..10));
    let (_, _, events) = listen_again(&mut world, 0, &id);
    assert_eq!(events, [ringing_xml("3"), ringing_xml("7")]);
}

#[test]
fn x30_what_the_kernel_had_not_taken_whole_is_replayed() {
    let length = frame(&ringing_xml("100")).len();
    for (taken, whole) in
        [(0, 0), (1, 0), (length - 1, 0), (length, 1), (length + 1, 1), (10 * length - 1, 9)]
    {
        let mut world = World::new();
        let id = create(&mut world, EVERYTHING);
        let stream = listen(&mut world, &id);
        world.limit_room(stream, taken);
        publish_all(&mut world, &numbered(100..110));
        assert_eq!(world.received(stream).len(), taken);
        world.break_off(stream);
        publish_all(&mut world, &numbered(110..115));
        let (stream, head, events) = listen_again(&mut world, 0, &id);
        assert_eq!(events, numbered_xml(100 + whole..115), "{taken} bytes");
        assert_eq!(head.field("offhook-missed"), None);
        publish_all(&mut world, &numbered(115..116));
        assert_eq!(xml(&mut world, stream), numbered_xml(115..116));
    }
}

#[test]
fn x30_a_connection_that_breaks_during_the_replay_loses_nothing() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &numbered(100..110));
    let length = frame(&ringing_xml("100")).len();
    let peer = world.connect();
    let head = 150;
    world.limit_room(peer, head + 77 + 3 * length);
    world.send(peer, get(&instance(&id)));
    world.break_off(peer);
    let received = world.take(peer);
    let text = String::from_utf8_lossy(&received);
    let got = (100..110).filter(|n| text.contains(&frame(&ringing_xml(&n.to_string())))).count() as u32;
    assert!((1..10).contains(&got));
    let (_, _, events) = listen_again(&mut world, 0, &id);
    assert_eq!(events, numbered_xml(100 + got..110));
}

#[test]
fn x30_a_client_that_leaves_while_its_stream_opens_loses_nothing() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &numbered(0..3));
    for _ in 0..3 {
        let peer = world.connect();
        world.queue(peer, get(&instance(&id)));
        world.end(peer);
        let peer = world.connect();
        world.limit_room(peer, 0);
        world.send(peer, get(&instance(&id)));
        world.break_off(peer);
    }
    let (_, _, events) = listen_again(&mut world, 0, &id);
    assert_eq!(events, numbered_xml(0..3));
}

#[test]
fn subscriptions_that_change_while_nobody_listens_keep_what_waits() {
    let mut world = World::new();
    let id = create(&mut world, "<eventsubscribe resource_id=\"1\"/>");
    publish_all(&mut world, &numbered(0..3));
    let edits = "<eventsubscribe action=\"remove\" resource_id=\"1\"/><eventsubscribe resource_id=\"2\"/>";
    world.ask_alone(put_handler(&id, edits));
    publish_all(&mut world, &numbered(0..3));
    world.ask_alone(put_handler(&id, EVERYTHING));
    publish_all(&mut world, &numbered(0..2));
    let (_, _, events) = listen_again(&mut world, 0, &id);
    assert_eq!(events, ["1", "2", "0", "1"].map(ringing_xml));
    assert_eq!(counters(&world).matched, 4);
}

#[test]
fn x31_beyond_a_thousand_events_the_oldest_are_dropped_and_said() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &numbered(0..1_000));
    publish_all(&mut world, &numbered(1_000..1_017));
    world.take_notes();
    let (stream, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events.len()), (Some("17"), 1_000));
    assert_eq!(events, numbered_xml(17..1_017));
    assert_eq!(world.stats().dialects["xms"].not_sent.get(&NotSent::SlowReader), Some(&17));
    assert!(world.take_notes().iter().any(|note| note.text.contains("17")), "it is logged");
    world.break_off(stream);
    let (_, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events.len()), (None, 0), "it is said once");
}

#[test]
fn x31_a_thousand_of_a_narrow_handler_are_its_own() {
    let mut config = Config::default();
    config.xms.replay_events = 10;
    let mut world = World::with(config, 1);
    let id = create(&mut world, "<eventsubscribe resource_id=\"7\"/>");
    for n in 0..14 {
        let mut events = numbered(100..110);
        events.insert(n % 10, ringing("7"));
        publish_all(&mut world, &events);
    }
    let (_, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events), (Some("4"), vec![ringing_xml("7"); 10]));
}

#[test]
fn x31_beyond_five_minutes_the_oldest_are_dropped_and_said() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    for n in 0..10 {
        publish_all(&mut world, &numbered(n..n + 1));
        world.pass(60_000);
    }
    // The events are 10, 9, … 1 minutes old; five minutes are too old.
    let (_, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events), (Some("6"), numbered_xml(6..10)));
}

#[test]
fn x31_the_age_is_that_of_the_wall_clock() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &numbered(0..2));
    world.set_wall(Wall(world.now().wall.0 + 299_999));
    publish_all(&mut world, &numbered(2..3));
    let (stream, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events), (None, numbered_xml(0..3)));
    world.break_off(stream);
    // A clock that was set back makes nothing older.
    publish_all(&mut world, &numbered(3..4));
    world.set_wall(Wall(world.now().wall.0 - 3_600_000));
    publish_all(&mut world, &numbered(4..5));
    let (_, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events), (None, numbered_xml(3..5)));
}

#[test]
fn x31_the_arena_bounds_what_waits_as_well() {
    let mut config = Config::default();
    let length = frame(&ringing_xml("100")).len() as u64;
    config.limits.xms_arena_bytes = 10 * length;
    let mut world = World::with(config, 1);
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &numbered(100..125));
    let (_, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events), (Some("15"), numbered_xml(115..125)));
}

#[test]
fn x31_without_a_replay_everything_is_dropped_and_said() {
    let mut config = Config::default();
    config.xms.replay_events = 0;
    let mut world = World::with(config, 1);
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &numbered(0..3));
    let (stream, head, events) = listen_again(&mut world, 0, &id);
    assert_eq!((head.field("offhook-missed"), events.len()), (Some("3"), 0));
    publish_all(&mut world, &numbered(3..5));
    assert_eq!(xml(&mut world, stream), numbered_xml(3..5));
}

#[test]
fn x40_an_idle_handler_is_removed_after_its_time_and_not_before() {
    let mut world = World::new();
    let day = 86_400_000;
    let (idle, used) = (create(&mut world, EVERYTHING), create(&mut world, EVERYTHING));
    world.pass(day / 2);
    let stream = listen(&mut world, &used);
    world.pass(day / 2 - 1);
    assert!(world.ask_alone(get(COLLECTION)).text().contains("size=\"2\""));
    world.pass(1);
    assert_xms_error(&world.ask_alone(get(&instance(&idle))), 404);
    // An open stream keeps it for ever; its end starts the time anew.
    world.pass(2 * day);
    assert!(!world.is_closed(stream));
    world.break_off(stream);
    world.pass(day - 1);
    assert!(world.ask_alone(get(COLLECTION)).text().contains("size=\"1\""));
    world.pass(1);
    assert!(world.ask_alone(get(COLLECTION)).text().contains("size=\"0\""));
}

#[test]
fn x40_the_time_is_configured() {
    for (idle_ms, size) in [(1_000, "size=\"0\""), (0, "size=\"1\"")] {
        let mut config = Config::default();
        config.xms.idle_ms = idle_ms;
        let mut world = World::with(config, 1);
        create(&mut world, EVERYTHING);
        world.pass(999);
        assert!(world.ask_alone(get(COLLECTION)).text().contains("size=\"1\""));
        world.pass(200_000_000);
        assert!(world.ask_alone(get(COLLECTION)).text().contains(size), "{idle_ms}");
    }
}

#[test]
fn x44_counters_of_a_plain_life() {
    let mut config = Config::default();
    config.xms.replay_events = 5;
    let mut world = World::with(config, 1);
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &numbered(0..8));
    assert_eq!(listed(&mut world, &id), [8, 0, 0, 3, 5]);
    let stream = listen_again(&mut world, 0, &id).0;
    assert_eq!(listed(&mut world, &id), [8, 0, 5, 3, 0]);
    publish_all(&mut world, &numbered(8..10));
    assert_eq!(listed(&mut world, &id), [10, 2, 5, 3, 0]);
    world.break_off(stream);
    assert_eq!(listed(&mut world, &id), [10, 2, 5, 3, 0]);
    let sum = counters(&world);
    assert_eq!((sum.handlers, sum.matched, sum.sent, sum.replayed, sum.dropped), (1, 10, 2, 5, 3));
    // What a deleted handler counted stays in the sums; what nobody will read is dropped.
    publish_all(&mut world, &numbered(10..12));
    assert_eq!(world.ask_alone(request("DELETE", &instance(&id), "", "")).status, 204);
    let sum = counters(&world);
    assert_eq!((sum.handlers, sum.matched, sum.sent, sum.replayed, sum.dropped), (0, 12, 2, 5, 5));
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u32),
    Open,
    Break,
    Room(usize),
    Put(u32),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u32..7).prop_map(Step::Publish),
        2 => Just(Step::Open),
        1 => Just(Step::Break),
        3 => (0usize..2_000).prop_map(Step::Room),
        1 => (0u32..4).prop_map(Step::Put),
        1 => (0u64..20_000).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// X30, X31, X44: for a handler with at most one stream at a time, every matching event is taken whole by the
    /// kernel once, in order, or said to be missed; and the counters add up at every moment.
    #[test]
    fn x44_sent_replayed_and_dropped_add_up(steps in steps(), max in 1u64..40) {
        let mut config = Config::default();
        config.xms.replay_events = max;
        let mut world = World::with(config, 1);
        let id = create(&mut world, EVERYTHING);
        let (mut next, mut got, mut missed): (u32, Vec<u32>, u64) = (0, Vec::new(), 0);
        let mut stream = None;
        let mut bytes = Vec::new();
        let number = |xml: &str| xml.split_once("resource_id=\"").and_then(|(_, rest)| rest.split('"').next()).and_then(|n| n.parse::<u32>().ok());
        for step in steps.into_iter().chain([Step::Break, Step::Open]) {
            match step {
                Step::Publish(count) => {
                    publish_all(&mut world, &numbered(next..next + count));
                    next += count;
                }
                Step::Open if stream.is_none() => {
                    let peer = world.connect();
                    let head = world.open(peer, get(&instance(&id)));
                    missed += head.field("offhook-missed").map_or(0, |n| n.parse().unwrap());
                    world.limit_room(peer, 0);
                    stream = Some(peer);
                }
                Step::Room(room) => if let Some(peer) = stream { world.give_room(peer, room) },
                Step::Put(n) => {
                    // Edits that change the list but not what matches.
                    let action = if n % 2 == 0 { "add" } else { "remove" };
                    let edits = format!("<eventsubscribe action=\"{action}\" type=\"ringing\" resource_id=\"{}\"/>", n / 2);
                    prop_assert_eq!(world.ask_alone(put_handler(&id, &edits)).status, 200);
                }
                Step::Pass(ms) => world.pass(ms),
                Step::Break => if let Some(peer) = stream.take() { world.break_off(peer) },
                Step::Open => {}
            }
            let peers = stream;
            if let Some(peer) = peers {
                bytes.extend(world.take(peer));
            }
            if peers.is_none_or(|peer| world.is_closed(peer)) {
                let chunks = offhook_tests::memory::read::chunks(&std::mem::take(&mut bytes));
                prop_assert!(!chunks.ended);
                got.extend(crate::common::one_each(&chunks.chunks).iter().filter_map(|xml| number(xml)));
                stream = None;
            }
            let [matched, sent, replayed, dropped, pending] = listed(&mut world, &id);
            prop_assert_eq!(matched, u64::from(next));
            prop_assert_eq!(sent + replayed + dropped + pending, matched);
        }
        let chunks = offhook_tests::memory::read::chunks(&bytes);
        got.extend(crate::common::one_each(&chunks.chunks).iter().filter_map(|xml| number(xml)));
        prop_assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "in order and once: {:?}", got);
        let [_, sent, replayed, dropped, pending] = listed(&mut world, &id);
        prop_assert_eq!(got.len() as u64, sent + replayed);
        prop_assert_eq!((dropped, pending), (missed, u64::from(next) - missed - got.len() as u64));
        let sum = counters(&world);
        prop_assert_eq!((sum.matched, sum.sent, sum.replayed, sum.dropped), (u64::from(next), sent, replayed, dropped));
    }
}

/// A client that opens again and again costs one handler, and its id stays good.
#[test]
fn x40_a_handler_in_use_is_never_removed() {
    let mut config = Config::default();
    config.xms.idle_ms = 10_000;
    let mut world = World::with(config, 1);
    let reply = world.ask_alone(post_handler(EVERYTHING));
    let id = crate::common::identifier(&reply);
    for _ in 0..20 {
        let stream = listen(&mut world, &id);
        world.pass(15_000);
        world.break_off(stream);
        world.pass(9_000);
    }
    assert_eq!(counters(&world).handlers, 1);
}
