//! The outbox: events on their way to servers of others, until they have arrived or are visibly dead. A *destination*
//! is somebody's server and what it wants ([`receiver`]); a *letter* is one event on its way to one destination.
//!
//! What is absent here: requests and their answers' meaning (a receiver's affair), connections (the hub's calls), and HTTP
//! for operators (`dialect/outbox`). Every engine knows the same destinations, letters and dead letters, made of
//! records alone; a destination's owner alone has a lane for them, sends (`send`) and says what came of it ([`change`]).

pub mod change;
pub mod dead;
pub mod id;
mod lane;
mod letters;
pub mod receiver;
mod recovery;
mod send;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::quality::FixedState;
use uuid::Uuid;

pub use lane::Breaker;

use change::{By, Change, Outcomes, Version, When};
use dead::DeadLetters;
use lane::Lane;
use letters::{Entry, Letters, Stage};
use receiver::{Letter, Receiver, Wrong};
use recovery::Past;
use send::Flight;

use crate::event::Event;
use crate::event::index::Map;
use crate::event::vocabulary::Vocabulary;
use crate::ground::config::Config;
use crate::ground::id::Seq;
use crate::ground::time::{Mono, Wall};
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::log::record::{Actor, Body};

/// A receiver, or the key at fault.
pub type Made = Result<Box<dyn Receiver>, Wrong>;

/// What gives specifications their meaning: the dialects of destinations.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// The specification of a kind and a name, with all that it takes from the config: so it stands in the log.
    pub settled: fn(&str, &str, &str, &Config) -> Result<String, Wrong>,
    /// Makes a receiver of a kind, a name and a settled specification; the last is whether the config file brought it.
    pub receiver: fn(&str, &str, &str, &Config, bool) -> Made,
}

/// What is kept for a letter beside its event, for the bound of `[outbox] pending_bytes`.
const LETTER_BYTES: u64 = 100;

/// All destinations and what is on its way to them.
#[derive(Debug)]
pub struct Outbox {
    /// The dialect's place in the list, for calls and deadlines.
    place: u8,
    meaning: Meaning,
    destinations: BTreeMap<Arc<str>, Destination>,
    /// Those that events go to by themselves: they alone are asked for each.
    listening: BTreeSet<Arc<str>>,
    /// Destinations by the number that their deadlines carry.
    numbers: BTreeMap<u32, Arc<str>>,
    next_number: u32,
    dead: DeadLetters,
    flights: Map<u64, Flight>,
    next_flight: u64,
    /// All that waits, events counted once for each destination.
    bytes: u64,
    /// Lanes that have something to do at the end of this turn.
    busy: BTreeSet<Arc<str>>,
    /// A deadline brings the end of this turn.
    ending: bool,
    /// What destinations were before they changed, as far back as the log goes.
    past: Past,
    /// Dead letters that are to be forgotten by a record that is on its way.
    forgetting: BTreeSet<Uuid>,
    /// Dead letters that were forgotten because of the bound.
    pub forgotten: u64,
    /// When a deadline looks for dead letters that have become too old.
    dead_armed: Mono,
    /// What this engine had counted of its destinations that are gone, by kind.
    removed: BTreeMap<Arc<str>, Counted>,
}

/// One destination.
#[derive(Debug)]
pub struct Destination {
    /// `webhook` or `isr`.
    pub kind: Arc<str>,
    /// Its specification, as it was brought.
    pub spec: Box<str>,
    /// Who brought it.
    pub by: By,
    /// Why it gets nothing more.
    pub disabled: Option<Box<str>>,
    /// Its meaning, or why it has none.
    receiver: Made,
    letters: Letters,
    /// Letters that failed, and so are tried again.
    failing: BTreeMap<Seq, Failing>,
    /// The record that said last what this destination is.
    said_at: Seq,
    /// The reason that failed last, shared by those that have the same.
    last_reason: Arc<str>,
    /// The reason that the last dead letter died of, shared in the same way.
    last_death: Arc<str>,
    number: u32,
    hash_seed: u64,
    /// Its owner alone has one.
    lane: Option<Lane>,
    counted: Counted,
}

