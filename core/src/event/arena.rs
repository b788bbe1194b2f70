//! Arenas: each event is rendered once per dialect, as one frame, into that dialect's append-only ring of bytes.
//!
//! Positions are offsets from the first byte ever written; they only grow, and are never given twice. The oldest
//! frames go when the ring is full or they are too old.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::event::Event;
use crate::ground::id::Seq;
use crate::ground::time::Wall;

/// A place in an arena, or just behind a byte of it.
pub type Position = u64;

const RING_BYTES_MIN: usize = 64 * 1024;

/// One rendered event.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where its first byte stands.
    pub start: Position,
    /// Its record's number.
    pub seq: Seq,
    /// Its record's time.
    pub wall: Wall,
    /// The event, where the dialect looks through old ones again.
    pub event: Option<Arc<Event>>,
}

/// What an arena keeps at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Rendered bytes, and those of the events that are kept beside them.
    pub bytes: u64,
    /// Frames.
    pub frames: u64,
    /// Age in milliseconds.
    pub age_ms: u64,
}

/// A ring of rendered frames.
#[derive(Debug)]
pub struct Arena {
    /// The ring; its length is a power of two, or zero before the first frame.
    ring: Vec<u8>,
    frames: VecDeque<Frame>,
    end: Position,
    bounds: Bounds,
    /// What the events beside the frames take.
    event_bytes: u64,
    /// The number of the youngest frame that is gone; 0 if none is.
    gone: Seq,
}

impl Arena {
    /// An empty arena.
    #[must_use]
    pub fn new(bounds: Bounds) -> Arena {
        Arena { ring: Vec::new(), frames: VecDeque::new(), end: 0, bounds, event_bytes: 0, gone: Seq(0) }
    }

    /// Where the oldest kept frame starts; [`Arena::end`] if there is none.
    #[must_use]
    pub fn start(&self) -> Position {
        self.frames.front().map_or(self.end, |f| f.start)
    }

    /// Where the next frame will start.
    #[must_use]
    pub fn end(&self) -> Position {
        self.end
    }

    /// How many frames are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether no frame is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// When the oldest frame was accepted.
    #[must_use]
    pub fn oldest(&self) -> Option<Wall> {
        self.frames.front().map(|f| f.wall)
    }

    /// Appends one frame, lets the oldest go that it pushes out, and returns its run.
    pub fn push(&mut self, bytes: &[u8], seq: Seq, wall: Wall, event: Option<Arc<Event>>) -> Range<Position> {
        assert!(!bytes.is_empty(), "a frame has bytes, or positions would not tell frames apart");
        let len = bytes.len() as u64;
        let event_bytes = event.as_ref().map_or(0, |event| event.bytes());
        while !self.frames.is_empty()
            && (self.end + len - self.start() + self.event_bytes + event_bytes > self.bounds.bytes
                || self.frames.len() as u64 >= self.bounds.frames)
        {
            self.drop_oldest();
        }
        self.make_room(bytes.len());
        let start = self.end;
        let at = self.index(start);
        let first = bytes.len().min(self.ring.len() - at);
        self.ring[at..at + first].copy_from_slice(&bytes[..first]);
        self.ring[..bytes.len() - first].copy_from_slice(&bytes[first..]);
        self.end += len;
        self.event_bytes += event_bytes;
        // A wall clock that was set back must not put the frames out of their order.
        let wall = self.frames.back().map_or(wall, |last| last.wall.max(wall));
        self.frames.push_back(Frame { start, seq, wall, event });
        start..self.end
    }

