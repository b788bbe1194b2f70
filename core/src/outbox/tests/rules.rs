//! The rules of delivery, one by one, in virtual time. Lines of the ISR checklist are named.

use uuid::Uuid;

use super::*;
use crate::ground::config::{Brought, DeadLetters};
use crate::outbox::Breaker;

fn breaker(rig: &Rig) -> Breaker {
    rig.outbox(0).destinations()["d"].watched(rig.now.mono).unwrap().1
}

/// R18: 503 is retried after about 1, 2 and 4 s.
#[test]
fn r18_delays_double() {
    let mut rig = Rig::with("{}");
    rig.publish("a");
    for (attempts, delay_ms) in [(0, 1_000), (1, 2_000), (2, 4_000), (3, 8_000)] {
        assert_eq!(rig.made[0].letters[0].1, attempts);
        rig.answer(0, 503);
        rig.pass(delay_ms * 8 / 10 - 1);
        assert!(rig.made.is_empty(), "not before {delay_ms} ms less 20 %");
        rig.pass(delay_ms * 4 / 10 + 1);
        assert_eq!(rig.made.len(), 1, "not after {delay_ms} ms and 20 %");
    }
}

/// R18: 429 with `Retry-After: 7` after 7 s, and the whole destination waits; at most the cap.
#[test]
fn r18_retry_after_replaces_the_delay_and_throttles() {
    let mut rig = Rig::with("{}");
    rig.publish("a");
    rig.answer_with(0, Ok(answer(429, Some(7_000))));
    rig.publish("b");
    rig.pass(6_999);
    assert!(rig.made.is_empty(), "{:?}", rig.made);
    rig.pass(1);
    assert_eq!(rig.made.len(), 2);
    rig.answer_with(0, Ok(answer(503, Some(86_400_000))));
    rig.answer(0, 200);
    rig.pass(3_600_000);
    assert_eq!(rig.made.len(), 1, "an hour is the cap");
}

/// R19: what the receiver judges as never to be delivered is dead at once.
#[test]
fn r19_dead_at_once() {
    let mut rig = Rig::with("{}");
    let seq = rig.publish("a");
    rig.answer(0, 400);
    assert_eq!(rig.dead(), [(seq, 1, "answered 400".to_owned())]);
    assert!(rig.pending("d").is_empty());
}

