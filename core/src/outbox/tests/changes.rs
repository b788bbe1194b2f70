//! What changes of destinations come to, and what operators are told of them.

use uuid::Uuid;

use super::*;
use crate::ground::config::{Brought, DeadLetters};
use crate::outbox::{Applied, OF_THE_FILE};

fn put(name: &str, kind: &str, by: By, when: When) -> Change {
    Change::Put { name: name.into(), kind: kind.into(), spec: "{}".into(), by, when }
}

fn removed(name: &str, by: By) -> Change {
    Change::Removed { name: name.into(), by }
}

fn brought(name: &str) -> Brought {
    Brought { kind: "plain", name: name.to_owned(), spec: "{}".to_owned() }
}

/// A server with the destination `file` of the config file, `d` of a request, and a dead letter; its id.
fn prepared() -> (Rig, Uuid) {
    let mut rig = Rig::with("{}");
    rig.publish("a");
    rig.answer(0, 400);
    rig.change(&put("file", "plain", By::File, When::Always));
    let id = rig.outbox(0).dead().after(None).next().unwrap().id;
    (rig, id)
}

#[test]
fn a_change_comes_to_what_stands_in_its_way() {
    let check = |change: &dyn Fn(Uuid) -> Change, expected: Applied| {
        let (mut rig, dead) = prepared();
        let (wall, change) = (rig.now.wall, change(dead));
        let (hub, outbox) = &mut rig.engines[0];
        assert_eq!(outbox.apply(hub, wall, change.clone()), expected, "{change:?}");
    };
    let another_kind = "this name is taken by a destination of another kind";
    let others = |dead| vec![Uuid::from_u128(1), dead, Uuid::from_u128(2)];
    check(&|_| put("d", "plain", By::Api, When::Free), Applied::Conflict("this name is taken"));
    check(&|_| put("d", "plain", By::Api, When::FreeOrOwn), Applied::Replaced);
    check(&|_| put("d", "other", By::Api, When::FreeOrOwn), Applied::Conflict(another_kind));
    check(&|_| put("d", "other", By::File, When::Always), Applied::Replaced);
    check(&|_| put("file", "plain", By::Api, When::FreeOrOwn), Applied::Conflict(OF_THE_FILE));
    check(&|_| put("new", "plain", By::Api, When::Free), Applied::Created);
    check(&|_| put("new", "plain", By::Api, When::FreeOrOwn), Applied::Created);
    check(&|_| removed("d", By::Api), Applied::Removed);
    check(&|_| removed("d", By::File), Applied::Conflict(OF_THE_FILE));
    check(&|_| removed("file", By::File), Applied::Removed);
    check(&|_| removed("file", By::Api), Applied::Conflict(OF_THE_FILE));
    check(&|_| removed("new", By::Api), Applied::Missing);
    check(&|_| Change::Enabled { name: "d".into() }, Applied::Enabled);
    check(&|_| Change::Enabled { name: "new".into() }, Applied::Missing);
    check(&|dead| Change::Redriven { ids: others(dead) }, Applied::Letters(1, 2));
    check(&|dead| Change::Forgotten { ids: others(dead), bound: false }, Applied::Letters(1, 2));
}

#[test]
fn only_what_the_bound_asks_for_counts_as_forgotten() {
    for (bound, forgotten) in [(false, 0), (true, 1)] {
        let (mut rig, dead) = prepared();
        rig.change(&Change::Forgotten { ids: vec![dead], bound });
        assert_eq!(rig.outbox(0).forgotten, forgotten, "{bound}");
        assert!(rig.dead().is_empty());
    }
}

#[test]
fn only_the_config_file_is_trusted_also_after_it_was_read_again() {
    let (mut rig, _) = prepared();
    rig.config.destinations = vec![brought("file")];
    rig.restart(1);
    for _ in 0..2 {
        for (name, destination) in rig.outbox(0).destinations() {
            assert_eq!(destination.receiver().unwrap().target().trusted, **name == *"file", "{name}");
        }
        rig.reload(rig.config.clone());
    }
}

