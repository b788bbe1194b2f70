//! The segments that are used: which records each holds, where readers begin to look for one, and which segment is too
//! old to be kept. No file here.

use std::collections::VecDeque;

use crate::ground::id::Seq;
use crate::ground::time::Wall;

/// Bytes from one mark to the next, so that a reader skips most of a segment.
const MARK_BYTES: u64 = 256 * 1024;

/// One segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Used {
    /// Its number.
    pub id: u64,
    /// The last record before it.
    pub before: Seq,
    /// The last record that is in it, or was before it.
    pub last: Seq,
    /// Where its durable groups end.
    pub end: u64,
    /// The time of its youngest record.
    pub newest: Wall,
    /// Groups to begin with: the first record's number, and where the group stands.
    marks: Vec<(Seq, u64)>,
}

/// All of them, oldest first; the last one is being written.
#[derive(Clone, Default, Debug)]
pub struct Segments {
    used: VecDeque<Used>,
}

/// Where a reader goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// The segment.
    pub segment: u64,
    /// Where a group stands that comes before what is looked for, or holds it.
    pub offset: u64,
    /// Where the segment's durable groups end.
    pub end: u64,
}

/// How much history is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retain {
    /// Segments whose youngest record is older are needed no more.
    pub age_ms: u64,
    /// Segments beyond this sum are needed no more.
    pub bytes: u64,
    /// What each of them takes.
    pub segment_bytes: u64,
}

impl Segments {
    /// A segment begins, after record `before`.
    pub fn open(&mut self, id: u64, before: Seq) {
        let end = super::segment::HEAD_BYTES as u64;
        self.used.push_back(Used { id, before, last: before, end, newest: Wall(0), marks: Vec::new() });
    }

    /// A record of this time is in the last segment.
    pub fn wrote_at(&mut self, wall: Wall) {
        if let Some(used) = self.used.back_mut() {
            used.newest = used.newest.max(wall);
        }
    }

    /// A group of the last segment is durable; `first` is its first record, if it has any.
    pub fn synced(&mut self, first: Option<Seq>, last: Seq, offset: u64, end: u64) {
        let Some(used) = self.used.back_mut() else { return };
        used.end = end;
        used.last = used.last.max(last);
        if let Some(first) = first
            && used.marks.last().is_none_or(|(_, at)| offset - at >= MARK_BYTES)
        {
            used.marks.push((first, offset));
        }
    }

    /// Forgets the segments before `oldest`.
    pub fn forget_before(&mut self, oldest: u64) {
        while self.used.front().is_some_and(|used| used.id < oldest) {
            self.used.pop_front();
        }
    }

