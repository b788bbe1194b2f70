//! The reference model: what was acknowledged, what the log says, and therefore what each client must see.
//!
//! The log's order is written down as the engines append; what a start finds of it is all that counts from there on. An
//! event is published at its first place in the log; one that has left the log before a start is published anew when it
//! comes again.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use offhook_core::event::{Event, Fact};
use offhook_core::log::record::{Body, Record};
use offhook_core::{Epoch, Seq, Wall};

use super::hooks::Hooks;

/// The types of events of recordings, in the order in which they happen.
pub const RECORDINGS: [&str; 4] =
    ["recording.started", "recording.paused", "recording.resumed", "recording.ended"];

/// The type of events of streams, which are hooks of WCS.
pub const STREAM: &str = "stream.status";

/// The types of events of calls.
pub const CALLS: [&str; 3] = ["call.ringing", "call.answered", "call.hangup"];

/// The first publisher of events of streams, and of recordings.
pub const STREAMS_FROM: u64 = 100;
/// See [`STREAMS_FROM`].
pub const RECORDINGS_FROM: u64 = 200;

/// An event's name: its publisher and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The publisher.
    pub publisher: u64,
    /// Its number there, from 1 on.
    pub number: u64,
}

impl Key {
    /// The `id` that the publisher gives it.
    #[must_use]
    pub fn id(self) -> String {
        format!("p{}n{}", self.publisher, self.number)
    }

    /// The event that has this `id`.
    #[must_use]
    pub fn of(id: &str) -> Option<Key> {
        let (publisher, number) = id.strip_prefix('p')?.split_once('n')?;
        Some(Key { publisher: publisher.parse().ok()?, number: number.parse().ok()? })
    }

    /// The event that a rendered text carries as `"key":"…"` or `value="…"` of that name.
    #[must_use]
    pub fn within(text: &str) -> Option<Key> {
        let at = text
            .find("\"key\":\"")
            .map(|at| at + 7)
            .or_else(|| text.find("name=\"key\" value=\"").map(|at| at + 18))?;
        Key::of(text[at..].split('"').next()?)
    }

    /// Its type: what clients filter by.
    #[must_use]
    pub fn event_type(self) -> &'static str {
        match self.publisher {
            RECORDINGS_FROM.. => RECORDINGS[self.phase()],
            STREAMS_FROM.. => STREAM,
            _ => CALLS[(self.number % 3) as usize],
        }
    }

    /// How far a recording is.
    #[must_use]
    pub fn phase(self) -> usize {
        (self.number % 4) as usize
    }

    /// What it is about: a call, a stream, a recording.
    #[must_use]
    pub fn about(self) -> String {
        let number = if self.publisher < RECORDINGS_FROM { self.number } else { self.number / 4 };
        format!("{}-{}", self.publisher, number % 4)
    }

    /// Its subject; events of one subject come from one publisher.
    #[must_use]
    pub fn subject(self) -> String {
        let word = self.event_type().split('.').next().unwrap_or_default();
        format!("{word}/{}", self.about())
    }
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The start of the server.
    pub epoch: Epoch,
    /// The number.
    pub seq: Seq,
}

/// What is known.
#[derive(Debug, Default)]
pub struct Books {
    /// All events that the log holds, at their first place.
    order: BTreeMap<Seq, (Key, Epoch)>,
    places: BTreeMap<Key, Seq>,
    /// The places of those that were published anew, before.
    earlier: BTreeMap<Key, Seq>,
    /// Events that stood in the log before a crash, and were lost: their places may have been seen.
    lost: BTreeMap<Place, Key>,
    /// Acknowledged with 202.
    acknowledged: BTreeMap<Key, Seq>,
    destinations: BTreeMap<String, Destination>,
    /// How far each lane of a destination has come, in which life.
    lanes: BTreeMap<(String, String), (u64, Seq)>,
    /// The sessions that events name.
    sessions: BTreeMap<Key, String>,
    /// What sessions of WCS and their backends have said.
    pub hooks: Hooks,
    /// Where the log says that a session of WCS began, and what its client calls it.
    beginnings: BTreeMap<Seq, String>,
    /// Where the log began when the server last started: what came before is not recognised when it comes again.
    before: Seq,
    epoch: Epoch,
    /// The youngest one under which somebody may have been served.
    served: Epoch,
    last: Seq,
    /// What the notifier holds of each resource.
    pub resources: BTreeMap<String, Held>,
    /// The latest that the wall clock has been.
    pub latest: Wall,
    /// Counters for the report.
    pub seen: Seen,
}