    /// Lets frames go that have reached their age.
    pub fn expire(&mut self, wall: Wall) {
        while self.oldest().is_some_and(|oldest| wall.since(oldest) >= self.bounds.age_ms) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.event_bytes -= frame.event.map_or(0, |event| event.bytes());
            self.gone = frame.seq;
        }
    }

    /// The number of the youngest frame that is gone; 0 if none is.
    #[must_use]
    pub fn gone(&self) -> Seq {
        self.gone
    }

    /// Frames up to this number were never here: the log begins behind it.
    pub fn begin_after(&mut self, seq: Seq) {
        assert!(self.frames.is_empty() && self.gone <= seq, "a log begins before its records");
        self.gone = seq;
    }

    /// Bounds for frames to come.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Grows the ring, doubling, until what is kept and `more` fit.
    fn make_room(&mut self, more: usize) {
        let kept = self.start()..self.end;
        let need = usize::try_from(kept.end - kept.start).unwrap_or(usize::MAX).saturating_add(more);
        if need <= self.ring.len() {
            return;
        }
        let mut ring = vec![0; need.max(RING_BYTES_MIN).next_power_of_two()];
        let mut at = kept.start;
        for slice in self.slices(kept) {
            for part in split_at_wrap(at, slice.len(), ring.len()) {
                let from = usize::try_from(part.start - at).unwrap_or_default();
                let to = (part.start as usize) & (ring.len() - 1);
                let len = (part.end - part.start) as usize;
                ring[to..to + len].copy_from_slice(&slice[from..from + len]);
            }
            at += slice.len() as u64;
        }
        self.ring = ring;
    }

    fn index(&self, at: Position) -> usize {
        (at as usize) & (self.ring.len() - 1)
    }

    /// The bytes of a run: one slice, or two where the ring wraps; the second may be empty.
    #[must_use]
    pub fn slices(&self, run: Range<Position>) -> [&[u8]; 2] {
        debug_assert!(run.start >= self.start() && run.end <= self.end, "a run that is read is still kept");
        if run.is_empty() {
            return [&[], &[]];
        }
        let len = (run.end - run.start) as usize;
        let at = self.index(run.start);
        let first = len.min(self.ring.len() - at);
        [&self.ring[at..at + first], &self.ring[..len - first]]
    }

    /// The place of the frame that holds the byte at `at`, counted from the oldest kept frame; the count of kept
    /// frames if `at` is the end.
    fn frame_at(&self, at: Position) -> usize {
        match self.frames.back() {
            Some(last) if at < last.start => self.frames.partition_point(|f| f.start <= at).saturating_sub(1),
            Some(_) if at < self.end => self.frames.len() - 1,
            Some(_) | None => self.frames.len(),
        }
    }

    /// Where the frame that holds the byte at `at` starts.
    #[must_use]
    pub fn frame_start(&self, at: Position) -> Position {
        self.frames.get(self.frame_at(at)).map_or(self.end, |f| f.start)
    }

    /// Where the frame that holds the byte at `at` ends.
    #[must_use]
    pub fn frame_end(&self, at: Position) -> Position {
        self.frames.get(self.frame_at(at) + 1).map_or(self.end, |f| f.start)
    }

    /// How many frames start in `run`, whose ends are frame boundaries.
    #[must_use]
    pub fn frames_in(&self, run: Range<Position>) -> u64 {
        let run = run.start.max(self.start())..run.end;
        if run.start >= run.end { 0 } else { (self.frame_at(run.end) - self.frame_at(run.start)) as u64 }
    }

    /// How many frames end within `run`, which may start and end inside frames.
    #[must_use]
    pub fn frames_passed(&self, run: Range<Position>) -> u64 {
        (self.frame_at(run.end) - self.frame_at(run.start)) as u64
    }

    /// Where the first kept frame numbered `seq` or later starts.
    #[must_use]
    pub fn position_of(&self, seq: Seq) -> Position {
        self.frames.get(self.frames.partition_point(|f| f.seq < seq)).map_or(self.end, |f| f.start)
    }

    /// Where the first kept frame younger than `age_ms` starts.
    #[must_use]
    pub fn position_of_age(&self, wall: Wall, age_ms: u64) -> Position {
        self.frames
            .get(self.frames.partition_point(|f| wall.since(f.wall) >= age_ms))
            .map_or(self.end, |f| f.start)
    }

    /// The number of the frame that starts at or after `at`; `None` at the end.
    #[must_use]
    pub fn seq_at(&self, at: Position) -> Option<Seq> {
        self.frames.get(self.frames.partition_point(|f| f.start < at)).map(|f| f.seq)
    }

    /// When the frame that starts at or after `at` was accepted; `None` at the end.
    #[must_use]
    pub fn wall_at(&self, at: Position) -> Option<Wall> {
        self.frames.get(self.frames.partition_point(|f| f.start < at)).map(|f| f.wall)
    }

    /// The frames that start at `from` or later, with their runs.
    pub fn frames_from(&self, from: Position) -> impl Iterator<Item = (&Frame, Range<Position>)> {
        let first = self.frames.partition_point(|f| f.start < from);
        (first..self.frames.len()).map(move |at| {
            let frame = &self.frames[at];
            (frame, frame.start..self.frames.get(at + 1).map_or(self.end, |f| f.start))
        })
    }
}