    /// Becomes like `other`, which this one was a copy of earlier; only what has changed is copied.
    pub fn follow(&mut self, other: &Segments) {
        self.forget_before(other.used.front().map_or(u64::MAX, |used| used.id));
        let known = self.used.back().map_or(0, |used| used.id);
        for theirs in other.used.iter().rev().take_while(|used| used.id >= known) {
            if theirs.id > known {
                let at = self.used.partition_point(|used| used.id < theirs.id);
                self.used.insert(at, theirs.clone());
            } else if let Some(ours) = self.used.iter_mut().find(|used| used.id == known) {
                let marks = ours.marks.len();
                ours.marks.extend_from_slice(&theirs.marks[marks..]);
                (ours.last, ours.end, ours.newest) = (theirs.last, theirs.end, theirs.newest);
            }
        }
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Used> {
        self.used.iter()
    }

    /// Where to look for the first record numbered `from` or later.
    #[must_use]
    pub fn find(&self, from: Seq) -> Option<Start> {
        let used = self.used.iter().find(|used| used.last >= from && used.last > used.before)?;
        let at = used.marks.partition_point(|(first, _)| *first <= from).saturating_sub(1);
        let (_, offset) = used.marks.get(at)?;
        Some(Start { segment: used.id, offset: *offset, end: used.end })
    }

    /// The last of the oldest segments that are of this age. The one that is being written stays.
    #[must_use]
    pub fn aged(&self, wall: Wall, age_ms: u64) -> Option<&Used> {
        let rest = self.used.len().saturating_sub(1);
        self.used.iter().take(rest).take_while(|used| wall.since(used.newest) >= age_ms).last()
    }

    /// The last of the oldest segments that must go for there to be room for `more` bytes. The one that is being written
    /// stays.
    #[must_use]
    pub fn excess(&self, retain: Retain, more: u64) -> Option<&Used> {
        let rest = self.used.len().saturating_sub(1);
        let segments = (retain.bytes.saturating_sub(more) / retain.segment_bytes.max(1)) as usize;
        let excess = self.used.len().saturating_sub(segments).min(rest);
        self.used.get(excess.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Segments {
        let mut segments = Segments::default();
        segments.open(1, Seq(0));
        segments.wrote_at(Wall(100));
        segments.synced(Some(Seq(1)), Seq(10), 64, 1_000);
        segments.synced(Some(Seq(11)), Seq(20), 1_000, MARK_BYTES + 40);
        segments.synced(Some(Seq(21)), Seq(24), MARK_BYTES + 40, MARK_BYTES + 64);
        segments.synced(Some(Seq(25)), Seq(30), MARK_BYTES + 64, 2 * MARK_BYTES);
        segments.open(2, Seq(30));
        segments.wrote_at(Wall(200));
        segments.synced(None, Seq(30), 64, 104);
        segments.open(3, Seq(30));
        segments.wrote_at(Wall(300));
        segments.synced(Some(Seq(31)), Seq(31), 64, 200);
        segments
    }

    #[test]
    fn readers_begin_before_what_they_look_for() {
        let mut segments = segments();
        let start = |segment, offset, end| Some(Start { segment, offset, end });
        for (from, found) in [
            (0, start(1, 64, 2 * MARK_BYTES)),
            (11, start(1, 64, 2 * MARK_BYTES)),
            (24, start(1, 64, 2 * MARK_BYTES)),
            (25, start(1, MARK_BYTES + 64, 2 * MARK_BYTES)),
            (30, start(1, MARK_BYTES + 64, 2 * MARK_BYTES)),
            (31, start(3, 64, 200)),
            (32, None),
        ] {
            assert_eq!(segments.find(Seq(from)), found, "{from}");
        }
        segments.forget_before(2);
        assert_eq!(
            segments.find(Seq(5)),
            start(3, 64, 200),
            "a segment without records holds nothing to begin with"
        );
    }

    #[test]
    fn a_copy_follows() {
        let mut copy = Segments::default();
        let mut all = segments();
        for step in 0..6 {
            copy.follow(&all);
            assert!(copy.iter().eq(all.iter()), "{step}");
            match step {
                0 => all.synced(Some(Seq(32)), Seq(40), 200, 2 * MARK_BYTES),
                1 => all.forget_before(2),
                2 => {
                    all.synced(Some(Seq(41)), Seq(41), 2 * MARK_BYTES, 3 * MARK_BYTES);
                    all.open(4, Seq(41));
                    all.open(5, Seq(41));
                }
                3 => all.forget_before(5),
                _ => all.wrote_at(Wall(900)),
            }
        }
    }

    #[test]
    fn the_oldest_go_by_age_or_by_size_and_the_last_stays() {
        let mut segments = segments();
        let aged = |segments: &Segments, wall, age_ms| segments.aged(Wall(wall), age_ms).map(|used| used.id);
        assert_eq!(aged(&segments, 199, 100), None);
        assert_eq!(aged(&segments, 200, 100), Some(1));
        assert_eq!(aged(&segments, 9_000, 100), Some(2));
        let excess = |segments: &Segments, bytes, more| {
            let retain = Retain { age_ms: 0, bytes, segment_bytes: 1_000 };
            segments.excess(retain, more).map(|used| used.id)
        };
        for (bytes, more, expected) in [
            (3_000, 0, None),
            (2_999, 0, Some(1)),
            (3_000, 1, Some(1)),
            (3_000, 1_001, Some(2)),
            (0, 0, Some(2)),
            (2_000, 9_000, Some(2)),
        ] {
            assert_eq!(excess(&segments, bytes, more), expected, "{bytes} {more}");
        }
        segments.forget_before(3);
        assert_eq!((aged(&segments, 100_000, 100), excess(&segments, 0, 0)), (None, None));
    }
}
