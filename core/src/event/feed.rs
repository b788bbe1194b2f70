//! Feeds: what all readers with the same view read. A feed is a list of runs in its arena, neighbouring frames merged,
//! so that a feed that takes everything is one run. A reader is a cursor, a position in the arena; where a cursor
//! stands, what it has still to read, and what it missed, follow from the runs.

use std::collections::VecDeque;
use std::ops::Range;

use super::arena::{Arena, Position};

/// The runs of one view, oldest first.
#[derive(Debug, Default)]
pub struct Feed {
    runs: VecDeque<Range<Position>>,
    /// The end of the last byte of this feed that is gone.
    lost: Position,
    /// Frames that were ever pushed.
    frames: u64,
    /// Readers: the slots of their connections, in no order.
    pub(crate) readers: Vec<u32>,
    /// How many others keep the feed: eventhandlers that wait for a stream.
    pub(crate) keepers: u32,
    /// New frames have come since the readers were last told.
    pub(crate) dirty: bool,
}

impl Feed {
    /// Appends a frame's run and lets go of runs beyond `runs_max`, and of those that left the arena.
    pub fn push(&mut self, run: Range<Position>, arena: &Arena, runs_max: usize) {
        self.frames += 1;
        match self.runs.back_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            Some(_) | None => self.runs.push_back(run),
        }
        // What came in this turn of the loop stays until the readers were told: one that takes everything at once must
        // not be found too slow for a batch.
        let runs_max = if self.dirty { usize::MAX } else { runs_max };
        while self.runs.front().is_some_and(|r| r.end <= arena.start()) || self.runs.len() > runs_max {
            let Some(gone) = self.runs.pop_front() else { break };
            self.lost = gone.end;
        }
    }

    /// Where a reader must stand at least to have missed nothing.
    #[must_use]
    pub fn floor(&self, arena: &Arena) -> Position {
        let start = arena.start();
        if self.runs.front().is_none_or(|run| run.start >= start) {
            return self.lost;
        }
        // Several runs may have left since the last frame came; the youngest of them counts.
        let gone = self.runs.partition_point(|run| run.start < start);
        self.runs[gone - 1].end.min(start).max(self.lost)
    }

    /// Frames that were ever pushed.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The end of the newest frame.
    #[must_use]
    pub fn end(&self) -> Position {
        self.runs.back().map_or(self.lost, |r| r.end)
    }

    /// Whether a reader at `cursor` has read everything.
    #[must_use]
    pub fn is_read(&self, cursor: Position) -> bool {
        cursor >= self.end()
    }

    /// What a reader at `cursor` has still to read, as far as it is kept.
    pub fn runs_from(&self, cursor: Position, arena: &Arena) -> impl Iterator<Item = Range<Position>> {
        let from = cursor.max(arena.start());
        let first = match self.runs.back() {
            Some(last) if last.start <= from => self.runs.len() - usize::from(last.end > from),
            Some(_) | None => self.runs.partition_point(|r| r.end <= from),
        };
        self.runs.range(first..).map(move |r| r.start.max(from)..r.end)
    }

    /// How many frames lie from `cursor`, a frame boundary, to the end, as far as they are kept.
    #[must_use]
    pub fn frames_from(&self, cursor: Position, arena: &Arena) -> u64 {
        self.runs_from(cursor, arena).map(|run| arena.frames_in(run)).sum()
    }

    /// Where the newest `count` frames start.
    #[must_use]
    pub fn position_of_newest(&self, count: u64, arena: &Arena) -> Position {
        let mut left = count;
        for run in self.runs.iter().rev() {
            let run = run.start.max(arena.start())..run.end;
            let here = arena.frames_in(run.clone());
            if here >= left {
                let skipped = usize::try_from(here - left).unwrap_or(usize::MAX);
                return arena.frames_from(run.start).nth(skipped).map_or(run.end, |(f, _)| f.start);
            }
            left -= here;
        }
        self.floor(arena)
    }

    /// Where the newest whole frames start that are at most `bytes` long together.
    #[must_use]
    pub fn position_of_newest_bytes(&self, bytes: u64, arena: &Arena) -> Position {
        let mut left = bytes;
        let mut at = self.end();
        for run in self.runs.iter().rev() {
            let run = run.start.max(arena.start())..run.end;
            if run.is_empty() {
                // This one and all before it left the arena.
                break;
            }
            if run.end - run.start > left {
                let earliest = run.end - left;
                let begins = arena.frames_from(earliest).map(|(_, frame)| frame.start);
                return begins.take_while(|start| *start < run.end).find(|s| *s >= earliest).unwrap_or(at);
            }
            left -= run.end - run.start;
            at = run.start;
        }
        at
    }

    /// Where a reader at `cursor` stands after `bytes` more, and how many frames it has then read to their end.
    #[must_use]
    pub fn advance(&self, cursor: Position, bytes: u64, arena: &Arena) -> (Position, u64) {
        let mut left = bytes;
        let (mut at, mut frames) = (cursor, 0);
        for run in self.runs_from(cursor, arena) {
            let here = left.min(run.end - run.start);
            at = run.start + here;
            frames += arena.frames_passed(run.start..at);
            left -= here;
            if left == 0 {
                break;
            }
        }
        assert!(left == 0, "no more bytes are taken than were lent");
        (at, frames)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::arena::Bounds;
    use crate::ground::id::Seq;
    use crate::ground::time::Wall;

    /// Frames of ten bytes each, of which the feed takes those with a `+`.
    fn fed(mine: &str, frames: u64, runs_max: usize) -> (Feed, Arena) {
        let mut arena = Arena::new(Bounds { bytes: 1_000, frames, age_ms: 1_000 });
        let mut feed = Feed::default();
        for (n, is_mine) in mine.chars().zip(1..).map(|(c, n)| (n, c == '+')) {
            let run = arena.push(b"0123456789", Seq(n), Wall(0), None);
            if is_mine {
                feed.push(run, &arena, runs_max);
            }
        }
        (feed, arena)
    }

    #[test]
    fn neighbouring_frames_are_one_run() {
        let (feed, arena) = fed("++-++", 100, 10);
        assert_eq!(feed.runs, [0..20, 30..50]);
        assert_eq!((feed.frames(), feed.end(), feed.floor(&arena)), (4, 50, 0));
        assert!(!feed.is_read(49) && feed.is_read(50) && Feed::default().is_read(0));
    }

    /// By count, by bytes, and by what a reader takes.
    #[test]
    fn places_in_a_feed() {
        let (feed, arena) = fed("++-++", 100, 10);
        for (count, place) in [(0, 50), (1, 40), (2, 30), (3, 10), (4, 0), (5, 0)] {
            assert_eq!(feed.position_of_newest(count, &arena), place, "the newest {count}");
        }
        for (bytes, place) in
            [(0, 50), (9, 50), (10, 40), (19, 40), (20, 30), (29, 30), (30, 10), (39, 10), (40, 0), (99, 0)]
        {
            assert_eq!(feed.position_of_newest_bytes(bytes, &arena), place, "the newest {bytes} bytes");
        }
        for (cursor, runs, left) in [
            (0, "[0..20, 30..50]", 4),
            (10, "[10..20, 30..50]", 3),
            (20, "[30..50]", 2),
            (30, "[30..50]", 2),
            (40, "[40..50]", 1),
            (50, "[]", 0),
        ] {
            assert_eq!(
                format!("{:?}", feed.runs_from(cursor, &arena).collect::<Vec<_>>()),
                runs,
                "from {cursor}"
            );
            assert_eq!(feed.frames_from(cursor, &arena), left, "from {cursor}");
        }
        for (cursor, bytes, reached) in [
            (0, 0, (0, 0)),
            (0, 9, (9, 0)),
            (0, 10, (10, 1)),
            (0, 20, (20, 2)),
            (0, 25, (35, 2)),
            (0, 40, (50, 4)),
            (5, 5, (10, 1)),
            (20, 10, (40, 1)),
            (50, 0, (50, 0)),
        ] {
            assert_eq!(feed.advance(cursor, bytes, &arena), reached, "{bytes} bytes from {cursor}");
        }
    }

    /// The newest, where the arena has let go of a part or of all that the feed still notes.
    #[test]
    fn places_in_a_feed_that_is_partly_gone() {
        for (mine, of_one, of_many, of_few_bytes, of_many_bytes) in [
            ("++++", 30, 10, 30, 10),
            ("+++-", 20, 10, 20, 10),
            ("+-+--", 20, 10, 20, 20),
            ("++----", 20, 20, 20, 20),
            ("+-+----", 30, 30, 30, 30),
        ] {
            let (feed, arena) = fed(mine, 3, 9);
            let found = [1, 9].map(|count| feed.position_of_newest(count, &arena));
            assert_eq!(found, [of_one, of_many], "{mine}");
            let found = [10, 99].map(|bytes| feed.position_of_newest_bytes(bytes, &arena));
            assert_eq!(found, [of_few_bytes, of_many_bytes], "{mine}");
        }
    }

    #[test]
    #[should_panic(expected = "no more bytes are taken than were lent")]
    fn nobody_takes_more_than_there_is() {
        let (feed, arena) = fed("++-++", 100, 10);
        let _ = feed.advance(0, 41, &arena);
    }

    /// Runs go beyond a bound of theirs, and with the arena; whoever stands before the floor has missed some.
    #[test]
    fn what_is_gone_moves_the_floor() {
        for (mine, frames, runs_max, runs, floor) in [
            ("+-+-+", 100, 3, "[0..10, 20..30, 40..50]", 0),
            ("+-+-+", 100, 2, "[20..30, 40..50]", 10),
            ("+-+-+", 100, 1, "[40..50]", 30),
            // The arena has let go of a part, of all, and of more.
            ("++--", 3, 9, "[0..20]", 10),
            ("++---", 3, 9, "[0..20]", 20),
            ("++----", 3, 9, "[0..20]", 20),
            ("++-----+", 3, 9, "[70..80]", 20),
            ("+-+----", 3, 9, "[0..10, 20..30]", 30),
            ("+-++--", 4, 9, "[0..10, 20..40]", 10),
        ] {
            let (feed, arena) = fed(mine, frames, runs_max);
            let found = (format!("{:?}", feed.runs), feed.floor(&arena));
            assert_eq!(found, (runs.to_owned(), floor), "{mine} {frames}");
        }
    }

    /// A reader that takes all at once is not too slow for a batch.
    #[test]
    fn what_the_readers_were_not_told_of_stays() {
        let (mut feed, mut arena) = fed("+-+-", 100, 2);
        feed.dirty = true;
        let run = arena.push(b"0123456789", Seq(9), Wall(0), None);
        feed.push(run, &arena, 2);
        assert_eq!((feed.runs.len(), feed.floor(&arena)), (3, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A feed against a list of all its frames; its reader takes what it is lent in portions of any size.
        #[test]
        fn reads_like_a_list(
            frames in proptest::collection::vec((1usize..2_000, any::<bool>(), 0usize..3_000), 1..120),
            keep in 4_000u64..50_000,
            runs_max in 1usize..40,
        ) {
            let mut arena = Arena::new(Bounds { bytes: keep, frames: 1_000, age_ms: 1_000 });
            let mut feed = Feed::default();
            let mut wanted: Vec<(Range<Position>, Vec<u8>)> = Vec::new();
            let (mut cursor, mut got) = (0, Vec::new());
            for (n, (size, mine, take)) in frames.into_iter().enumerate() {
                let bytes = vec![n as u8; size];
                let run = arena.push(&bytes, Seq(n as u64 + 1), Wall(0), None);
                if mine {
                    feed.push(run.clone(), &arena, runs_max);
                    wanted.push((run, bytes));
                }
                if cursor < feed.floor(&arena) {
                    // Overrun: the reader goes on at the floor, and must find there exactly what is kept.
                    cursor = feed.floor(&arena);
                    got = wanted.iter().filter(|(r, _)| r.start < cursor).flat_map(|(_, b)| b.clone()).collect();
                }
                let at_boundary = cursor.max(arena.start());
                prop_assert_eq!(
                    feed.frames_from(arena.frame_end(at_boundary.saturating_sub(1).max(arena.start())), &arena),
                    wanted.iter().filter(|(r, _)| r.start >= arena.frame_end(at_boundary.saturating_sub(1).max(arena.start()))).count() as u64
                );
                let mut left = take;
                let mut taken = 0;
                for run in feed.runs_from(cursor, &arena) {
                    let bytes = arena.slices(run).concat();
                    let n = left.min(bytes.len());
                    got.extend_from_slice(&bytes[..n]);
                    taken += n as u64;
                    left -= n;
                }
                cursor = feed.advance(cursor, taken, &arena).0;
                let all: Vec<u8> = wanted.iter().flat_map(|(_, b)| b.clone()).collect();
                prop_assert_eq!(&all[..got.len()], &got[..]);
                prop_assert_eq!(feed.is_read(cursor), got.len() == all.len());
            }
            let count = 3.min(wanted.iter().filter(|(r, _)| r.start >= feed.floor(&arena) && r.start >= arena.start()).count());
            if count > 0 {
                prop_assert_eq!(feed.position_of_newest(count as u64, &arena), wanted[wanted.len() - count].0.start);
            }
        }
    }
}
