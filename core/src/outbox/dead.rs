//! Dead letters: what was given up, by the time of its death, until somebody sends it again or it is forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::event::Event;
use crate::event::index::Map;
use crate::ground::id::Seq;
use crate::ground::time::Wall;

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