/// R20: given up with its last reason, and sent again on request; after `max_age` it is not sent late.
#[test]
fn r20_given_up_and_sent_again() {
    let mut rig = Rig::with(r#"{"give_up_after_ms": 5000}"#);
    let seq = rig.publish("a");
    let bytes = rig.outbox(0).pending_bytes();
    rig.answer(0, 500);
    rig.pass(1_300);
    rig.answer(0, 500);
    rig.pass(2_500);
    rig.answer(0, 502);
    assert_eq!(rig.dead(), [(seq, 3, "answered 502".to_owned())]);
    assert!(bytes > 0 && rig.outbox(0).pending_bytes() == 0 && !rig.outbox(0).dead().is_empty());
    let id = rig.outbox(0).dead().after(None).next().unwrap().id;
    rig.change(&Change::Redriven { ids: vec![id] });
    assert!(rig.dead().is_empty() && rig.outbox(0).dead().is_empty());
    assert_eq!(rig.outbox(0).pending_bytes(), bytes);
    assert_eq!(rig.made[0].letters, [(seq, 0, id.to_string())], "the same id, and attempts count anew");
    rig.answer(0, 200);
    assert!(rig.pending("d").is_empty());
    rig.change(&Change::Redriven { ids: vec![id] });
    assert!(rig.made.is_empty(), "it is no dead letter any more");
}

/// R20: later than `max_age` it is a dead letter without being sent late, whether it failed before or waited.
#[test]
fn r20_max_age() {
    let mut rig = Rig::with(r#"{"max_age_ms": 3000, "concurrency": 1}"#);
    let failed = rig.publish("a");
    rig.answer(0, 500);
    let holds = rig.publish("b");
    let waits = rig.publish("c");
    rig.pass(3_001);
    assert_eq!(rig.under_way(), [holds], "one request at a time");
    assert_eq!(
        rig.dead(),
        [
            (failed, 1, "not delivered within max_age: answered 500".to_owned()),
            (waits, 0, "not delivered within max_age: answered 500".to_owned())
        ]
    );
    rig.answer(0, 500);
    assert_eq!(rig.dead().len(), 3, "a next attempt would be late");
    assert!(rig.pending("d").is_empty() && rig.made.is_empty());
}

/// What a letter died of is not what the receiver said last.
#[test]
fn reasons_do_not_grow_from_one_death_to_the_next() {
    let mut rig = Rig::with(r#"{"max_age_ms": 3000, "concurrency": 1}"#);
    rig.publish("a");
    rig.answer(0, 500);
    for _ in 0..3 {
        rig.publish("a");
        rig.pass(3_001);
    }
    let reasons: Vec<String> = rig.dead().into_iter().map(|(_, _, reason)| reason).collect();
    assert_eq!(reasons, vec!["not delivered within max_age: answered 500"; 3], "the last one is under way");
}

/// A wall clock that is set back between two starts holds nothing back for longer than the delay was, also when the log
/// has lost its older half meanwhile.
#[test]
fn r21_a_clock_that_was_set_back_makes_no_delay_longer() {
    for retires in [false, true] {
        let mut rig = Rig::with("{}");
        rig.publish("a");
        rig.answer(0, 500);
        for _ in 0..4 {
            rig.publish("b");
            rig.answer(0, 200);
        }
        rig.now.wall.0 -= 3_600_000;
        if retires {
            rig.retire();
        }
        rig.restart(1);
        assert!(rig.made.is_empty(), "the delay goes on over the restart");
        rig.pass(1_200);
        assert_eq!(rig.made.len(), 1);
    }
}

/// R21, R22: a crash between two attempts, or after an answer that nobody wrote down, loses nothing; the id stays.
#[test]
fn r21_r22_a_restart_loses_nothing() {
    let mut rig = Rig::with("{}");
    let seq = rig.publish("a");
    let first = rig.made[0].letters[0].2.clone();
    rig.restart(1);
    assert_eq!(rig.made[0].letters, [(seq, 0, first.clone())], "it was under way, and is sent again");
    rig.answer(0, 500);
    rig.restart(1);
    assert!(rig.made.is_empty(), "the delay goes on over the restart");
    rig.pass(1_200);
    assert_eq!(rig.made[0].letters, [(seq, 1, first.clone())]);
    assert_eq!(first.parse::<Uuid>().unwrap().get_version_num(), 8);
    rig.answer(0, 200);
    rig.restart(1);
    assert!(rig.made.is_empty() && rig.pending("d").is_empty());
}

/// R23, R24: events of one key arrive in their order though the first attempt failed; another key does not wait.
#[test]
fn r23_r24_order_by_key() {
    let mut rig = Rig::with("{}");
    let a = [rig.publish("a"), rig.publish("a"), rig.publish("a")];
    assert_eq!(rig.under_way(), [a[0]]);
    rig.answer(0, 500);
    let b = rig.publish("b");
    assert_eq!(rig.under_way(), [b], "another key goes at once");
    rig.answer(0, 200);
    rig.pass(1_200);
    for seq in a {
        assert_eq!(rig.under_way(), [seq]);
        rig.answer(0, 200);
    }
    let free = [rig.publish("free"), rig.publish("free")];
    assert_eq!(rig.under_way(), free, "without a key nobody waits");
}

/// R25: a destination that never answers delays no other.
#[test]
fn r25_destinations_do_not_wait_for_each_other() {
    let mut rig = Rig::with(r#"{"concurrency": 1}"#);
    rig.put("e", "{}");
    rig.publish("a");
    assert_eq!(rig.made.len(), 2);
    rig.publish("b");
    assert_eq!(rig.made.len(), 3, "the first waits, the second goes");
}

/// R27: no answer in time counts as an attempt and is tried again.
#[test]
fn r27_a_fault_is_an_attempt() {
    let mut rig = Rig::with("{}");
    let seq = rig.publish("a");
    rig.answer_with(0, Err(CallFault::Timeout));
    let failing = &rig.outbox(0).destinations()["d"].failing[&Seq(seq)];
    assert_eq!((failing.attempts, &*failing.reason), (1, "no answer in time"));
    rig.pass(1_200);
    rig.answer_with(0, Err(CallFault::NoRoom));
    assert_eq!(
        rig.outbox(0).destinations()["d"].failing[&Seq(seq)].attempts,
        1,
        "our own want of room is none"
    );
    rig.pass(1_000);
    assert_eq!(rig.made.len(), 1);
}

/// R32: beyond the destination's bound the oldest is a dead letter, counted.
#[test]
fn r32_the_oldest_goes() {
    let mut rig = Rig::with(r#"{"pending_max": 3, "concurrency": 1}"#);
    let seqs: Vec<u64> = (0..6).map(|_| rig.publish("a")).collect();
    let dead: Vec<u64> = rig.dead().iter().map(|dead| dead.0).collect();
    assert_eq!(dead, seqs[1..4], "the first is under way, so it is the next ones");
    assert_eq!(rig.dead()[0].2, "more than 3 were waiting, and this was the oldest");
    for seq in [seqs[0], seqs[4], seqs[5]] {
        assert_eq!(rig.under_way(), [seq], "the chain of the key is whole");
        rig.answer(0, 200);
    }
    assert_eq!(rig.outbox(0).destinations()["d"].watched(rig.now.mono).unwrap().0.dead, 3);
}

#[test]
fn the_breaker_opens_after_ten_failures_probes_and_closes() {
    let mut rig = Rig::with(r#"{"concurrency": 32}"#);
    for number in 0..40 {
        rig.publish(&format!("s{number}"));
    }
    assert_eq!(rig.made.len(), 32);
    for _ in 0..9 {
        rig.answer(0, 500);
    }
    assert_eq!(
        (breaker(&rig), rig.made.len()),
        (Breaker::Closed, 31),
        "nine were answered, eight more were waiting"
    );
    rig.answer(0, 500);
    assert!(matches!(breaker(&rig), Breaker::Open(_)));
    while !rig.made.is_empty() {
        rig.answer(0, 500);
    }
    rig.pass(26_999);
    assert!(rig.made.is_empty(), "an open one uses up no attempts");
    rig.pass(6_000);
    assert_eq!((breaker(&rig), rig.made.len()), (Breaker::HalfOpen, 1), "one letter finds out");
    rig.answer(0, 500);
    assert!(matches!(breaker(&rig), Breaker::Open(_)));
    rig.pass(33_000);
    assert_eq!(rig.made.len(), 1);
    rig.answer(0, 200);
    assert_eq!((breaker(&rig), rig.made.len()), (Breaker::Closed, 32));
    while !rig.made.is_empty() {
        rig.answer(0, 200);
    }
    rig.pass(60_000);
    while !rig.made.is_empty() {
        rig.answer(0, 200);
    }
    assert!(rig.pending("d").is_empty());
}

#[test]
fn an_answer_that_ends_a_letter_is_no_failure_of_the_destination() {
    let mut rig = Rig::with("{}");
    for number in 0..20 {
        rig.publish(&format!("s{number}"));
        rig.answer(0, if number == 9 { 400 } else { 500 });
        assert_eq!(matches!(breaker(&rig), Breaker::Open(_)), number == 19, "{number}");
        if number == 19 {
            return;
        }
    }
}

#[test]
fn a_receiver_that_wants_nothing_more_is_disabled_until_it_is_enabled() {
    let mut rig = Rig::with("{}");
    rig.publish("a");
    rig.publish("a");
    rig.answer(0, 410);
    assert_eq!(rig.dead().len(), 2);
    assert!(rig.dead()[1].2.starts_with("its destination is disabled: answered 410"), "{:?}", rig.dead());
    rig.publish("b");
    assert!(rig.pending("d").is_empty() && rig.made.is_empty());
    let ids: Vec<Uuid> = rig.outbox(0).dead().after(None).map(|letter| letter.id).collect();
    rig.change(&Change::Redriven { ids });
    assert_eq!((rig.dead().len(), rig.made.len()), (2, 0), "they stay dead until it is enabled");
    rig.restart(1);
    rig.publish("b");
    assert!(rig.made.is_empty(), "a restart does not change that");
    rig.change(&Change::Enabled { name: "d".into() });
    rig.publish("c");
    assert_eq!(rig.made.len(), 1);
}

#[test]
fn a_rate_is_kept() {
    let mut rig = Rig::with(r#"{"per_second": 20, "concurrency": 1000}"#);
    for number in 0..100 {
        rig.publish(&format!("s{number}"));
    }
    rig.pass(2_000);
    let sent = rig.made.len();
    assert!((38..=42).contains(&sent), "{sent} in two seconds");
    rig.pass(10_000);
    assert_eq!(rig.made.len(), 100);
}

#[test]
fn batches_hold_different_keys_and_consecutive_ones() {
    let mut rig = Rig::with(r#"{"batch_max": 4, "concurrency": 1}"#);
    let first = rig.publish("x");
    let seqs: Vec<u64> = ["a", "b", "a", "c", "a"].iter().map(|subject| rig.publish(subject)).collect();
    assert_eq!(rig.under_way(), [first]);
    rig.answer(0, 200);
    assert_eq!(rig.under_way(), [seqs[0], seqs[2], seqs[4], seqs[1]]);
    rig.answer(0, 500);
    assert_eq!(rig.under_way(), [seqs[3]], "those that failed wait");
    rig.answer(0, 200);
    rig.pass(1_300);
    let mut again = Vec::new();
    while !rig.made.is_empty() {
        again.extend(rig.under_way());
        rig.answer(0, 200);
    }
    again.retain(|seq| *seq != seqs[1]);
    assert_eq!(again, [seqs[0], seqs[2], seqs[4]], "in their order");
    assert!(rig.pending("d").is_empty());
}

#[test]
fn a_destination_that_goes_leaves_dead_letters() {
    let mut rig = Rig::with("{}");
    let seq = rig.publish("a");
    rig.change(&Change::Removed { name: "d".into(), by: By::File });
    assert_eq!(rig.made.len(), 1, "only who brought it takes it away");
    rig.change(&Change::Removed { name: "d".into(), by: By::Api });
    assert_eq!(rig.dead(), [(seq, 0, "its destination was removed".to_owned())]);
    rig.answer(0, 200);
    rig.put("d", "{}");
    let ids = rig.outbox(0).dead().after(None).map(|letter| letter.id).collect();
    rig.change(&Change::Redriven { ids });
    assert_eq!(rig.under_way(), [seq], "to the new one of the same name");
}

#[test]
fn dead_letters_are_bounded_by_count_and_age() {
    let mut config = Config::default();
    config.outbox.dead_letters = DeadLetters { age_ms: 60_000, count: 3 };
    let mut rig = Rig::new(config, 2);
    rig.put("d", "{}");
    for number in 0..5 {
        rig.publish(&format!("s{number}"));
        rig.answer(0, 400);
        rig.pass(1_000);
    }
    assert_eq!(rig.dead().iter().map(|dead| dead.0).collect::<Vec<_>>().len(), 3);
    assert_eq!(rig.outbox(0).forgotten, 2);
    rig.assert_alike();
    rig.pass(60_000);
    assert!(rig.dead().is_empty());
    assert_eq!(rig.outbox(0).forgotten, 5);
    assert_eq!(
        forgotten(&rig),
        [(ShardId(0), 1), (ShardId(0), 1), (ShardId(0), 1), (ShardId(0), 1), (ShardId(0), 1)]
    );
}

/// Who says that dead letters are forgotten, and how many at once.
fn forgotten(rig: &Rig) -> Vec<(ShardId, usize)> {
    let of = |record: &Record| {
        let Body::Change(_, bytes) = &record.body else { return None };
        let Said::Change(Change::Forgotten { ids, bound: true }) = Said::decode(bytes)? else { return None };
        Some((record.origin.shard, ids.len()))
    };
    rig.log.iter().filter_map(|(_, record)| of(record)).collect()
}

#[test]
fn a_dead_letter_stays_for_its_whole_age() {
    let mut config = Config::default();
    config.outbox.dead_letters = DeadLetters { age_ms: 60_000, count: 3 };
    let mut rig = Rig::new(config, 1);
    rig.put("d", "{}");
    let die = |rig: &mut Rig| {
        rig.publish("a");
        rig.answer(0, 400);
        rig.dead().len()
    };
    assert_eq!(die(&mut rig), 1);
    rig.pass(60_000);
    assert_eq!(die(&mut rig), 2);
    rig.pass(1);
    assert_eq!(rig.dead().len(), 1);
    rig.pass(60_000);
    assert_eq!(rig.dead().len(), 0);
}

/// What is to be forgotten is said once, also when more dies before that is applied.
#[test]
fn dead_letters_are_forgotten_once() {
    let mut config = Config::default();
    config.outbox.dead_letters = DeadLetters { age_ms: 60_000, count: 0 };
    let mut rig = Rig::new(config, 1);
    for name in ["x", "y", "z"] {
        rig.put(name, r#"{"max_age_ms": 3000, "concurrency": 1}"#);
    }
    rig.publish("a");
    (0..3).for_each(|_| rig.answer(0, 500));
    rig.publish("holds");
    rig.pass(3_500);
    assert!(rig.dead().is_empty());
    assert_eq!(forgotten(&rig).iter().map(|(_, count)| count).sum::<usize>(), 3);
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let mut config = Config::default();
    config.outbox.pending_bytes = 1_000;
    let mut rig = Rig::new(config, 1);
    rig.put("d", "{}");
    let mut count = 0;
    while !rig.hub(0).outbox_full {
        rig.publish(&format!("s{count}"));
        count += 1;
    }
    assert!((2..20).contains(&count), "{count}");
    while !rig.made.is_empty() {
        rig.answer(0, 200);
    }
    assert!(!rig.hub(0).outbox_full);
    assert_eq!(rig.outbox(0).pending_bytes(), 0);
}

#[test]
fn the_config_file_brings_destinations_and_takes_them_away() {
    let brought =
        |name: &str, spec: &str| Brought { kind: "webhook", name: name.to_owned(), spec: spec.to_owned() };
    let mut rig = Rig::new(Config::default(), 2);
    rig.put("api", "{}");
    let names = |rig: &Rig| rig.outbox(1).destinations().keys().map(|n| n.to_string()).collect::<Vec<_>>();
    rig.config.destinations = vec![brought("x", "{}"), brought("y", "{}")];
    rig.restart(2);
    assert_eq!(names(&rig), ["api", "x", "y"]);
    let records = rig.log.len();
    rig.restart(2);
    assert_eq!(rig.log.len(), records, "what is known is not said again");
    rig.config.destinations = vec![brought("y", r#"{"concurrency": 1}"#)];
    rig.restart(2);
    assert_eq!(names(&rig), ["api", "y"]);
    assert_eq!(rig.log.len(), records + 2);
    for (at, destination) in rig.outbox(0).destinations() {
        assert_eq!(destination.by == By::File, **at == *"y");
    }
}

#[test]
fn an_event_is_matched_against_what_stood_before_it() {
    let mut rig = Rig::new(Config::default(), 1);
    rig.publish("a");
    rig.put("d", "{}");
    assert!(rig.made.is_empty());
    rig.restart(1);
    assert!(rig.made.is_empty());
}
