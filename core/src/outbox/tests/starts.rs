//! What a start knows of what the log has lost.

use super::*;
use crate::outbox::change::{Carried, Version};

fn letter(name: &str, seq: u64) -> Carried {
    Carried::new(name.into(), "plain", Seq(seq), BEGINNING, Arc::new(event("a")))
}

impl Rig {
    fn leave(&mut self, letter: &Carried) {
        self.append(Body::Change(PART, letter.encode()));
    }

    /// What was carried over the log's beginning: versions of destinations, and letters that wait or are dead.
    fn said(&self) -> (Vec<Version>, Vec<u64>, Vec<u64>) {
        let mut all = (Vec::new(), Vec::new(), Vec::new());
        for record in &self.carried {
            let Body::Change(_, bytes) = &record.body else { unreachable!() };
            match Said::decode(bytes).unwrap() {
                Said::Change(Change::Carried(version)) => all.0.push(version),
                Said::Carried(letter) if letter.died.is_some() => all.2.push(letter.seq.0),
                Said::Carried(letter) => all.1.push(letter.seq.0),
                Said::Change(_) | Said::Outcomes(_) => unreachable!("nothing else is carried"),
            }
        }
        all
    }
}

/// The specifications in force after a record, whichever came later; and once they are over they are known no more.
#[test]
fn destinations_are_carried_as_they_were_where_the_log_begins() {
    let spec = |number: u64| format!(r#"{{"pending_max": {number}}}"#);
    let lived = || {
        let mut rig = Rig::new(Config::default(), 1);
        rig.put("d", &spec(1));
        rig.put("e", &spec(2));
        rig.put("d", &spec(3));
        rig.change(&Change::Removed { name: "e".into(), by: By::Api });
        rig.put("d", &spec(5));
        rig.put("q", r#"{"listens": false}"#);
        rig.put("q", r#"{"listens": false, "pending_max": 7}"#);
        rig
    };
    let carried = |rig: &mut Rig, through: u64| {
        rig.retire_through(Seq(through));
        let (versions, ..) = rig.said();
        let digit = |v: &Version| v.spec.chars().find(char::is_ascii_digit).unwrap_or('-');
        let mut all: Vec<String> = versions.iter().map(|v| format!("{}{}", v.name, digit(v))).collect();
        all.sort();
        all.join(" ")
    };
    let expected = ["d1", "d1 e2", "d3 e2", "d3", "d5", "d5 q-", "d5 q7"];
    for (through, expected) in (1..).zip(expected) {
        assert_eq!(carried(&mut lived(), through), expected, "{through}");
    }
    let mut rig = lived();
    for (through, expected) in (1..).zip(expected) {
        assert_eq!(carried(&mut rig, through), expected, "{through}, after those before it");
    }
    assert_eq!(carried(&mut rig, 7), "d5 q7");
}

/// Letters by their numbers; those that were left by name, whose numbers say nothing, all of them.
#[test]
fn letters_are_carried_as_far_as_the_log_goes() {
    let mut rig = Rig::new(Config::default(), 2);
    let names: Vec<String> = (0..6).map(|number| format!("d{number}")).collect();
    for name in &names {
        rig.put(name, "{}");
    }
    rig.put("q", r#"{"listens": false}"#);
    rig.leave(&letter("q", 700));
    rig.leave(&Carried { died: Some(BEGINNING), ..letter("q", 800) });
    let [early, late] = [400, 400].map(|status| {
        let dead = rig.publish("a");
        let of_dead = |made: &Made| made.letters[0].0 == dead;
        while let Some(at) = rig.made.iter().position(of_dead) {
            rig.answer(at, status);
        }
        (dead, rig.publish("b"))
    });
    let through = Seq(early.1);
    rig.retire_through(through);
    let (_, mut waiting, mut dead) = rig.said();
    waiting.sort_unstable();
    dead.sort_unstable();
    let with_own = |of_all: u64, own: u64| [vec![of_all; names.len()], vec![own]].concat();
    assert_eq!((waiting, dead), (with_own(early.1, 700), with_own(early.0, 800)));
    let known = |rig: &Rig| (rig.dead(), rig.pending("d0"), rig.pending("q"), rig.outbox(0).pending_bytes());
    let before = known(&rig);
    assert_eq!(before.1, [early.1, late.1]);
    rig.restart(2);
    assert_eq!(known(&rig), before);
    rig.assert_alike();
}

#[test]
fn a_letter_that_is_left_to_the_outbox_goes_at_once() {
    let mut rig = Rig::with(r#"{"listens": false}"#);
    rig.publish("a");
    assert!(rig.made.is_empty(), "events do not go there by themselves");
    rig.leave(&letter("d", 700));
    assert_eq!(rig.under_way(), [700]);
    let destination = &rig.outbox(0).destinations()["d"];
    assert_eq!((destination.pending(), destination.failing()), (1, 0));
    rig.leave(&Carried { attempts: 2, ..letter("d", 701) });
    assert_eq!(rig.outbox(0).destinations()["d"].failing(), 1);
    rig.leave(&letter("nobody", 702));
    rig.leave(&Carried { died: Some(BEGINNING), attempts: 3, reason: "gone".into(), ..letter("d", 703) });
    assert_eq!(rig.dead(), [(702, 0, String::new()), (703, 3, "gone".to_owned())]);
}

/// A dead letter keeps the request that it was to be; one that came without is given what the destination would send.
#[test]
fn a_dead_letter_says_what_it_was_to_be() {
    let check = |name: &str, summary: &str, expected: &str| {
        let mut rig = Rig::with("{}");
        rig.leave(&Carried { died: Some(BEGINNING), summary: summary.into(), ..letter(name, 700) });
        assert_eq!(&*rig.outbox(0).dead().after(None).next().unwrap().summary, expected);
    };
    check("d", "PUT http://old/", "PUT http://old/");
    check("d", "", "POST http://receiver/");
    check("nobody", "PUT http://old/", "PUT http://old/");
    check("nobody", "", "");
}

/// A delay goes on where it was, and what is overdue goes in the order of its numbers.
#[test]
fn delays_go_on_after_a_start() {
    let check = |away_ms: u64, first: usize| {
        let mut rig = Rig::with(r#"{"concurrency": 1}"#);
        let seqs = [rig.publish("a"), rig.publish("b")];
        rig.answer_with(0, Ok(answer(500, Some(2_000))));
        assert_eq!(rig.under_way(), [seqs[1]]);
        rig.now.mono = rig.now.mono.plus_ms(away_ms);
        rig.now.wall.0 += away_ms;
        rig.restart(1);
        assert_eq!(rig.under_way(), [seqs[first]], "{away_ms}");
        rig.answer(0, 200);
        let left = 2_000_u64.saturating_sub(away_ms);
        rig.pass(left.saturating_sub(1));
        assert_eq!(rig.made.is_empty(), left > 0, "{away_ms}");
        rig.pass(1);
        assert_eq!(rig.under_way(), [seqs[1 - first]], "{away_ms}");
    };
    check(0, 1);
    check(1_999, 1);
    check(2_000, 0);
    check(5_000, 0);
}