/// What the owner counted since the start.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counted {
    /// Letters that arrived.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Letters that died.
    pub dead: u64,
}

impl Counted {
    fn add(&mut self, more: Counted) {
        self.delivered += more.delivered;
        self.failed += more.failed;
        self.dead += more.dead;
    }
}

/// What is known of a letter that failed.
#[derive(Clone, Debug)]
pub struct Failing {
    /// Attempts so far.
    pub attempts: u32,
    /// How long it waits for that at most. A clock that was set back makes nothing later.
    waits_ms: u32,
    /// When it is tried next.
    pub due: Wall,
    /// Why it failed.
    pub reason: Arc<str>,
}

impl Failing {
    /// A letter that failed, as a record of this time says.
    fn new(attempts: u32, due: Wall, said: Wall, reason: Arc<str>) -> Failing {
        let waits_ms = u32::try_from(due.since(said)).unwrap_or(u32::MAX);
        Failing { attempts, waits_ms, due, reason }
    }

    /// How long it still waits, after a start.
    fn wait_ms(&self, now: Wall) -> u64 {
        self.due.since(now).min(u64::from(self.waits_ms))
    }
}

/// A letter that waits, for operators.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Where it goes.
    pub destination: &'a Arc<str>,
    /// The event's number.
    pub seq: Seq,
    /// The event.
    pub event: &'a Event,
    /// Since when it waits.
    pub since: Wall,
    /// How it failed, if it did.
    pub failing: Option<&'a Failing>,
}

impl Delivery<'_> {
    /// `retrying` after a failure, else `waiting`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        if self.failing.is_some() { "retrying" } else { "waiting" }
    }
}

/// What came of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Applied {
    /// The destination is there; it was not before.
    Created,
    /// The destination was there before.
    Replaced,
    /// The destination is gone.
    Removed,
    /// The destination gets events again.
    Enabled,
    /// There is no such thing.
    Missing,
    /// Something stands against it.
    Conflict(&'static str),
    /// So many dead letters; and so many could not, because their destination is gone or wants nothing.
    Letters(usize, usize),
    /// Nobody waits for this.
    Nothing,
}

impl Destination {
    /// What it means, or what is wrong with it.
    pub fn receiver(&self) -> Result<&dyn Receiver, &Wrong> {
        self.receiver.as_deref()
    }

    /// How many letters wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.letters.len()
    }

    /// How many of them failed at least once.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.failing.len()
    }

    /// What this engine counted, if it is the owner; and whether the breaker is open and a pause was asked for.
    #[must_use]
    pub fn watched(&self, now: Mono) -> Option<(Counted, Breaker, bool)> {
        self.lane.as_ref().map(|lane| (self.counted, lane.breaker, lane.throttled > now))
    }

    /// Whether events may go there by themselves; what has no meaning counts among those.
    fn listens(&self) -> bool {
        self.receiver.as_ref().map_or(true, |receiver| receiver.listens())
    }

    /// What it was until now.
    fn version(&self, name: &str, until: Seq) -> (Seq, Seq, Version) {
        let version = Version {
            name: name.into(),
            kind: (*self.kind).into(),
            spec: self.spec.clone(),
            by: self.by,
            disabled: self.disabled.clone(),
        };
        (self.said_at, until, version)
    }
}

/// A reason's text, shared with the one before if it is the same.
fn shared(last: &mut Arc<str>, reason: &str) -> Arc<str> {
    if **last != *reason {
        *last = reason.into();
    }
    Arc::clone(last)
}

