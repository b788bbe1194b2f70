//! Repeats: events whose sender gave them an `id` that it had given to one before. A sender that did not hear of an
//! acceptance sends again; the event is published once.

use std::collections::VecDeque;

use foldhash::quality::FixedState;
use sha2::{Digest, Sha256};

use super::event::Event;
use super::index::Map;
use crate::ground::id::Seq;

/// The newest events whose ids were given, in the order of the log.
#[derive(Debug)]
pub struct Repeats {
    first: Map<u128, Seq>,
    order: VecDeque<u128>,
}

impl Repeats {
    /// None so far. `seed` only spreads the entries; what they are compared by is the same in all engines.
    #[must_use]
    pub fn new(seed: u64) -> Repeats {
        Repeats { first: Map::with_hasher(FixedState::with_seed(seed)), order: VecDeque::new() }
    }

    /// The number under which this event was accepted before.
    #[must_use]
    pub fn known(&self, event: &Event) -> Option<Seq> {
        if !event.id_given || self.order.is_empty() {
            return None;
        }
        self.first.get(&digest(event)).copied()
    }

    /// An event of the log, in its order: the number under which it was accepted first, which is `seq` unless it is a
    /// repeat of one of the `max` newest.
    pub fn record(&mut self, event: &Event, seq: Seq, max: u64) -> Seq {
        if !event.id_given || max == 0 {
            return seq;
        }
        let digest = digest(event);
        if let Some(first) = self.first.get(&digest) {
            return *first;
        }
        while self.order.len() as u64 >= max {
            let Some(oldest) = self.order.pop_front() else { break };
            self.first.remove(&oldest);
        }
        self.order.push_back(digest);
        self.first.insert(digest, seq);
        seq
    }
}

/// `source` and `id` together name an event (CloudEvents 1.0, section 3.1). Half of a SHA-256 cannot be made to meet
/// another one, and costs 16 bytes where the texts would cost a hundred.
fn digest(event: &Event) -> u128 {
    let mut hash = Sha256::new();
    hash.update((event.source.len() as u64).to_le_bytes());
    hash.update(event.source.as_bytes());
    hash.update(event.id.as_bytes());
    let digest = hash.finalize();
    digest.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Data;
    use crate::ground::time::Wall;

    fn event(source: &str, id: &str, id_given: bool) -> Event {
        Event {
            id: id.into(),
            id_given,
            source: source.into(),
            event_type: "t".into(),
            subject: None,
            time: "".into(),
            wall: Wall(0),
            content_type: None,
            schema: None,
            extensions: Vec::new(),
            data: Data::None,
        }
    }

    #[test]
    fn the_newest_given_ids_are_recognised_with_their_source() {
        let mut repeats = Repeats::new(1);
        for (seq, source, id, given, first) in [
            (1, "a", "1", true, 1),
            (2, "a", "1", true, 1),
            // Another source, and another cut between the two texts.
            (3, "b", "1", true, 3),
            (4, "a1", "", true, 4),
            // An id that was minted is no repeat, and pushes no other out.
            (5, "a", "1", false, 5),
            (6, "a", "1", true, 1),
            // The window holds three: the fourth pushes the first out.
            (7, "c", "1", true, 7),
            (8, "a", "1", true, 8),
            (9, "c", "1", true, 7),
        ] {
            assert_eq!(repeats.record(&event(source, id, given), Seq(seq), 3), Seq(first), "{seq}");
        }
        assert_eq!(repeats.known(&event("c", "1", true)), Some(Seq(7)));
        assert_eq!(repeats.known(&event("b", "1", true)), None);
        assert_eq!((repeats.first.len(), repeats.order.len()), (3, 3));
        assert_eq!(repeats.record(&event("c", "1", true), Seq(10), 0), Seq(10));
    }
}
