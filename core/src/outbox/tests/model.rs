//! Random lives of two destinations over one to three engines, against a naive model: no letter is lost, keys keep
//! their order, bounds hold, and a start from the log, carried over or not, knows what was known before.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Publish(u8),
    Answer(u8, u16),
    Fault(u8),
    Pass(u16),
    Restart(u16),
    Retire,
    Redrive,
    PutAgain,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let status = prop_oneof![6 => Just(200_u16), 4 => Just(500), 1 => Just(400), 1 => Just(429)];
    let step = prop_oneof![
        10 => (0_u8..5).prop_map(Step::Publish),
        10 => (any::<u8>(), status).prop_map(|(at, status)| Step::Answer(at, status)),
        2 => any::<u8>().prop_map(Step::Fault),
        4 => (0_u16..5_000).prop_map(Step::Pass),
        1 => (1_u16..4).prop_map(Step::Restart),
        1 => Just(Step::Retire),
        1 => Just(Step::Redrive),
        1 => Just(Step::PutAgain),
    ];
    prop::collection::vec(step, 1..120)
}

const SUBJECTS: [&str; 5] = ["a", "b", "c", "d", "free"];

/// What must have happened to each letter, by destination and number.
#[derive(Default)]
struct Model {
    /// Those that wait, with their subjects.
    waiting: BTreeMap<(&'static str, u64), &'static str>,
    delivered: BTreeSet<(&'static str, u64)>,
    /// Those that were sent again, whose order is not kept.
    redriven: BTreeSet<(&'static str, u64)>,
    failures: BTreeMap<&'static str, u32>,
}

fn destination_of(rig: &Rig, made: &Made) -> &'static str {
    // The id tells the two destinations' letters apart.
    let (seq, _, id) = &made.letters[0];
    let event =
        rig.outbox(0).destinations()["x"].letters.get(Seq(*seq)).map(|entry| Arc::clone(&entry.event));
    match event.map(|event| id::delivery("x", Seq(*seq), &event).to_string()) {
        Some(of_x) if of_x == *id => "x",
        Some(_) | None => "y",
    }
}

impl Model {
    fn check(
        &self,
        rig: &Rig,
        concurrency: &BTreeMap<&'static str, usize>,
        batch: &BTreeMap<&'static str, usize>,
    ) {
        rig.assert_alike();
        let dead: BTreeSet<(String, u64)> =
            rig.outbox(0).dead().after(None).map(|l| (l.destination.to_string(), l.seq.0)).collect();
        for (name, seq) in self.waiting.keys() {
            let waits = rig.outbox(0).destinations()[*name].letters.get(Seq(*seq)).is_some();
            let died = dead.contains(&((*name).to_owned(), *seq));
            assert!(waits != died, "{name} {seq} waits or is dead: {waits} {died}");
        }
        for name in ["x", "y"] {
            let all = rig.pending(name).len() + dead.iter().filter(|(of, _)| of == name).count();
            let known = self.waiting.keys().filter(|(of, _)| *of == name).count();
            assert_eq!(all, known, "nothing that was delivered is kept");
            let own: Vec<&Made> = rig.made.iter().filter(|made| destination_of(rig, made) == name).collect();
            assert!(own.len() <= concurrency[name]);
            assert!(own.iter().all(|made| made.letters.len() <= batch[name]));
            let owner = usize::from(id::owner(name, rig.engines.len() as u16).0);
            assert!(own.iter().all(|made| made.shard == owner), "only the owner sends");
            let mut under_way = BTreeSet::new();
            for (seq, ..) in own.iter().flat_map(|made| &made.letters) {
                assert!(under_way.insert(*seq), "{seq} is sent once at a time");
            }
            self.check_order(rig, name, &own);
        }
    }

    /// Whatever is under way has nothing older of its key behind it.
    fn check_order(&self, rig: &Rig, name: &'static str, own: &[&Made]) {
        for made in own {
            let mut in_batch = BTreeSet::new();
            for (seq, ..) in &made.letters {
                in_batch.insert(*seq);
                let subject = self.waiting[&(name, *seq)];
                if subject == "free" || self.redriven.contains(&(name, *seq)) {
                    continue;
                }
                let older = rig.pending(name).into_iter().find(|older| {
                    older < seq
                        && self.waiting[&(name, *older)] == subject
                        && !in_batch.contains(older)
                        && !self.redriven.contains(&(name, *older))
                });
                assert_eq!(older, None, "{name}: {seq} of {subject} went before an older one");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_is_lost(
        steps in steps(),
        shards in 1_u16..4,
        concurrency in 1_usize..5,
        batch in 1_usize..4,
        pending_max in prop::option::of(2_u64..20),
    ) {
        let mut rig = Rig::new(Config::default(), shards);
        let bound = pending_max.map_or(String::new(), |max| format!(r#","pending_max": {max}"#));
        let x = format!(r#"{{"concurrency": {concurrency}, "batch_max": {batch}{bound}}}"#);
        rig.put("x", &x);
        rig.put("y", "{}");
        let concurrency = BTreeMap::from([("x", concurrency), ("y", 32)]);
        let batch = BTreeMap::from([("x", batch), ("y", 1)]);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Publish(subject) => {
                    let subject = SUBJECTS[usize::from(subject)];
                    let seq = rig.publish(subject);
                    model.waiting.insert(("x", seq), subject);
                    model.waiting.insert(("y", seq), subject);
                }
                Step::Answer(at, status) if !rig.made.is_empty() => {
                    let at = usize::from(at) % rig.made.len();
                    let name = destination_of(&rig, &rig.made[at]);
                    if status == 200 {
                        for (seq, ..) in rig.made[at].letters.clone() {
                            model.waiting.remove(&(name, seq));
                            prop_assert!(model.delivered.insert((name, seq)), "once, without a crash between");
                        }
                    }
                    let failures = model.failures.entry(name).or_default();
                    *failures = if status == 500 { *failures + 1 } else { 0 };
                    rig.answer(at, status);
                }
                Step::Fault(at) if !rig.made.is_empty() => {
                    let at = usize::from(at) % rig.made.len();
                    rig.answer_with(at, Err(CallFault::Cut));
                }
                Step::Answer(..) | Step::Fault(_) => {}
                Step::Pass(ms) => rig.pass(u64::from(ms)),
                Step::Restart(shards) => {
                    let before = (rig.pending("x"), rig.pending("y"), rig.dead());
                    rig.restart(shards);
                    prop_assert_eq!(before, (rig.pending("x"), rig.pending("y"), rig.dead()));
                }
                Step::Retire => rig.retire(),
                Step::Redrive => {
                    let dead: Vec<(Uuid, String, u64)> = rig.outbox(0).dead().after(None)
                        .map(|l| (l.id, l.destination.to_string(), l.seq.0)).collect();
                    for (_, name, seq) in &dead {
                        model.redriven.insert((if name == "x" { "x" } else { "y" }, *seq));
                    }
                    rig.change(&Change::Redriven { ids: dead.into_iter().map(|(id, ..)| id).collect() });
                }
                Step::PutAgain => rig.put("x", &x),
            }
            if let Some(max) = pending_max {
                let under_way = rig.made.iter().filter(|m| destination_of(&rig, m) == "x").map(|m| m.letters.len());
                let waiting = rig.pending("x").len() - under_way.sum::<usize>();
                prop_assert!(waiting as u64 <= max, "{} wait", waiting);
            }
            model.check(&rig, &concurrency, &batch);
        }
        // From here on all goes well: everything arrives.
        for _ in 0..10_000 {
            if rig.made.is_empty() {
                rig.pass(60_000);
                if rig.made.is_empty() {
                    break;
                }
            }
            let name = destination_of(&rig, &rig.made[0]);
            for (seq, ..) in rig.made[0].letters.clone() {
                model.waiting.remove(&(name, seq));
            }
            rig.answer(0, 200);
        }
        model.check(&rig, &concurrency, &batch);
        prop_assert!(rig.pending("x").is_empty() && rig.pending("y").is_empty());
        prop_assert_eq!(rig.outbox(0).pending_bytes(), 0);
    }
}

use uuid::Uuid;