impl Outbox {
    /// An outbox without destinations. Calls and deadlines are those of the dialect at `place`.
    #[must_use]
    pub fn new(place: u8, meaning: Meaning, hash_seed: u64) -> Outbox {
        Outbox {
            place,
            meaning,
            destinations: BTreeMap::new(),
            listening: BTreeSet::new(),
            numbers: BTreeMap::new(),
            next_number: 0,
            dead: DeadLetters::new(hash_seed),
            flights: Map::with_hasher(FixedState::with_seed(hash_seed)),
            next_flight: 0,
            bytes: 0,
            busy: BTreeSet::new(),
            ending: false,
            past: Past::default(),
            forgetting: BTreeSet::new(),
            forgotten: 0,
            dead_armed: Mono::NEVER,
            removed: BTreeMap::new(),
        }
    }

    /// All destinations by their names.
    #[must_use]
    pub fn destinations(&self) -> &BTreeMap<Arc<str>, Destination> {
        &self.destinations
    }

    /// What this engine counted of destinations of a kind that are gone.
    #[must_use]
    pub fn removed(&self, kind: &str) -> Counted {
        self.removed.get(kind).copied().unwrap_or_default()
    }

    /// The dead letters.
    #[must_use]
    pub fn dead(&self) -> &DeadLetters {
        &self.dead
    }

    /// Bytes of all that waits, as `[outbox] pending_bytes` counts them: an event once for each of its destinations.
    #[must_use]
    pub fn pending_bytes(&self) -> u64 {
        self.bytes
    }