/// What a notifier holds of a resource.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// A word that stands in its state and in no other.
    pub mark: String,
    /// Dialogs that tell of it.
    pub dialogs: usize,
}

/// A destination of the outbox, as it is known.
#[derive(Debug, Default)]
struct Destination {
    /// The types of the events that it wants; all, if none is named.
    types: &'static [&'static str],
    /// It must get what stands behind this place; `None`: nobody knows whether it is there.
    from: Option<Seq>,
    /// The config file has it: it begins with the record that holds this.
    mark: Option<String>,
    arrived: HashSet<Key>,
    /// Dead letters as the server lists them.
    dead: HashSet<Key>,
}

/// What clients have seen, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Events on streams of Server-Sent Events.
    pub sse: u64,
    /// Gaps that they were told of.
    pub gaps: u64,
    /// Events on streams of XMS.
    pub xms: u64,
    /// Events on websockets of iSymphony.
    pub isymphony: u64,
    /// Events that came to webhooks.
    pub hooks: u64,
    /// Events that came to receivers of ISR.
    pub notifications: u64,
    /// Events that came to backends of WCS.
    pub backend: u64,
    /// Operations of WCS that were answered.
    pub operations: u64,
    /// Answers of 503.
    pub busy: u64,
    /// States of SIP subscriptions that a subscriber has read.
    pub states: u64,
    /// Callbacks of SIP subscriptions.
    pub callbacks: u64,
    /// NOTIFYs that were answered.
    pub notifies: u64,
    /// Sessions of WCS that were established.
    pub sessions: u64,
}

impl Books {
    /// A record has got its number.
    pub fn appended(&mut self, seq: Seq, record: &Record) {
        assert!(seq > self.last, "numbers rise");
        self.last = seq;
        if let Body::Event(event) = &record.body
            && let Some(key) = Key::of(&event.id)
            && self.places.get(&key).is_none_or(|first| *first <= self.before)
        {
            if let Some(first) = self.places.insert(key, seq) {
                self.earlier.entry(key).or_insert(first);
            }
            self.order.insert(seq, (key, self.epoch));
            if let Some(session) = event.extension("sessionid") {
                self.sessions.insert(key, session.to_owned());
            }
        }
        if let Body::Event(event) = &record.body
            && let Some(token) = begins(event)
        {
            self.beginnings.insert(seq, token);
        }
        if let Body::Change(_, change) = &record.body {
            for destination in self.destinations.values_mut().filter(|d| d.from.is_none()) {
                let holds = |mark: &String| change.windows(mark.len()).any(|part| part == mark.as_bytes());
                if destination.mark.as_ref().is_some_and(holds) {
                    destination.from = Some(seq);
                }
            }
        }
    }

    /// A start has found the log behind `before`, up to `last`, and opens `epoch`.
    ///
    /// # Panics
    /// If something acknowledged is behind that.
    pub fn recovered(&mut self, before: Seq, last: Seq, epoch: Epoch) {
        let gone = self.order.split_off(&last.next());
        for (seq, (key, of)) in gone {
            self.places.remove(&key);
            self.lost.insert(Place { epoch: of, seq }, key);
        }
        for token in self.beginnings.split_off(&last.next()).into_values() {
            // Its client was told, as readers may be, before that was durable; now nobody knows of it.
            self.hooks.ended(&token);
        }
        for (key, seq) in &self.acknowledged {
            assert!(
                self.places.contains_key(key),
                "acknowledged and lost: {} was record {seq}, and the log ends with {last}",
                key.id()
            );
        }
        for destination in self.destinations.values_mut().filter(|d| d.mark.is_some()) {
            destination.from = destination.from.filter(|from| *from <= last);
        }
        assert!(epoch > self.served, "a start opens an epoch under which nobody was served before");
        (self.before, self.epoch, self.last) = (before, epoch, last);
    }

