//! The letters that wait for one destination, in order of their events' numbers. No map: a letter is found by its number
//! in short sorted runs, so that one that waits takes little more than its own few words.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::Event;
use crate::ground::id::Seq;
use crate::ground::time::Wall;

/// Letters of one run. Fixed, because only speed and the last run's slack depend on it.
const RUN: usize = 256;

/// Where a letter stands on its way; known to the destination's owner alone, all others see [`Stage::Idle`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Nobody has put it into a line yet.
    Idle,
    /// Behind another of the same key.
    Blocked,
    /// In the line of those that can go.
    Ready,
    /// It failed, and its next time has not come.
    Waiting,
    /// A request carries it.
    UnderWay,
    /// Its outcome is known; the record that says so is on its way.
    Settled,
}

/// One letter that waits.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) event: Arc<Event>,
    /// The event's number.
    pub(super) seq: Seq,
    /// When it was accepted, or sent on its way again.
    pub(super) since: Wall,
    /// The next one of the same key; `Seq(0)` is none.
    pub(super) behind: Seq,
    /// What the key of its order hashes to; 0: it waits for nobody.
    pub(super) key: u32,
    pub(super) stage: Stage,
    /// It was dead and is sent again.
    pub(super) redriven: bool,
}

/// All letters of a destination.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Never empty ones; the numbers in each lie below those in the next.
    runs: VecDeque<VecDeque<Entry>>,
    len: usize,
}

impl Letters {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The run that holds `seq`, if any does.
    fn run_of(&self, seq: Seq) -> Option<usize> {
        // What is under way is mostly the oldest.
        if self.runs.get(1).is_none_or(|second| seq < second[0].seq) {
            return self.runs.front().filter(|first| first[0].seq <= seq).map(|_| 0);
        }
        self.runs.partition_point(|run| run[0].seq <= seq).checked_sub(1)
    }

    fn place(&self, seq: Seq) -> Option<(usize, usize)> {
        let run = self.run_of(seq)?;
        Some((run, self.runs[run].binary_search_by_key(&seq, |entry| entry.seq).ok()?))
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&Entry> {
        self.place(seq).map(|(run, at)| &self.runs[run][at])
    }

    pub(super) fn get_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        self.place(seq).map(|(run, at)| &mut self.runs[run][at])
    }