    /// The letters of destinations from `from` on, of the first after the number `after`.
    pub fn deliveries<'a>(
        &'a self,
        from: &'a str,
        after: Seq,
    ) -> impl Iterator<Item = Delivery<'a>> + use<'a> {
        let range = (std::ops::Bound::Included(from), std::ops::Bound::Unbounded);
        self.destinations.range::<str, _>(range).flat_map(move |(name, destination)| {
            let after = if **name == *from { after } else { Seq(0) };
            destination.letters.after(after).map(move |entry| Delivery {
                destination: name,
                seq: entry.seq,
                event: &entry.event,
                since: entry.since,
                failing: destination.failing.get(&entry.seq),
            })
        })
    }

    /// An event in log order: a letter for each destination that wants it.
    pub fn publish(&mut self, hub: &mut Hub, seq: Seq, accepted: Wall, event: &Arc<Event>) {
        let mut bytes = 0;
        for name in &self.listening {
            let Some(destination) = self.destinations.get_mut(name) else { continue };
            let wanted = destination.disabled.is_none()
                && matches!(&destination.receiver, Ok(receiver) if receiver.wants(event, &hub.vocabulary));
            if !wanted {
                continue;
            }
            if bytes == 0 {
                bytes = event.bytes() + LETTER_BYTES;
            }
            if destination.enqueue(entry(seq, accepted, event, false)) {
                self.bytes += bytes;
            }
            if destination.lane.is_some() {
                self.busy.insert(Arc::clone(name));
            }
        }
        self.end_turn_later(hub);
        self.judge_room(hub);
    }

    /// A change in log order.
    pub fn apply(&mut self, hub: &mut Hub, wall: Wall, change: Change) -> Applied {
        let applied = match change {
            Change::Put { name, kind, spec, by, when } => self.put(hub, &name, &kind, spec, by, when),
            Change::Removed { name, by } => match self.destinations.get(&*name) {
                None => Applied::Missing,
                Some(destination) if destination.by != by => Applied::Conflict(OF_THE_FILE),
                Some(_) => {
                    self.remove(hub, &name, wall);
                    Applied::Removed
                }
            },
            Change::Enabled { name } => match self.destinations.get_mut(&*name) {
                None => Applied::Missing,
                Some(destination) => {
                    self.past.push(&name, destination, hub.applied);
                    destination.disabled = None;
                    destination.said_at = hub.applied;
                    Applied::Enabled
                }
            },
            Change::Redriven { ids } => {
                let all = ids.len();
                let redriven = ids.into_iter().filter(|id| self.redrive(hub, *id, wall)).count();
                Applied::Letters(redriven, all - redriven)
            }
            Change::Forgotten { ids, bound } => {
                let all = ids.len();
                let gone = ids.into_iter().filter(|id| self.forget(*id)).count();
                if bound && !hub.recovering {
                    self.forgotten += gone as u64;
                }
                Applied::Letters(gone, all - gone)
            }
            Change::Carried(version) => {
                self.carried_destination(hub, version);
                Applied::Nothing
            }
        };
        self.judge_room(hub);
        self.bound_dead(hub);
        applied
    }

    fn put(&mut self, hub: &mut Hub, name: &str, kind: &str, spec: Box<str>, by: By, when: When) -> Applied {
        let known = self.destinations.get(name);
        let stands_against = match (when, known) {
            (When::Always, _) | (_, None) => None,
            (When::Free, Some(_)) => Some("this name is taken"),
            (When::FreeOrOwn, Some(known)) if known.by == By::File => Some(OF_THE_FILE),
            (When::FreeOrOwn, Some(known)) if *known.kind != *kind => {
                Some("this name is taken by a destination of another kind")
            }
            (When::FreeOrOwn, Some(_)) => None,
        };
        if let Some(reason) = stands_against {
            return Applied::Conflict(reason);
        }
        let replaced = known.is_some();
        let receiver = (self.meaning.receiver)(kind, name, &spec, &hub.config, by == By::File);
        if let Err(wrong) = &receiver {
            let text = format!("outbox: {name} gets nothing: {} {}", wrong.key, wrong.detail);
            hub.note(Level::Warn, text);
        }
        let applied = hub.applied;
        match self.destinations.get_mut(name) {
            Some(known) => {
                self.past.push(name, known, applied);
                known.kind = kind.into();
                (known.spec, known.by, known.receiver, known.said_at) = (spec, by, receiver, applied);
                known.disabled = None;
            }
            None => self.add(hub, name, kind, spec, by, receiver),
        }
        self.listen(name);
        self.touch(hub, name);
        if replaced { Applied::Replaced } else { Applied::Created }
    }

    fn add(&mut self, hub: &Hub, name: &str, kind: &str, spec: Box<str>, by: By, receiver: Made) {
        self.next_number += 1;
        let name: Arc<str> = name.into();
        self.numbers.insert(self.next_number, Arc::clone(&name));
        let lane = (!hub.recovering && is_owner(hub, &name)).then(|| Lane::new(&name, hub.hash_seed));
        let destination = Destination {
            kind: kind.into(),
            spec,
            by,
            disabled: None,
            receiver,
            letters: Letters::default(),
            failing: BTreeMap::new(),
            said_at: hub.applied,
            last_reason: "".into(),
            last_death: "".into(),
            number: self.next_number,
            hash_seed: hub.hash_seed,
            lane,
            counted: Counted::default(),
        };
        self.destinations.insert(name, destination);
    }

    /// Whether a destination is asked for each event depends on what it means.
    fn listen(&mut self, name: &str) {
        let Some((name, destination)) = self.destinations.get_key_value(name) else { return };
        if destination.listens() {
            self.listening.insert(Arc::clone(name));
        } else {
            self.listening.remove(name);
        }
    }

    fn remove(&mut self, hub: &mut Hub, name: &str, wall: Wall) {
        self.bury_all(hub, name, wall, "its destination was removed");
        if let Some(destination) = self.destinations.remove(name) {
            self.past.push(name, &destination, hub.applied);
            self.numbers.remove(&destination.number);
            if destination.lane.is_some() {
                self.removed.entry(destination.kind).or_default().add(destination.counted);
            }
        }
        self.listening.remove(name);
        self.busy.remove(name);
    }

    /// What came of letters, in log order.
    pub fn outcomes(&mut self, hub: &mut Hub, wall: Wall, outcomes: Outcomes) {
        let Outcomes { name, done, failed, dead, disabled } = outcomes;
        for seq in done {
            if self.take(&name, seq).is_some()
                && let Some(destination) = self.destinations.get_mut(&*name)
            {
                destination.counted.delivered += u64::from(!hub.recovering);
            }
        }
        for letter in failed {
            let Some(destination) = self.destinations.get_mut(&*name) else { break };
            destination.counted.failed += u64::from(!hub.recovering);
            if destination.letters.get(letter.seq).is_some() {
                let reason = shared(&mut destination.last_reason, &letter.reason);
                let failing = Failing::new(letter.attempts, letter.due, wall, reason);
                destination.failing.insert(letter.seq, failing);
            }
        }
        for letter in dead {
            self.bury(hub, &name, letter.seq, wall, letter.attempts, &letter.reason);
        }
        if let Some(reason) = disabled {
            let text = format!("outbox: {name} is disabled: {reason}");
            if is_owner(hub, &name) && !hub.recovering {
                hub.note(Level::Warn, text);
            }
            self.bury_all(hub, &name, wall, &format!("its destination is disabled: {reason}"));
            if let Some(destination) = self.destinations.get_mut(&*name) {
                self.past.push(&name, destination, hub.applied);
                destination.disabled = Some(reason);
                destination.said_at = hub.applied;
            }
        }
        self.judge_room(hub);
        self.bound_dead(hub);
    }

    /// Takes a letter out of what waits, with what is known of it.
    fn take(&mut self, name: &str, seq: Seq) -> Option<Entry> {
        let destination = self.destinations.get_mut(name)?;
        let entry = destination.letters.remove(seq)?;
        destination.failing.remove(&seq);
        if let Some(lane) = &mut destination.lane {
            lane.settled -= usize::from(entry.stage == Stage::Settled);
            lane.shrink();
        }
        self.bytes = self.bytes.saturating_sub(entry.event.bytes() + LETTER_BYTES);
        Some(entry)
    }

    /// Publishers are refused while more waits than `[outbox] pending_bytes`.
    fn judge_room(&self, hub: &mut Hub) {
        hub.outbox_full = self.bytes >= hub.config.outbox.pending_bytes;
    }
}