/// Cuts `len` bytes from `at` on where a ring of `ring` bytes wraps.
fn split_at_wrap(at: Position, len: usize, ring: usize) -> [Range<Position>; 2] {
    let first = len.min(ring - ((at as usize) & (ring - 1))) as u64;
    [at..at + first, at + first..at + len as u64]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(arena: &Arena, run: Range<Position>) -> Vec<u8> {
        arena.slices(run).concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The arena against a model that keeps every frame in a list.
        #[test]
        fn keeps_the_youngest(sizes in proptest::collection::vec(1usize..40_000, 1..60), bytes in 50_000u64..300_000, frames in 1u64..40) {
            let mut arena = Arena::new(Bounds { bytes, frames, age_ms: 1_000 });
            let mut model: Vec<(Range<Position>, Vec<u8>)> = Vec::new();
            for (n, size) in sizes.into_iter().enumerate() {
                let frame: Vec<u8> = (0..size).map(|i| (i * 7 + n) as u8).collect();
                let run = arena.push(&frame, Seq(n as u64 + 1), Wall(n as u64), None);
                model.push((run, frame));
                let kept = model.iter().filter(|(run, _)| run.start >= arena.start()).count();
                prop_assert_eq!(kept, arena.len());
                prop_assert!(kept as u64 <= frames);
                prop_assert!(kept == 1 || arena.end() - arena.start() <= bytes);
                for (run, frame) in &model[model.len() - kept..] {
                    prop_assert_eq!(&bytes_of(&arena, run.clone()), frame);
                    prop_assert_eq!(arena.frame_start(run.start), run.start);
                    prop_assert_eq!(arena.frame_start(run.end - 1), run.start);
                    prop_assert_eq!(arena.frame_end(run.start), run.end);
                    prop_assert_eq!(arena.frames_in(run.start..arena.end()), model.iter().filter(|(r, _)| r.start >= run.start).count() as u64);
                }
            }
        }
    }

    #[test]
    fn counts_the_events_beside_its_frames() {
        let event = |text: &str| {
            Arc::new(Event {
                id: "1".into(),
                id_given: false,
                source: "s".into(),
                event_type: "t".into(),
                subject: None,
                time: "".into(),
                wall: Wall(0),
                content_type: None,
                schema: None,
                extensions: Vec::new(),
                data: crate::event::Data::Json(text.into()),
            })
        };
        let mut arena = Arena::new(Bounds { bytes: 3_000, frames: 10, age_ms: 1_000 });
        for n in 1..=3 {
            arena.push(b"frame", Seq(n), Wall(0), Some(event(&"x".repeat(1_000))));
        }
        assert_eq!((arena.len(), arena.gone()), (2, Seq(1)));
        // What one event takes is free again for many frames without.
        arena.push(b"frame", Seq(4), Wall(0), Some(event(&"x".repeat(2_500))));
        assert_eq!((arena.len(), arena.event_bytes), (1, event(&"x".repeat(2_500)).bytes()));
        arena.push(&[b'x'; 2_990], Seq(5), Wall(0), None);
        assert_eq!((arena.len(), arena.event_bytes), (1, 0));
    }

    #[test]
    fn seeks_by_number_and_age() {
        let mut arena = Arena::new(Bounds { bytes: 1_000, frames: 10, age_ms: 100 });
        for n in 1..=5 {
            arena.push(&[b'x'; 10], Seq(n * 2), Wall(n * 10), None);
        }
        for (seq, position) in [(0, 0), (2, 0), (3, 10), (4, 10), (10, 40), (11, 50)] {
            assert_eq!(arena.position_of(Seq(seq)), position, "{seq}");
        }
        assert_eq!(arena.position_of_age(Wall(60), 30), 30);
        assert_eq!(arena.seq_at(15), Some(Seq(6)));
        assert_eq!(arena.seq_at(50), None);
        arena.expire(Wall(121));
        assert_eq!((arena.start(), arena.gone()), (20, Seq(4)));
    }
}
