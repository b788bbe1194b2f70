//! A destination's lane: which letters can go, and whether any may. Its owner alone has one; it is made of the letters
//! at any time, so nothing of it is in the log.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, VecDeque};

use foldhash::quality::FixedState;

use super::change::Outcomes;
use super::letters::{Letters, Stage};
use super::receiver::Policy;
use crate::event::index::Map;
use crate::ground::id::Seq;
use crate::ground::time::Mono;

/// Failures in a row that open a breaker (issue: ten).
pub(super) const BREAKER_FAILURES: u32 = 10;

/// Whether a destination is asked at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breaker {
    /// It is.
    Closed,
    /// It is not until then.
    Open(Mono),
    /// One letter finds out.
    HalfOpen,
}

/// What a destination's owner knows of its letters.
#[derive(Debug)]
pub(super) struct Lane {
    /// Those that can go, and some that have left since.
    ready: VecDeque<Seq>,
    /// The last letter of each key.
    tails: Map<u32, Seq>,
    /// Those that failed, by their next time.
    waiting: BinaryHeap<Reverse<(Mono, Seq)>>,
    /// Requests under way.
    pub(super) under_way: u32,
    /// Failures since the last success.
    row: u32,
    pub(super) breaker: Breaker,
    /// The receiver asked for a pause until then.
    pub(super) throttled: Mono,
    /// Thousandths of a request that may be made at once, as of then.
    credit: u64,
    credited: Mono,
    /// What came of letters in this turn.
    pub(super) outcomes: Outcomes,
    /// When a deadline wakes this lane.
    pub(super) armed: Mono,
    /// Letters that are settled and whose record was not applied yet.
    pub(super) settled: usize,
}

impl Lane {
    pub(super) fn new(name: &str, hash_seed: u64) -> Lane {
        Lane {
            ready: VecDeque::new(),
            tails: Map::with_hasher(FixedState::with_seed(hash_seed)),
            waiting: BinaryHeap::new(),
            under_way: 0,
            row: 0,
            breaker: Breaker::Closed,
            throttled: Mono(0),
            credit: 0,
            credited: Mono(0),
            outcomes: Outcomes { name: name.into(), ..Outcomes::default() },
            armed: Mono::NEVER,
            settled: 0,
        }
    }

    /// Puts a letter into its line: behind the last one of its key, or among those that can go.
    pub(super) fn link(&mut self, letters: &mut Letters, seq: Seq, due: Option<Mono>) {
        let Some(entry) = letters.get_mut(seq) else { return };
        entry.behind = Seq(0);
        entry.stage = Stage::Blocked;
        if entry.key != 0
            && let Some(last) = self.tails.insert(entry.key, seq)
            && let Some(last) = letters.get_mut(last)
        {
            last.behind = seq;
            return;
        }
        self.free(letters, seq, due);
    }

    /// Nothing stands before this letter: it can go, at once or when its time has come.
    pub(super) fn free(&mut self, letters: &mut Letters, seq: Seq, due: Option<Mono>) {
        let Some(entry) = letters.get_mut(seq) else { return };
        match due {
            Some(due) => {
                entry.stage = Stage::Waiting;
                self.waiting.push(Reverse((due, seq)));
            }
            None => {
                entry.stage = Stage::Ready;
                self.ready.push_back(seq);
            }
        }
    }

    /// A letter's outcome is known. The next of its key may go.
    pub(super) fn settle(&mut self, letters: &mut Letters, seq: Seq) {
        let Some(entry) = letters.get_mut(seq) else { return };
        let blocked = entry.stage == Stage::Blocked;
        // Its record may come later: until then it must not be taken for one that others stand behind.
        let (key, behind) = (entry.key, std::mem::take(&mut entry.behind));
        entry.stage = Stage::Settled;
        self.settled += 1;
        if key == 0 {
            return;
        }
        // Only what is given up unsent can stand behind another; that one is older, so it is found early.
        let before = blocked.then(|| letters.iter().find(|e| e.key == key && e.behind == seq).map(|e| e.seq));
        let before = before.flatten();
        if let Entry::Occupied(mut tail) = self.tails.entry(key)
            && *tail.get() == seq
        {
            match before {
                Some(before) => tail.insert(before),
                None => tail.remove(),
            };
        }
        if let Some(before) = before.and_then(|before| letters.get_mut(before)) {
            before.behind = behind;
        } else if behind != Seq(0) && letters.get(behind).is_some_and(|next| next.stage == Stage::Blocked) {
            self.free(letters, behind, None);
        }
    }

    /// A letter that went along behind another stands behind it again.
    pub(super) fn block(&mut self, letters: &mut Letters, seq: Seq, follows: bool) {
        if follows && let Some(entry) = letters.get_mut(seq) {
            entry.stage = Stage::Blocked;
        }
    }

    /// A letter failed and keeps its place: at the head of its key, or behind the one that went with it.
    pub(super) fn fail(&mut self, letters: &mut Letters, seq: Seq, due: Mono, follows: bool) {
        self.block(letters, seq, follows);
        if !follows {
            self.free(letters, seq, Some(due));
        }
    }