    /// Adds a letter; false if one of this number is there.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let last = self.runs.len().checked_sub(1);
        let Some(run) = self.run_of(entry.seq).or(last.map(|_| 0)) else {
            self.runs.push_back(VecDeque::from([entry]));
            self.len = 1;
            return true;
        };
        let entries = &mut self.runs[run];
        let Err(at) = entries.binary_search_by_key(&entry.seq, |e| e.seq) else { return false };
        self.len += 1;
        if entries.len() < RUN {
            entries.insert(at, entry);
        } else if Some(run) == last && at == RUN {
            self.runs.push_back(VecDeque::from([entry]));
        } else {
            let mut upper = entries.split_off(RUN / 2);
            if at <= RUN / 2 {
                entries.insert(at, entry)
            } else {
                upper.insert(at - RUN / 2, entry)
            }
            self.runs.insert(run + 1, upper);
        }
        true
    }

    /// Takes a letter out.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let (run, at) = self.place(seq)?;
        let entry = self.runs[run].remove(at)?;
        self.len -= 1;
        let left = self.runs[run].len();
        if left == 0 {
            self.runs.remove(run);
        } else if left < RUN / 4 {
            self.join(run);
        }
        Some(entry)
    }

    /// Puts a run that has become short together with a neighbour, so that a few letters that stay for long do not
    /// keep a whole run each.
    fn join(&mut self, run: usize) {
        let fits = |a: usize, b: usize| {
            self.runs.get(b).is_some_and(|upper| self.runs[a].len() + upper.len() <= RUN * 3 / 4)
        };
        let lower = if fits(run, run + 1) {
            run
        } else if run > 0 && fits(run - 1, run) {
            run - 1
        } else {
            return;
        };
        if let Some(mut upper) = self.runs.remove(lower + 1) {
            self.runs[lower].append(&mut upper);
        }
    }

    /// All letters, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.runs.iter().flatten()
    }

    /// The letters after `seq`.
    pub(super) fn after(&self, seq: Seq) -> impl Iterator<Item = &Entry> {
        let run = self.run_of(seq).unwrap_or(0);
        self.runs.iter().skip(run).flatten().skip_while(move |entry| entry.seq <= seq)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::outbox::tests::event;

    fn entry(event: &Arc<Event>, seq: u64) -> Entry {
        Entry {
            event: Arc::clone(event),
            seq: Seq(seq),
            since: Wall(0),
            behind: Seq(0),
            key: 0,
            stage: Stage::Idle,
            redriven: false,
        }
    }

    /// Three full runs, of which some letters go: how many are left in each.
    #[test]
    fn a_run_below_a_quarter_joins_a_neighbour_if_they_leave_a_quarter_free() {
        let event: Arc<Event> = event("call/1").into();
        let check = |gone: &[(u64, u64)], expected: &[usize]| {
            let mut letters = Letters::default();
            assert!((0..768).all(|seq| letters.insert(entry(&event, seq))));
            let is_gone = |seq: &u64| gone.iter().any(|(from, to)| (from..to).contains(&seq));
            let mut going = gone.iter().flat_map(|(from, to)| *from..*to);
            assert!(going.all(|seq| letters.remove(Seq(seq)).is_some()));
            let runs: Vec<usize> = letters.runs.iter().map(VecDeque::len).collect();
            assert_eq!(runs, expected, "{gone:?}");
            let left = (0..768).filter(|seq| !is_gone(seq));
            assert!(letters.iter().map(|entry| entry.seq.0).eq(left), "{gone:?}");
        };
        check(&[], &[256, 256, 256]);
        check(&[(256, 449)], &[256, 63, 256]);
        check(&[(0, 128), (256, 448)], &[128, 64, 256]);
        check(&[(0, 127), (256, 449)], &[192, 256]);
        check(&[(0, 126), (256, 449)], &[130, 63, 256]);
        check(&[(0, 126), (256, 450)], &[192, 256]);
        check(&[(512, 639), (256, 449)], &[256, 192]);
        check(&[(512, 638), (256, 449)], &[256, 63, 130]);
        check(&[(256, 385), (0, 193)], &[190, 256]);
        check(&[(256, 385), (512, 705)], &[256, 190]);
        check(&[(256, 512)], &[256, 256]);
    }

    proptest! {
        /// Runs are split and joined; what is in them is what a set of numbers says.
        #[test]
        fn a_sorted_set(ops in prop::collection::vec((any::<bool>(), 0_u64..3_000), 1..6_000), grow in 0_u64..2_000) {
            let event: Arc<Event> = event("call/1").into();
            let entry = |seq| entry(&event, seq);
            let (mut letters, mut model) = (Letters::default(), BTreeSet::new());
            for seq in 0..grow {
                prop_assert_eq!(letters.insert(entry(seq)), model.insert(seq));
            }
            for (insert, seq) in ops {
                if insert {
                    prop_assert_eq!(letters.insert(entry(seq)), model.insert(seq));
                } else {
                    prop_assert_eq!(letters.remove(Seq(seq)).map(|e| e.seq.0), model.take(&seq));
                }
                prop_assert_eq!(letters.get(Seq(seq)).is_some(), model.contains(&seq));
                prop_assert_eq!(letters.len(), model.len());
            }
            prop_assert!(letters.iter().map(|e| e.seq.0).eq(model.iter().copied()));
            prop_assert!(letters.after(Seq(1_000)).map(|e| e.seq.0).eq(model.range(1_001..).copied()));
            prop_assert!(letters.runs.len() <= 1 + 4 * model.len().div_ceil(RUN).max(1) * 2);
        }
    }
}
