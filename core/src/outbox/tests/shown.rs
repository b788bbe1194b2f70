//! What operators see: counts, what waits, and what it would be.

use super::*;
use crate::outbox::{Breaker, summary};

/// Delivered, failed and dead.
fn counts(counted: crate::outbox::Counted) -> [u64; 3] {
    [counted.delivered, counted.failed, counted.dead]
}

/// One letter arrives after two failures, three die at once.
fn busy(name: &str) -> Rig {
    let mut rig = Rig::new(Config::default(), 1);
    rig.put(name, "{}");
    rig.publish("a");
    for _ in 0..2 {
        rig.answer(0, 500);
        rig.pass(3_000);
    }
    rig.answer(0, 200);
    for _ in 0..3 {
        rig.publish("a");
        rig.answer(0, 400);
    }
    rig
}

#[test]
fn what_is_counted_ends_with_the_process() {
    let mut rig = busy("d");
    let watched = |rig: &Rig| counts(rig.outbox(0).destinations()["d"].watched(rig.now.mono).unwrap().0);
    assert_eq!(watched(&rig), [1, 2, 3]);
    rig.restart(1);
    assert_eq!(watched(&rig), [0, 0, 0], "what is read from the log was counted before");
}

#[test]
fn what_destinations_counted_stays_when_they_go() {
    let mut rig = busy("d");
    let go = |name: &str| Change::Removed { name: name.into(), by: By::Api };
    assert_eq!(counts(rig.outbox(0).removed("plain")), [0, 0, 0]);
    rig.change(&go("d"));
    assert_eq!(counts(rig.outbox(0).removed("plain")), [1, 2, 3]);
    rig.put("e", "{}");
    for status in [200, 400] {
        rig.publish("a");
        rig.answer(0, status);
    }
    rig.change(&go("e"));
    assert_eq!(counts(rig.outbox(0).removed("plain")), [2, 2, 4]);
    assert_eq!(counts(rig.outbox(0).removed("other")), [0, 0, 0]);
}

#[test]
fn a_pause_that_the_receiver_asked_for_is_shown_until_it_is_over() {
    let mut rig = Rig::with("{}");
    rig.publish("a");
    rig.answer_with(0, Ok(answer(503, Some(7_000))));
    let asked = rig.now.mono;
    let paused = |ms: u64| rig.outbox(0).destinations()["d"].watched(asked.plus_ms(ms)).unwrap();
    for (ms, expected) in [(0, true), (6_999, true), (7_000, false), (7_001, false)] {
        let (_, breaker, throttled) = paused(ms);
        assert_eq!((breaker, throttled), (Breaker::Closed, expected), "{ms}");
    }
}

#[test]
fn what_waits_is_listed_by_destination_and_number() {
    let mut rig = Rig::with("{}");
    rig.put("e", "{}");
    let [first, second] = [rig.publish("a"), rig.publish("b")];
    let failed = rig.made.iter().position(|made| made.letters[0].0 == second).unwrap();
    rig.answer(failed, 500);
    let outbox = rig.outbox(0);
    let check = |from: &str, after: u64, expected: &[(&str, u64, &str)]| {
        let all = outbox.deliveries(from, Seq(after));
        let all: Vec<_> = all.map(|d| (&**d.destination, d.seq.0, d.state())).collect();
        assert_eq!(all, expected, "{from} {after}");
    };
    let (d, e) = ([("d", first, "waiting"), ("d", second, "retrying")], ("e", first, "waiting"));
    let last = ("e", second, "waiting");
    check("", 0, &[d[0], d[1], e, last]);
    check("d", first, &[d[1], e, last]);
    check("d", second, &[e, last]);
    check("dd", second, &[e, last]);
    check("e", first, &[last]);
    check("e", second, &[]);
    let counts = ["d", "e"].map(|name| {
        let destination = &outbox.destinations()[name];
        (destination.pending(), destination.failing())
    });
    assert_eq!(counts, [(2, 1), (2, 0)]);
    for delivery in outbox.deliveries("", Seq(0)) {
        let destination = &outbox.destinations()[delivery.destination];
        let shown = summary(destination, delivery.destination, &delivery, &rig.hub(0).vocabulary);
        assert_eq!(shown, "POST http://receiver/");
    }
}

/// Each letter gives back the bytes that it took.
#[test]
fn bytes_are_counted_for_each_letter() {
    let mut rig = Rig::with("{}");
    rig.publish("a");
    let one = rig.outbox(0).pending_bytes();
    (0..4).for_each(|_| _ = rig.publish("a"));
    for left in (0..5).rev() {
        rig.answer(0, 200);
        assert_eq!(rig.outbox(0).pending_bytes(), left * one, "{left}");
    }
}
