//! Events that are sent again: accepted again with their first number, published once.

use offhook_core::Config;
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, publish};
use serde_json::{Value, json};

use crate::common::{EVERYTHING, create, listen, xml};

fn event(id: &str, source: &str, call: &str) -> String {
    json!({"id": id, "source": source, "type": "call.ringing", "subject": format!("call/{call}")}).to_string()
}

/// Publishes and gives the numbers of the reply.
fn send(world: &mut World, shard: usize, body: &str) -> Vec<u64> {
    let peer = world.connect_to(shard);
    let reply = world.ask(peer, publish(body));
    assert_eq!(reply.status, 202);
    let reply: Value = serde_json::from_slice(&reply.body).expect("the reply is JSON");
    let entries = reply["accepted"].as_array().expect("a list").iter();
    entries.map(|entry| entry["seq"].as_u64().expect("a number")).collect()
}

#[test]
fn an_id_that_comes_again_has_its_first_number_and_is_published_once() {
    let mut world = World::with(Config::default(), 2);
    let handler = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &handler);
    let first = send(&mut world, 0, &event("1", "pbx", "a"));
    assert_eq!(
        send(&mut world, 1, &event("1", "pbx", "changed")),
        first,
        "on any shard, whatever it says now"
    );
    let other = send(&mut world, 0, &event("1", "another", "b"));
    assert_ne!(other, first);
    let batch = format!("[{},{},{}]", event("2", "pbx", "c"), event("1", "pbx", "a"), event("2", "pbx", "c"));
    let numbers = send(&mut world, 1, &batch);
    assert_eq!((numbers[0], numbers[1]), (numbers[2], first[0]));
    let subjects: Vec<String> = xml(&mut world, stream);
    assert_eq!(subjects.len(), 3, "a, b and c: {subjects:?}");
    assert_eq!((world.stats().events_accepted, world.stats().events_repeated), (3, 3));
}

#[test]
fn ids_that_were_minted_are_never_repeats() {
    let mut world = World::new();
    let body = r#"{"type":"call.ringing","subject":"call/1"}"#;
    assert_ne!(send(&mut world, 0, body), send(&mut world, 0, body));
    assert_eq!(world.stats().events_repeated, 0);
}

#[test]
fn the_window_is_bounded_and_zero_recognises_none() {
    for (window, expected) in [(2, [1, 2, 3, 4]), (3, [1, 2, 3, 1]), (0, [1, 2, 3, 4])] {
        let mut config = Config::default();
        config.limits.dedup_events = window;
        let mut world = World::with(config, 1);
        let sent: Vec<u64> =
            ["a", "b", "c", "a"].iter().map(|id| send(&mut world, 0, &event(id, "pbx", "1"))[0]).collect();
        assert_eq!(sent, expected, "{window}");
    }
}

#[test]
fn the_reply_to_a_repeat_waits_until_the_first_is_durable() {
    let mut world = World::new();
    world.hold_durability();
    let (first, second) = (world.connect(), world.connect());
    world.send(first, publish(event("1", "pbx", "a")));
    world.send(second, publish(event("1", "pbx", "a")));
    assert!(world.received(first).is_empty() && world.received(second).is_empty());
    world.release_durability();
    assert_eq!(world.next_reply(first).unwrap().body, world.next_reply(second).unwrap().body);
}

#[test]
fn a_restart_still_knows_them() {
    let mut world = World::keeping(Config::default(), 2);
    let first = send(&mut world, 0, &event("1", "pbx", "a"));
    world.restart(Config::default());
    assert_eq!(send(&mut world, 1, &event("1", "pbx", "a")), first);
    let peer = world.connect();
    world.open(peer, get("/v1/events?last_event_id=a1-0"));
    let text = String::from_utf8(world.chunks(peer).content()).unwrap();
    assert_eq!(text.matches("data: ").count(), 1, "{text}");
}
