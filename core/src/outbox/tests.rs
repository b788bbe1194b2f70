//! What the tests of the outbox share: engines without sockets over one log, and a receiver whose requests say what they
//! carry.

mod changes;
mod late;
mod model;
mod rules;
mod shown;
mod starts;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::change::{By, Change, PART, Said, When};
use super::receiver::{Judgement, Letter, Policy, Receiver, Wrong};
use super::{Meaning, Outbox, id};
use crate::event::vocabulary::Vocabulary;
use crate::event::{Data, Event};
use crate::ground::config::{Config, Place};
use crate::ground::deadline::Due;
use crate::ground::id::{Epoch, Seq, ShardId};
use crate::ground::time::{Mono, Now, Wall};
use crate::hub::Hub;
use crate::hub::action::Action;
use crate::hub::call::{Answer, CallFault, Caller, Target};
use crate::log::record::{Actor, Body, Origin, Record};

pub(super) const BEGINNING: Wall = Wall(1_767_225_600_000);

/// An event about a subject.
pub(crate) fn event(subject: &str) -> Event {
    Event {
        id_given: false,
        id: subject.into(),
        source: "test".into(),
        event_type: "call.ringing".into(),
        subject: Some(subject.into()),
        time: BEGINNING.to_rfc3339().into(),
        wall: BEGINNING,
        content_type: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::None,
    }
}

/// Wants all, and orders by subject; events of the subject `free` wait for nobody.
#[derive(Debug)]
struct Plain {
    target: Arc<Target>,
    policy: Policy,
    listens: bool,
}

impl Receiver for Plain {
    fn listens(&self) -> bool {
        self.listens
    }

    fn wants(&self, _event: &Event, _vocabulary: &Vocabulary) -> bool {
        true
    }

    fn order(&self, event: &Event) -> Option<Box<str>> {
        event.subject.clone().filter(|subject| **subject != *"free")
    }