#[test]
fn a_config_that_was_read_again_brings_destinations_and_says_whose_place_they_take() {
    let mut rig = Rig::with("{}");
    let mut reload = |names: &[&str], expected: &[&str], noted: usize| {
        let destinations = names.iter().map(|name| brought(name)).collect();
        rig.reload(Config { destinations, ..Config::default() });
        let known: Vec<&str> = rig.outbox(0).destinations().keys().map(|name| &**name).collect();
        assert_eq!(known, expected);
        assert_eq!(rig.notes.len(), noted, "{:?}", rig.notes);
    };
    reload(&["x"], &["d", "x"], 0);
    reload(&["x", "y"], &["d", "x", "y"], 0);
    reload(&["d", "y"], &["d", "y"], 1);
    reload(&["d"], &["d"], 1);
    reload(&[], &[], 1);
    assert_eq!(rig.notes, ["outbox: d of the config file takes the place of one from a request"]);
}

#[test]
fn the_owner_alone_says_once_that_a_destination_is_disabled() {
    let mut rig = Rig::new(Config::default(), 3);
    rig.put("d", "{}");
    rig.publish("a");
    rig.answer(0, 410);
    assert_eq!(rig.notes, ["outbox: d is disabled: answered 410"]);
    rig.restart(3);
    assert_eq!(rig.notes.len(), 1);
}

/// Requests under way to a destination that goes are given up, and no others.
#[test]
fn a_destination_that_goes_takes_its_requests_along() {
    let mut rig = Rig::new(Config::default(), 1);
    for name in ["d", "e", "f"] {
        rig.put(name, "{}");
    }
    let now = rig.now;
    let (hub, outbox) = &mut rig.engines[0];
    outbox.publish(hub, Seq(9), now.wall, &Arc::new(event("a")));
    outbox.handle_timeout(hub, 0, now.mono);
    assert_eq!(outbox.flights.len(), 3);
    outbox.apply(hub, now.wall, removed("e", By::Api));
    let left = [1, 2, 3].map(|key| outbox.flights.get(&key).map(|flight| &*flight.destination));
    assert_eq!(left, [Some("d"), None, Some("f")]);
    let keys: Vec<u64> = hub.take_calls().iter().map(|(_, call)| call.caller.key).collect();
    assert_eq!(keys, [1, 3], "the hub dials for these two");
}

fn deadlines(rig: &mut Rig) -> Vec<u32> {
    let key = |(_, due)| if let Due::Dialect(2, key) = due { Some(key) } else { None };
    let deadlines = &mut rig.engines[0].0.deadlines;
    std::iter::from_fn(|| deadlines.pop(Mono(u64::MAX - 1))).filter_map(key).collect()
}

/// However much happens in a turn, it ends once; one in which nothing can happen does not end.
#[test]
fn a_turn_ends_once() {
    let check = |names: &[&str], recovering: bool, expected: &[u32]| {
        let mut rig = Rig::new(Config::default(), 1);
        names.iter().for_each(|name| rig.put(name, "{}"));
        let wall = rig.now.wall;
        let (hub, outbox) = &mut rig.engines[0];
        hub.recovering = recovering;
        for seq in 10..13 {
            outbox.publish(hub, Seq(seq), wall, &Arc::new(event("a")));
        }
        assert_eq!(deadlines(&mut rig), expected, "{names:?} {recovering}");
    };
    check(&[], false, &[]);
    check(&["d"], false, &[0]);
    check(&["d", "e"], false, &[0]);
    check(&["d"], true, &[]);
}

/// What is waited for already is not waited for again.
#[test]
fn a_time_is_waited_for_once() {
    let mut rig = Rig::with("{}");
    rig.publish("a");
    rig.answer(0, 500);
    for _ in 0..5 {
        rig.publish("b");
        rig.answer(0, 200);
    }
    assert_eq!(deadlines(&mut rig), [2], "the next attempt");

    let mut config = Config::default();
    config.outbox.dead_letters = DeadLetters { age_ms: 60_000, count: 10 };
    let mut rig = Rig::new(config, 1);
    rig.put("d", "{}");
    for _ in 0..5 {
        rig.publish("a");
        rig.answer(0, 400);
    }
    assert_eq!(deadlines(&mut rig), [1], "the first of them becomes too old");
}