    /// Moves those whose time has come to those that can go.
    pub(super) fn wake(&mut self, letters: &mut Letters, now: Mono) {
        while let Some(Reverse((due, seq))) = self.waiting.peek().copied() {
            if due > now {
                return;
            }
            self.waiting.pop();
            if letters.get(seq).is_some_and(|entry| entry.stage == Stage::Waiting) {
                self.free(letters, seq, None);
            }
        }
    }

    /// Until when nothing goes, if so.
    pub(super) fn closed_until(&mut self, policy: &Policy, now: Mono) -> Option<Mono> {
        if let Breaker::Open(until) = self.breaker {
            if until > now {
                return Some(until);
            }
            self.breaker = Breaker::HalfOpen;
        }
        if self.throttled > now {
            return Some(self.throttled);
        }
        let per_second = u64::from(policy.per_second?.max(1));
        // A tenth of a second's requests may go at once, so that a slow timer does not lower the rate.
        let most = 1_000 * per_second.div_ceil(10);
        let earned = now.since(self.credited).saturating_mul(per_second);
        self.credit = self.credit.saturating_add(earned).min(most);
        self.credited = now;
        (self.credit < 1_000).then(|| now.plus_ms((1_000 - self.credit).div_ceil(per_second)))
    }

    /// Whether one more request may be under way.
    pub(super) fn has_room(&self, policy: &Policy) -> bool {
        let most = if self.breaker == Breaker::HalfOpen { 1 } else { policy.concurrency.max(1) };
        self.under_way < most
    }

    /// Takes the next letter that can go.
    pub(super) fn next(&mut self, letters: &Letters) -> Option<Seq> {
        while let Some(seq) = self.ready.pop_front() {
            if letters.get(seq).is_some_and(|entry| entry.stage == Stage::Ready) {
                return Some(seq);
            }
        }
        None
    }

    /// Puts back a letter that was not sent after all.
    pub(super) fn put_back(&mut self, letters: &mut Letters, seq: Seq) {
        if let Some(entry) = letters.get_mut(seq) {
            entry.stage = Stage::Ready;
            self.ready.push_front(seq);
        }
    }

    /// A request leaves.
    pub(super) fn departed(&mut self, policy: &Policy) {
        self.under_way += 1;
        if policy.per_second.is_some() {
            self.credit = self.credit.saturating_sub(1_000);
        }
    }

    /// The receiver answered as one that works.
    pub(super) fn succeeded(&mut self) {
        self.row = 0;
        self.breaker = Breaker::Closed;
    }

    /// A request failed; true: this opens the breaker.
    pub(super) fn stumbled(&mut self, until: Mono) -> bool {
        self.row = self.row.saturating_add(1);
        let opens = match self.breaker {
            Breaker::Closed => self.row >= BREAKER_FAILURES,
            Breaker::HalfOpen => true,
            Breaker::Open(_) => false,
        };
        if opens {
            self.breaker = Breaker::Open(until);
        }
        opens
    }

    /// The next time at which something can happen by itself.
    pub(super) fn next_waiting(&self) -> Option<Mono> {
        self.waiting.peek().map(|Reverse((due, _))| *due)
    }

    /// Whether any letter can go.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Gives back what a crowd has left behind.
    pub(super) fn shrink(&mut self) {
        if self.tails.is_empty() && self.tails.capacity() > 64 {
            self.tails.shrink_to_fit();
            self.ready.shrink_to_fit();
            self.waiting.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests leave at once, and when the next one may.
    #[test]
    fn a_rate_lets_a_tenth_of_a_second_go_at_once() {
        let check = |per_second: u32, at_once: u32, next_ms: u64| {
            let policy = Policy { per_second: Some(per_second), ..Policy::default() };
            let (mut lane, now) = (Lane::new("d", 0), Mono(60_000));
            let mut sent = 0;
            while lane.closed_until(&policy, now).is_none() {
                lane.departed(&policy);
                sent += 1;
            }
            assert_eq!(sent, at_once, "at {per_second} a second");
            assert_eq!(
                lane.closed_until(&policy, now),
                Some(now.plus_ms(next_ms)),
                "at {per_second} a second"
            );
            // Woken too early, it still waits for the same moment; then one more goes.
            let early = now.plus_ms(next_ms / 2);
            assert_eq!(
                lane.closed_until(&policy, early),
                Some(now.plus_ms(next_ms)),
                "at {per_second} a second"
            );
            assert_eq!(lane.closed_until(&policy, now.plus_ms(next_ms)), None);
        };
        check(1, 1, 1_000);
        check(10, 1, 100);
        check(11, 2, 91);
        check(20, 2, 50);
        check(100, 10, 10);
        check(1_000, 100, 1);
    }

    #[test]
    fn a_crowd_that_has_left_keeps_no_memory() {
        let mut lane = Lane::new("d", 0);
        for key in 1..1_000 {
            lane.tails.insert(key, Seq(1));
            lane.ready.push_back(Seq(1));
            lane.waiting.push(Reverse((Mono(1), Seq(1))));
        }
        let memory = |lane: &Lane| [lane.tails.capacity(), lane.ready.capacity(), lane.waiting.capacity()];
        lane.shrink();
        assert!(memory(&lane).iter().all(|room| *room >= 999), "they are still there");
        lane.tails.clear();
        lane.ready.clear();
        lane.waiting.clear();
        lane.shrink();
        assert_eq!(memory(&lane), [0, 0, 0]);
    }
}