impl Destination {
    /// Adds a letter, and puts it into its line if this engine sends it; false if it is there.
    fn enqueue(&mut self, mut entry: Entry) -> bool {
        if let Ok(receiver) = &self.receiver {
            entry.key = receiver.order(&entry.event).map_or(0, |key| key_hash(self.hash_seed, &key));
        }
        let seq = entry.seq;
        let is_new = self.letters.insert(entry);
        if let Some(lane) = self.lane.as_mut().filter(|_| is_new) {
            lane.link(&mut self.letters, seq, None);
        }
        is_new
    }
}

const OF_THE_FILE: &str = "the config file brought this destination: change it there";

fn entry(seq: Seq, since: Wall, event: &Arc<Event>, redriven: bool) -> Entry {
    Entry { event: Arc::clone(event), seq, since, behind: Seq(0), key: 0, stage: Stage::Idle, redriven }
}

/// Keys are compared by their hash: two that share one wait for each other without need, and nothing worse.
fn key_hash(hash_seed: u64, key: &str) -> u32 {
    use std::hash::BuildHasher as _;
    let hash = foldhash::fast::FixedState::with_seed(hash_seed).hash_one(key);
    u32::try_from(hash >> 32).unwrap_or(0).max(1)
}

/// Whether this engine sends what a destination gets.
fn is_owner(hub: &Hub, name: &str) -> bool {
    id::owner(name, hub.place.shards) == hub.place.shard
}

fn append(hub: &mut Hub, change: &Change) {
    let body = Body::Change(change::PART, change.encode());
    hub.append(Actor::Server(change::PART), None, true, true, body);
}

/// How a request would look, for operators.
#[must_use]
pub fn summary(
    destination: &Destination,
    name: &str,
    delivery: &Delivery<'_>,
    vocabulary: &Vocabulary,
) -> String {
    let id = id::delivery(name, delivery.seq, delivery.event);
    let attempts = delivery.failing.map_or(0, |failing| failing.attempts);
    let letter = Letter { id, seq: delivery.seq, event: delivery.event, attempts };
    destination.receiver().map_or_else(|_| String::new(), |receiver| receiver.summary(letter, vocabulary))
}
