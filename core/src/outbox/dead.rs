//! Dead letters: what was given up, by the time of its death, until somebody sends it again or it is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::change::Change;
use super::lane::{Breaker, Lane};
use super::letters::{Entry, Stage};
use super::receiver::Letter;
use super::{LETTER_BYTES, Outbox, append, entry, id, shared};
use crate::event::Event;
use crate::event::index::Map;
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::Hub;

/// One dead letter.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its id, which was that of its attempts.
    pub id: Uuid,
    /// Where it was to go.
    pub destination: Arc<str>,
    /// What kind of destination that was.
    pub kind: Arc<str>,
    /// The event's number.
    pub seq: Seq,
    /// When it was accepted, or sent again.
    pub since: Wall,
    /// When it was given up.
    pub died: Wall,
    /// Attempts that were made.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: Arc<str>,
    /// The request: method and URL, without credentials.
    pub summary: Box<str>,
    /// The event.
    pub event: Arc<Event>,
}

/// A place in the order of deaths.
pub type Death = (Wall, Seq, Uuid);

/// All dead letters.
#[derive(Debug)]
pub struct DeadLetters {
    by_death: BTreeMap<Death, DeadLetter>,
    deaths: Map<Uuid, (Wall, Seq)>,
}

impl DeadLetters {
    pub(super) fn new(hash_seed: u64) -> DeadLetters {
        let hasher = foldhash::quality::FixedState::with_seed(hash_seed);
        DeadLetters { by_death: BTreeMap::new(), deaths: Map::with_hasher(hasher) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_death.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_death.is_empty()
    }

    /// The dead letter of this id.
    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<&DeadLetter> {
        let (died, seq) = *self.deaths.get(&id)?;
        self.by_death.get(&(died, seq, id))
    }

    /// Adds one; an id that died before dies anew.
    pub(super) fn insert(&mut self, letter: DeadLetter) {
        self.remove(letter.id);
        self.deaths.insert(letter.id, (letter.died, letter.seq));
        self.by_death.insert((letter.died, letter.seq, letter.id), letter);
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<DeadLetter> {
        let (died, seq) = self.deaths.remove(&id)?;
        self.by_death.remove(&(died, seq, id))
    }

    /// Those that died after a place, the oldest first.
    pub fn after(&self, place: Option<Death>) -> impl Iterator<Item = &DeadLetter> {
        let from = match place {
            Some(place) => std::ops::Bound::Excluded(place),
            None => std::ops::Bound::Unbounded,
        };
        self.by_death.range((from, std::ops::Bound::Unbounded)).map(|(_, letter)| letter)
    }
}

impl Outbox {
    /// A letter dies.
    pub(super) fn bury(&mut self, hub: &Hub, name: &str, seq: Seq, died: Wall, attempts: u32, reason: &str) {
        let Some(entry) = self.take(name, seq) else { return };
        let Some((name, destination)) = self.destinations.get_key_value(name) else { return };
        let name = Arc::clone(name);
        let id = id::delivery(&name, seq, &entry.event);
        let letter = Letter { id, seq, event: &entry.event, attempts };
        let summary = destination.receiver().map_or_else(
            |_| "".into(),
            |receiver| receiver.summary(letter, &hub.vocabulary).into_boxed_str(),
        );
        let kind = Arc::clone(&destination.kind);
        if let Some(destination) = self.destinations.get_mut(&name) {
            destination.counted.dead += u64::from(!hub.recovering);
            let reason = shared(&mut destination.last_death, reason);
            let Entry { event, since, .. } = entry;
            let destination = name;
            self.dead.insert(DeadLetter {
                id,
                destination,
                kind,
                seq,
                since,
                died,
                attempts,
                reason,
                summary,
                event,
            });
        }
    }

    /// All letters of a destination die, and nothing of it is under way any more.
    pub(super) fn bury_all(&mut self, hub: &mut Hub, name: &str, died: Wall, reason: &str) {
        self.cancel(hub, name);
        let Some(destination) = self.destinations.get_mut(name) else { return };
        if destination.lane.is_some() {
            destination.lane = Some(Lane::new(name, hub.hash_seed));
        }
        let all: Vec<(Seq, u32)> = destination
            .letters
            .iter()
            .map(|entry| (entry.seq, destination.failing.get(&entry.seq).map_or(0, |f| f.attempts)))
            .collect();
        // The lane is new and knows none of them as settled.
        for (seq, attempts) in all {
            if let Some(entry) = self.destinations.get_mut(name).and_then(|d| d.letters.get_mut(seq)) {
                entry.stage = Stage::Idle;
            }
            self.bury(hub, name, seq, died, attempts, reason);
        }
    }

    /// A dead letter goes on its way again, at the end of the line of its key.
    pub(super) fn redrive(&mut self, hub: &mut Hub, id: uuid::Uuid, wall: Wall) -> bool {
        let Some(letter) = self.dead.get(id) else { return false };
        let Some(destination) = self.destinations.get(&letter.destination) else { return false };
        if destination.disabled.is_some() || destination.letters.get(letter.seq).is_some() {
            return false;
        }
        let Some(letter) = self.dead.remove(id) else { return false };
        self.revive(hub, letter, wall);
        true
    }

    fn revive(&mut self, hub: &mut Hub, letter: DeadLetter, wall: Wall) {
        let DeadLetter { destination: name, seq, event, .. } = letter;
        let Some(destination) = self.destinations.get_mut(&name) else { return };
        if destination.enqueue(entry(seq, wall, &event, true)) {
            self.bytes += event.bytes() + LETTER_BYTES;
        }
        if let Some(lane) = &mut destination.lane
            && matches!(lane.breaker, Breaker::Open(_))
        {
            // Whoever sends again has a reason to think that the receiver is back: one letter finds out at once.
            lane.breaker = Breaker::Open(hub.now.mono);
        }
        self.touch(hub, &name);
    }

    pub(super) fn forget(&mut self, id: uuid::Uuid) -> bool {
        self.forgetting.remove(&id);
        self.dead.remove(id).is_some()
    }

    /// Keeps dead letters within `[outbox] dead_letters`. Shard 0 says which go, so that all forget the same ones,
    /// whatever bound a later start has.
    pub(super) fn bound_dead(&mut self, hub: &mut Hub) {
        if hub.recovering || hub.place.shard.0 != 0 || self.dead.is_empty() {
            return;
        }
        let bound = &hub.config.outbox.dead_letters;
        let count = usize::try_from(bound.count).unwrap_or(usize::MAX);
        let excess = self.dead.len().saturating_sub(count).saturating_sub(self.forgetting.len());
        let wall = hub.now.wall;
        let mut rest =
            self.dead.after(None).filter(|letter| !self.forgetting.contains(&letter.id)).peekable();
        let mut ids = Vec::new();
        while let Some(letter) =
            rest.next_if(|letter| ids.len() < excess || wall.since(letter.died) > bound.age_ms)
        {
            ids.push(letter.id);
        }
        let left = rest.next().map(|oldest| bound.age_ms.saturating_sub(wall.since(oldest.died)));
        drop(rest);
        if let Some(left) = left {
            self.wake_for_dead(hub, left);
        }
        if !ids.is_empty() {
            self.forgetting.extend(&ids);
            append(hub, &Change::Forgotten { ids, bound: true });
        }
    }
}