    /// The server serves under its epoch.
    pub fn opened(&mut self) {
        self.served = self.epoch;
    }

    /// The server said 202.
    ///
    /// # Panics
    /// If the log does not have the event there.
    pub fn acknowledge(&mut self, key: Key, seq: Seq) {
        let place = self.places.get(&key);
        assert_eq!(place, Some(&seq), "{} is acknowledged at its first place in the log", key.id());
        self.acknowledged.insert(key, seq);
    }

    /// How many events were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    /// The events between two places, without those, of these types (all, if none is named).
    pub fn between<'a>(
        &'a self,
        after: Seq,
        before: Option<Seq>,
        types: &'a [&'static str],
    ) -> impl DoubleEndedIterator<Item = (Seq, Key)> + 'a {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let after = if before.is_some_and(|before| before <= after) { Seq(u64::MAX) } else { after };
        let end = if after == Seq(u64::MAX) { Bound::Unbounded } else { end };
        let range = self.order.range((Bound::Excluded(after), end));
        range.map(|(seq, (key, _))| (*seq, *key)).filter(|(_, key)| is_wanted(*key, types))
    }

    /// The events of a session of WCS behind a place.
    pub fn of_session<'a>(&'a self, session: &'a str, after: Seq) -> impl Iterator<Item = (Seq, Key)> + 'a {
        let is_of = move |(_, key): &(Seq, Key)| self.sessions.get(key).is_some_and(|of| of == session);
        self.between(after, None, &[STREAM]).filter(is_of)
    }

    /// Where an event stands.
    #[must_use]
    pub fn place(&self, key: Key) -> Option<Seq> {
        self.places.get(&key).copied()
    }

    /// The event that stands at a place. or stood there before a crash.
    #[must_use]
    pub fn at(&self, place: Place) -> Option<Key> {
        self.stands_at(place).or_else(|| self.lost.get(&place).copied())
    }

    /// The event that stands at a place.
    #[must_use]
    pub fn stands_at(&self, place: Place) -> Option<Key> {
        self.order.get(&place.seq).filter(|(_, epoch)| *epoch == place.epoch).map(|(key, _)| *key)
    }

    /// The last record.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// A destination is acknowledged: what stands behind the log's end must come, if it is of these types (all, if none is
    /// named).
    pub fn made(&mut self, name: &str, types: &'static [&'static str]) {
        let last = self.last;
        let destination = self.destination(name);
        destination.types = types;
        destination.from.get_or_insert(last);
    }

    /// Whether a destination is there is unknown.
    pub fn unmade(&mut self, name: &str) {
        self.destination(name).from = None;
    }

    /// The config file has a destination: what stands behind the record that holds its mark must come.
    pub fn filed(&mut self, name: &str, mark: &str, types: &'static [&'static str]) {
        let filed = Destination { types, mark: Some(mark.to_owned()), ..Destination::default() };
        self.destinations.insert(name.to_owned(), filed);
    }

    fn destination(&mut self, name: &str) -> &mut Destination {
        if !self.destinations.contains_key(name) {
            self.destinations.insert(name.to_owned(), Destination::default());
        }
        self.destinations.get_mut(name).expect("it was put there")
    }

    /// What waits one after the other: a session's hooks, else what has one subject.
    fn lane(&self, name: &str, key: Key) -> String {
        let session = self.sessions.get(&key).filter(|_| name.starts_with("wcs."));
        session.cloned().unwrap_or_else(|| key.subject())
    }

    /// A request with events has come to a destination, over a connection that is there in this life, or was cut off
    /// meanwhile. One event of a lane comes after the other; what was refused comes again, with all behind it.
    ///
    /// # Panics
    /// If one comes after a later one.
    pub fn called(&mut self, name: &str, keys: &[Key], life: Option<u64>) {
        let Some(life) = life else { return };
        let mut within: BTreeMap<String, Seq> = BTreeMap::new();
        for key in keys {
            // Of one that was published anew nobody knows which of the two this is.
            let seq = self.places.get(key).filter(|_| !self.earlier.contains_key(key));
            let Some(seq) = seq.copied() else { continue };
            let lane = self.lane(name, *key);
            let before = match within.insert(lane.clone(), seq) {
                Some(before) => Some(before),
                None => {
                    let known = self.lanes.insert((name.to_owned(), lane), (life, seq));
                    known.filter(|(of, _)| *of == life).map(|(_, before)| before)
                }
            };
            if let Some(before) = before {
                let id = key.id();
                assert!(seq >= before, "{id} came to {name} behind a later one of its lane, {before}");
            }
        }
    }

    /// A destination takes an event: the one that stands before it in its lane has come before, and so have all.
    ///
    /// # Panics
    /// If it has not.
    pub fn arrived(&mut self, name: &str, key: Key, in_order: bool) {
        match name.split_at(3).0 {
            "isr" => self.seen.notifications += 1,
            "wcs" => self.seen.backend += 1,
            _ => self.seen.hooks += 1,
        }
        let destination = self.destination(name);
        destination.arrived.insert(key);
        let (types, Some(from)) = (destination.types, destination.from.filter(|_| in_order)) else { return };
        let Some(seq) = self.earlier.get(&key).or_else(|| self.places.get(&key)) else { return };
        let lane = self.lane(name, key);
        let mut before = self.between(from, Some(*seq), types).rev().map(|(_, key)| key);
        if let Some(before) = before.find(|before| self.lane(name, *before) == lane) {
            assert!(
                self.destinations[name].arrived.contains(&before),
                "{} came to {name} before {} of the same lane",
                key.id(),
                before.id()
            );
        }
    }

    /// A dead letter of the server's list.
    pub fn died(&mut self, name: &str, key: Key) {
        self.destination(name).dead.insert(key);
    }

    /// Whether a destination has a dead letter.
    #[must_use]
    pub fn has_dead(&self, name: &str) -> bool {
        self.destinations.get(name).is_some_and(|destination| !destination.dead.is_empty())
    }

    /// Events that a destination has still to get, though they are not dead.
    pub fn undelivered(&self, name: &str) -> impl Iterator<Item = Key> {
        let found = self.destinations.get(name).and_then(|there| Some((there, there.from?)));
        found.into_iter().flat_map(|(there, from)| {
            let all = self.between(from, None, there.types).map(|(_, key)| key);
            all.filter(|key| !there.arrived.contains(key) && !there.dead.contains(key))
        })
    }
}

/// Whether a rendered text is an event that the server itself has published: for a session of WCS, or of a SIP resource.
#[must_use]
pub fn is_own(text: &str) -> bool {
    let of_type = |own: &str| text.contains(&format!("\"type\":\"{own}\""));
    ["connection.status", "connectionStatus", "data.sent"].into_iter().any(of_type)
        || text.contains("\"type\":\"sip")
        || text.contains("\"info\":\"operation not supported\"")
}

/// What its client calls the session that begins with an event.
fn begins(event: &Event) -> Option<String> {
    let text = |name: &str| {
        let fact = event.facts().iter().find(|(known, _)| **known == *name);
        fact.and_then(|(_, fact)| if let Fact::Text(text) = fact { Some(&**text) } else { None })
    };
    let is_beginning = &*event.event_type == "connection.status" && text("status") == Some("ESTABLISHED");
    is_beginning.then(|| text("token").unwrap_or_default().to_owned())
}

/// Whether a client that named these types gets an event.
#[must_use]
pub fn is_wanted(key: Key, types: &[&str]) -> bool {
    types.is_empty() || types.contains(&key.event_type())
}
