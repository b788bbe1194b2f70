//! The reference model: what was acknowledged, what the log says, and therefore what each client must see.
//!
//! The log's order is written down as the engines append; what a start finds of it is all that counts from there on. An
//! event is published at its first place in the log; one that has left the log before a start is published anew when it
//! comes again.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;

use offhook_core::log::record::{Body, Record};
use offhook_core::{Epoch, Seq, Wall};

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
        ["call.ringing", "call.answered", "call.hangup"][(self.number % 3) as usize]
    }

    /// Its subject; events of one subject come from one publisher.
    #[must_use]
    pub fn subject(self) -> String {
        format!("call/{}-{}", self.publisher, self.number % 4)
    }

    fn is_of_one_subject_with(self, other: Key) -> bool {
        (self.publisher, self.number % 4) == (other.publisher, other.number % 4)
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

/// A webhook, as it is known.
#[derive(Debug, Default)]
struct Hook {
    /// From which place on it must get events; `None`: nobody knows whether it is there.
    from: Option<Seq>,
    arrived: HashSet<Key>,
    /// Dead letters as the server lists them.
    dead: HashSet<Key>,
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
    webhooks: BTreeMap<String, Hook>,
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
    /// Requests of webhooks.
    pub hooks: u64,
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
        for (key, seq) in &self.acknowledged {
            assert!(
                self.places.contains_key(key),
                "acknowledged and lost: {} was record {seq}, and the log ends with {last}",
                key.id()
            );
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

    /// A webhook is acknowledged.
    pub fn webhook(&mut self, name: &str) {
        let last = self.last;
        self.hook(name).from.get_or_insert(last);
    }

    /// Whether a webhook is there is unknown.
    pub fn unmade(&mut self, name: &str) {
        self.hook(name).from = None;
    }

    fn hook(&mut self, name: &str) -> &mut Hook {
        if !self.webhooks.contains_key(name) {
            self.webhooks.insert(name.to_owned(), Hook::default());
        }
        self.webhooks.get_mut(name).expect("it was put there")
    }

    /// An event came to a webhook: the one that stands before it under its subject has come before, and so have all.
    ///
    /// # Panics
    /// If it has not.
    pub fn arrived(&mut self, name: &str, key: Key, in_order: bool) {
        self.seen.hooks += 1;
        let hook = self.hook(name);
        hook.arrived.insert(key);
        let Some(from) = hook.from.filter(|_| in_order) else { return };
        let Some(seq) = self.earlier.get(&key).or_else(|| self.places.get(&key)) else { return };
        let mut before = self.between(from, Some(*seq), &[]).rev().map(|(_, key)| key);
        if let Some(before) = before.find(|before| before.is_of_one_subject_with(key)) {
            assert!(
                self.webhooks[name].arrived.contains(&before),
                "{} came to {name} before {} of the same subject",
                key.id(),
                before.id()
            );
        }
    }

    /// A dead letter of the server's list.
    pub fn died(&mut self, name: &str, key: Key) {
        self.hook(name).dead.insert(key);
    }

    /// Events that a webhook has still to get, though they are not dead.
    pub fn undelivered(&self, name: &str) -> impl Iterator<Item = Key> {
        let hook = self.webhooks.get(name).and_then(|hook| Some((hook, hook.from?)));
        hook.into_iter().flat_map(|(hook, from)| {
            let all = self.between(from, None, &[]).map(|(_, key)| key);
            all.filter(|key| !hook.arrived.contains(key) && !hook.dead.contains(key))
        })
    }
}

/// Whether a rendered event tells of a SIP resource: of those nobody keeps books.
#[must_use]
pub fn is_of_sip(text: &str) -> bool {
    text.contains("\"type\":\"sip")
}

/// Whether a client that named these types gets an event.
#[must_use]
pub fn is_wanted(key: Key, types: &[&str]) -> bool {
    types.is_empty() || types.contains(&key.event_type())
}
