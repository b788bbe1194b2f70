//! The last moment of a letter, and the times between its attempts.

use std::collections::BTreeSet;

use super::*;
use crate::ground::rng::Rng;
use crate::outbox::Breaker;
use crate::outbox::send::delay_ms;

/// Numbers of dead letters that nobody tried to deliver, because it was too late.
fn too_old(rig: &Rig) -> Vec<u64> {
    let dead = rig.dead();
    assert!(dead.iter().all(|(_, attempts, reason)| *attempts == 0 && reason.starts_with("not delivered")));
    dead.into_iter().map(|(seq, ..)| seq).collect()
}

#[test]
fn a_letter_may_go_at_its_last_moment() {
    for spec in [r#"{"give_up_after_ms": 5000}"#, r#"{"max_age_ms": 5000}"#] {
        let mut rig = Rig::with(spec);
        let seq = rig.publish("a");
        rig.answer_with(0, Ok(answer(500, Some(5_000))));
        rig.pass(5_000);
        assert_eq!(rig.under_way(), [seq], "{spec}");
        assert!(rig.dead().is_empty());
        rig.answer_with(0, Ok(answer(500, Some(1))));
        assert_eq!(rig.dead().len(), 1, "the next attempt would be too late");
    }
}

/// Nothing else wakes the destination: the one under way has more time than the one that waits.
#[test]
fn a_letter_dies_in_its_own_time() {
    let mut rig = Rig::with(r#"{"max_age_ms": 3000, "concurrency": 1}"#);
    let holds = rig.publish("h");
    let waits = rig.publish_of("a", Wall(BEGINNING.0 - 2_000));
    rig.pass(1_000);
    assert!(rig.dead().is_empty());
    rig.pass(1);
    assert_eq!((too_old(&rig), rig.under_way()), (vec![waits], vec![holds]));
}

/// One that stands behind a younger one in order of numbers is not sent late either.
#[test]
fn a_letter_behind_one_that_was_sent_again_is_not_sent_late() {
    let mut rig = Rig::with(r#"{"max_age_ms": 3000, "concurrency": 1}"#);
    let again = rig.publish("a");
    rig.answer(0, 400);
    let holds = rig.publish("h");
    let waits = rig.publish("b");
    rig.pass(2_500);
    let id = rig.outbox(0).dead().after(None).next().unwrap().id;
    rig.change(&Change::Redriven { ids: vec![id] });
    rig.pass(501);
    assert_eq!(rig.under_way(), [holds]);
    rig.answer(0, 200);
    assert_eq!((too_old(&rig), rig.under_way()), (vec![waits], vec![again]));
}

/// One that is too old leaves its line, and those behind it stay behind those before it.
#[test]
fn a_late_letter_in_the_midst_leaves_its_line_in_order() {
    let check = |batch_max: u32, before: usize, sent: &[usize]| {
        let spec = format!(r#"{{"max_age_ms": 3000, "concurrency": 1, "batch_max": {batch_max}}}"#);
        let mut rig = Rig::with(&spec);
        rig.publish("h");
        let mut line: Vec<u64> = (0..before).map(|_| rig.publish("a")).collect();
        let late = rig.publish_of("a", Wall(BEGINNING.0 - 2_900));
        line.push(rig.publish("a"));
        rig.now.mono = rig.now.mono.plus_ms(101);
        rig.now.wall.0 += 101;
        rig.answer(0, 200);
        let expected = |range: std::ops::Range<usize>| line[range].to_vec();
        assert_eq!((too_old(&rig), rig.under_way()), (vec![late], expected(0..before)), "{batch_max}");
        rig.answer(0, 500);
        let mut from = 0;
        for count in sent {
            rig.pass(1_300);
            assert_eq!(rig.under_way(), expected(from..from + count), "{batch_max}: {from}");
            rig.answer(0, 200);
            from += count;
        }
        assert_eq!((from, rig.pending("d").len(), rig.made.len()), (line.len(), 0, 0));
    };
    check(2, 1, &[2]);
    check(3, 1, &[2]);
    check(3, 2, &[3]);
    check(4, 3, &[4]);
}

/// One that was put back, because there was no room for its request, and is too old by then, leaves its line; who comes
/// later stands behind those before it.
#[test]
fn a_late_letter_that_was_put_back_leaves_its_line_in_order() {
    let mut rig = Rig::with(r#"{"max_age_ms": 3000, "concurrency": 2, "batch_max": 3}"#);
    let holds = ["g", "h"].map(|subject| rig.publish(subject));
    let first = rig.publish("a");
    let late = rig.publish_of("a", Wall(BEGINNING.0 - 2_900));
    rig.answer(0, 200);
    assert_eq!(rig.under_way(), [holds[1], first, late]);
    rig.answer_with(1, Err(CallFault::NoRoom));
    rig.pass(1_000);
    assert_eq!((too_old(&rig), rig.under_way()), (vec![late], vec![holds[1], first]));
    rig.answer(0, 200);
    let second = rig.publish("a");
    assert_eq!(rig.under_way(), [first]);
    rig.answer(0, 200);
    assert_eq!(rig.under_way(), [second]);
}

/// A delay doubles from 1 s to the cap, and is up to 20 % longer or shorter.
#[test]
fn delays_are_spread_on_both_sides() {
    let policy = Policy { cap_ms: 6_000, ..Policy::default() };
    for (attempts, plain) in [(0, 1_000), (1, 1_000), (2, 2_000), (3, 4_000), (4, 6_000), (99, 6_000)] {
        let mut rng = Rng::new(1);
        let all: BTreeSet<u64> = (0..5_000).map(|_| delay_ms(&policy, attempts, &mut rng)).collect();
        let (shortest, longest) = (*all.first().unwrap(), *all.last().unwrap());
        assert!((plain * 80 / 100..=plain * 81 / 100).contains(&shortest), "{attempts}: {shortest}");
        assert!((plain * 119 / 100..=plain * 120 / 100).contains(&longest), "{attempts}: {longest}");
    }
}

/// A destination that failed rests for 30 s, up to a tenth more or less.
#[test]
fn rests_are_spread_on_both_sides() {
    let mut rig = Rig::with("{}");
    let mut rests = BTreeSet::new();
    for number in 0..10 {
        rig.publish(&format!("s{number}"));
        rig.answer(0, 500);
    }
    for _ in 0..100 {
        let Breaker::Open(until) = rig.outbox(0).destinations()["d"].watched(rig.now.mono).unwrap().1 else {
            panic!("it failed")
        };
        rests.insert(until.since(rig.now.mono));
        while rig.made.is_empty() {
            rig.pass(1_000);
        }
        rig.answer(0, 500);
    }
    let (shortest, longest) = (*rests.first().unwrap(), *rests.last().unwrap());
    assert!((27_000..27_500).contains(&shortest) && (32_500..=33_000).contains(&longest), "{rests:?}");
}