    fn request(&self, letters: &[Letter<'_>], _wall: Wall, _vocabulary: &Vocabulary) -> Vec<u8> {
        let line = |letter: &Letter<'_>| format!("{} {} {}\n", letter.seq, letter.attempts, letter.id);
        letters.iter().map(line).collect::<String>().into_bytes()
    }

    fn summary(&self, _letter: Letter<'_>, _vocabulary: &Vocabulary) -> String {
        "POST http://receiver/".to_owned()
    }

    fn judge(&self, answer: &Answer) -> Judgement {
        let reason = format!("answered {}", answer.status);
        match answer.status {
            200..300 => Judgement::Done,
            400 => Judgement::Dead { reason },
            410 => Judgement::Disable { reason },
            _ => Judgement::Retry { reason, after_ms: answer.retry_after_ms },
        }
    }

    fn target(&self) -> &Arc<Target> {
        &self.target
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// A specification is a JSON object with some of a policy's members.
fn plain(
    _kind: &str,
    _name: &str,
    spec: &str,
    _config: &Config,
    trusted: bool,
) -> Result<Box<dyn Receiver>, Wrong> {
    let wrong = |detail: String| Wrong { key: "spec".to_owned(), detail };
    let spec: BTreeMap<String, Value> = serde_json::from_str(spec).map_err(|e| wrong(e.to_string()))?;
    let number = |key: &str| spec.get(key).and_then(Value::as_u64);
    let small = |key: &str| number(key).and_then(|n| u32::try_from(n).ok());
    let plain = Policy::default();
    let policy = Policy {
        give_up_after_ms: number("give_up_after_ms").unwrap_or(plain.give_up_after_ms),
        cap_ms: number("cap_ms").unwrap_or(plain.cap_ms),
        max_age_ms: number("max_age_ms"),
        concurrency: small("concurrency").unwrap_or(plain.concurrency),
        per_second: small("per_second"),
        pending_max: number("pending_max"),
        batch_max: small("batch_max").unwrap_or(1),
        ..plain
    };
    let target = Target { host: "receiver".into(), port: 80, tls: None, trusted };
    let listens = spec.get("listens").and_then(Value::as_bool).unwrap_or(true);
    Ok(Box::new(Plain { target: Arc::new(target), policy, listens }))
}

fn as_it_is(_kind: &str, _name: &str, spec: &str, _config: &Config) -> Result<String, Wrong> {
    Ok(spec.to_owned())
}

const MEANING: Meaning = Meaning { settled: as_it_is, receiver: plain };

/// A request that was made and not answered.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) shard: usize,
    caller: Caller,
    /// Numbers, attempts before, and ids.
    pub(super) letters: Vec<(u64, u32, String)>,
}

/// Engines over one log.
pub(super) struct Rig {
    config: Config,
    pub(super) now: Now,
    engines: Vec<(Hub, Outbox)>,
    /// What the log holds, and what was carried over its beginning.
    log: Vec<(Seq, Arc<Record>)>,
    carried: Vec<Arc<Record>>,
    last: Seq,
    /// What operators were told.
    notes: Vec<String>,
    /// Requests under way, in the order of their making.
    pub(super) made: Vec<Made>,
}

impl Rig {
    pub(super) fn new(config: Config, shards: u16) -> Rig {
        let now = Now { mono: Mono(1_000), wall: BEGINNING };
        let mut rig = Rig {
            config,
            now,
            engines: Vec::new(),
            log: Vec::new(),
            carried: Vec::new(),
            last: Seq(0),
            notes: Vec::new(),
            made: Vec::new(),
        };
        rig.start(shards);
        rig
    }

    /// A server with one destination, named `d`.
    pub(super) fn with(spec: &str) -> Rig {
        let mut rig = Rig::new(Config::default(), 1);
        rig.put("d", spec);
        rig
    }

    /// The server starts: engines are made of what the log holds.
    fn start(&mut self, shards: u16) {
        self.made.clear();
        self.engines = (0..shards)
            .map(|shard| {
                let place = Place { shard: ShardId(shard), shards, epoch: Epoch(1), keeps_log: true };
                let mut hub = Hub::new(self.config.clone(), place, 7 + u64::from(shard));
                hub.set_now(self.now);
                let outbox = Outbox::new(2, MEANING, hub.hash_seed);
                (hub, outbox)
            })
            .collect();
        for (hub, outbox) in &mut self.engines {
            hub.recovering = true;
            for record in &self.carried {
                apply(hub, outbox, record);
            }
            for (seq, record) in &self.log {
                hub.applied = *seq;
                apply(hub, outbox, record);
            }
            hub.recovering = false;
            outbox.started(hub);
        }
        self.turn();
    }

    /// A crash, and a start with so many engines.
    pub(super) fn restart(&mut self, shards: u16) {
        self.start(shards);
    }

    /// The log forgets its older half, after what is live in it was carried over.
    pub(super) fn retire(&mut self) {
        if let Some((through, _)) = self.log.get(self.log.len() / 2) {
            self.retire_through(*through);
        }
    }

    fn retire_through(&mut self, through: Seq) {
        let mut carried = Vec::new();
        for (hub, outbox) in &mut self.engines {
            hub.set_now(self.now);
            outbox.restate(hub, through);
            if let Some(Action::Append(records)) = hub.next_action() {
                carried.extend(records.into_iter().map(Arc::new));
            }
        }
        self.carried = carried;
        self.log.retain(|(seq, _)| *seq > through);
    }

    pub(super) fn put(&mut self, name: &str, spec: &str) {
        let (kind, by, when) = ("plain".into(), By::Api, When::Always);
        self.change(&Change::Put { name: name.into(), kind, spec: spec.into(), by, when });
    }

    pub(super) fn change(&mut self, change: &Change) {
        self.append(Body::Change(PART, change.encode()));
    }

    /// The config is another one from here on.
    fn reload(&mut self, config: Config) {
        self.config = config;
        for (hub, outbox) in &mut self.engines {
            hub.set_now(self.now);
            hub.config = self.config.clone();
            outbox.reloaded(hub);
        }
        self.turn();
    }

    /// An event is accepted; its number.
    pub(super) fn publish(&mut self, subject: &str) -> u64 {
        self.publish_of(subject, self.now.wall)
    }

    /// An event whose own time is `wall` is accepted; its number.
    fn publish_of(&mut self, subject: &str, wall: Wall) -> u64 {
        let event = Event { wall, id: self.last.next().to_string().into(), ..event(subject) };
        let seq = self.last.next().0;
        self.append(Body::Event(Arc::new(event)));
        seq
    }

    fn append(&mut self, body: Body) {
        let hub = &mut self.engines[0].0;
        hub.append(Actor::Server("test"), None, true, true, body);
        self.turn();
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, at: usize, status: u16) {
        self.answer_with(at, Ok(answer(status, None)));
    }

    pub(super) fn answer_with(&mut self, at: usize, result: Result<Answer, CallFault>) {
        let made = self.made.remove(at);
        let (hub, outbox) = &mut self.engines[made.shard];
        hub.set_now(self.now);
        outbox.answered(hub, made.caller.key, result);
        self.turn();
    }

    /// Lets time pass; engines are woken when they asked for it.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.mono.plus_ms(ms);
        loop {
            let next = self.engines.iter().filter_map(|(hub, _)| hub.deadlines.peek()).min();
            let at = next.unwrap_or(end).min(end).max(self.now.mono);
            let step = at.since(self.now.mono);
            self.now = Now { mono: at, wall: Wall(self.now.wall.0 + step) };
            self.turn();
            if at == end {
                return;
            }
        }
    }

    /// All that follows from what has happened.
    fn turn(&mut self) {
        for turn in 0.. {
            assert!(turn < 1_000, "the outbox finds something to do at every turn");
            let mut moved = false;
            for shard in 0..self.engines.len() {
                moved |= self.turn_of(shard);
            }
            if !moved {
                return;
            }
        }
    }

    fn turn_of(&mut self, shard: usize) -> bool {
        let mut moved = false;
        let (hub, outbox) = &mut self.engines[shard];
        hub.set_now(self.now);
        while let Some((at, due)) = hub.deadlines.pop(self.now.mono) {
            // What connections wait for is not played here.
            let Due::Dialect(2, key) = due else { continue };
            outbox.handle_timeout(hub, key, at);
            moved = true;
        }
        for (_, made) in hub.take_calls() {
            let text = String::from_utf8(made.request).unwrap();
            let letter = |line: &str| {
                let mut words = line.split(' ');
                let mut next = || words.next().unwrap().to_owned();
                (next().parse().unwrap(), next().parse().unwrap(), next())
            };
            let letters = text.lines().map(letter).collect();
            self.made.push(Made { shard, caller: made.caller, letters });
            moved = true;
        }
        while let Some(action) = self.engines[shard].0.next_action() {
            moved = true;
            if let Action::Note(note) = &action {
                self.notes.push(note.text.clone());
            }
            let Action::Append(records) = action else { continue };
            for record in records {
                self.last = self.last.next();
                let record = Arc::new(record);
                self.log.push((self.last, Arc::clone(&record)));
                for (hub, outbox) in &mut self.engines {
                    hub.set_now(self.now);
                    hub.applied = self.last;
                    apply(hub, outbox, &record);
                }
            }
        }
        moved
    }

    /// What the first engine knows to wait for a destination.
    pub(super) fn pending(&self, name: &str) -> Vec<u64> {
        pending(&self.engines[0].1, name)
    }

    pub(super) fn outbox(&self, shard: usize) -> &Outbox {
        &self.engines[shard].1
    }

    pub(super) fn hub(&self, shard: usize) -> &Hub {
        &self.engines[shard].0
    }

    /// Dead letters by number, with their attempts and reasons.
    pub(super) fn dead(&self) -> Vec<(u64, u32, String)> {
        let dead = self.engines[0].1.dead().after(None);
        dead.map(|letter| (letter.seq.0, letter.attempts, letter.reason.to_string())).collect()
    }

    /// The numbers of the letters under way.
    pub(super) fn under_way(&self) -> Vec<u64> {
        self.made.iter().flat_map(|made| made.letters.iter().map(|letter| letter.0)).collect()
    }

    /// All engines know the same.
    pub(super) fn assert_alike(&self) {
        let (_, first) = &self.engines[0];
        for (_, other) in &self.engines {
            assert_eq!(first.bytes, other.bytes);
            assert!(first.destinations.keys().eq(other.destinations.keys()));
            for name in first.destinations.keys() {
                assert_eq!(pending(first, name), pending(other, name));
            }
            let ids = |outbox: &Outbox| outbox.dead().after(None).map(|letter| letter.id).collect::<Vec<_>>();
            assert_eq!(ids(first), ids(other));
        }
    }
}

fn pending(outbox: &Outbox, name: &str) -> Vec<u64> {
    outbox.destinations()[name].letters.iter().map(|entry| entry.seq.0).collect()
}

fn apply(hub: &mut Hub, outbox: &mut Outbox, record: &Record) {
    assert_ne!(record.origin, Origin { request: record.origin.request, ..Origin::NOBODY });
    match &record.body {
        Body::Event(event) => outbox.publish(hub, hub.applied, record.header.wall, event),
        Body::Change(_, bytes) => match Said::decode(bytes).expect("a record of our own") {
            Said::Change(change) => {
                outbox.apply(hub, record.header.wall, change);
            }
            Said::Outcomes(outcomes) => outbox.outcomes(hub, record.header.wall, outcomes),
            Said::Carried(letter) => outbox.carried_letter(hub, record.header.wall, *letter),
        },
        Body::Repeat { .. }
        | Body::Epoch { .. }
        | Body::Carried { .. }
        | Body::Retire { .. }
        | Body::Retired { .. } => {
            unreachable!("the log's own records are not in these tests")
        }
    }
}

pub(super) fn answer(status: u16, retry_after_ms: Option<u64>) -> Answer {
    Answer { status, retry_after_ms, content_type: None, content: Vec::new(), cut: false }
}

/// The shard that owns a destination is the same for all, and names are spread.
#[test]
fn owners_are_spread() {
    let mut counts = [0; 4];
    for number in 0..400 {
        counts[usize::from(id::owner(&format!("d{number}"), 4).0)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 60), "{counts:?}");
    assert_eq!(id::owner("crm", 1), ShardId(0));
}
