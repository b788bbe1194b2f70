//! The writer: from appended records to operations on files, one at a time. While one is under way, what is appended
//! gathers in the next group, so one write and one sync carry all of it.
//!
//! No file and no thread here: whoever owns the files asks [`Writer::operation`], carries it out, and says with
//! [`Writer::done`] what came of it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::group::{self, Filling};
use super::record::Record;
use super::recovery::{Doubtful, Recovered};
use super::segment;
use super::segments::Segments;
use crate::ground::id::{Epoch, Seq};
use crate::ground::time::Wall;

/// Something to be done with the files of segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation<'a> {
    /// Make this segment's file: `bytes` long and all zero but for `head` at its start. All of that is durable when it
    /// is done, the file's name in its folder too.
    Create {
        /// The segment.
        segment: u64,
        /// The file's length.
        bytes: u64,
        /// What stands at its start.
        head: [u8; segment::HEAD_BYTES],
    },
    /// Write into a segment's file.
    Write {
        /// The segment.
        segment: u64,
        /// Where.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// Make what was written into a segment's file durable.
    Sync {
        /// The segment.
        segment: u64,
    },
    /// Delete a segment's file.
    Delete {
        /// The segment.
        segment: u64,
    },
}

/// What came of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is done.
    Done,
    /// There is no space; the same operation comes again.
    NoSpace,
}

/// How large things may become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// A segment; one with a group that is larger is as large as that takes.
    pub segment_bytes: u64,
    /// A group, beyond which the next record starts another.
    pub group_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    /// A segment is made for the group that is next.
    Creating,
    Writing,
    Syncing,
    /// What was written before this start is written again, and made durable.
    WritingFirst,
    SyncingFirst,
    Deleting,
}

/// A group that is full, or sealed.
#[derive(Debug)]
struct Waiting {
    group: Filling,
    newest: Wall,
    /// What was known to be needed no more when its last record had come.
    oldest: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Writer {
    bounds: Bounds,
    epoch: Epoch,
    state: State,
    doubtful: Doubtful,
    /// The segment that is written, and where; 0: none is open.
    segment: u64,
    offset: u64,
    /// Older segments are needed no more; and as a durable group says it.
    oldest: u64,
    oldest_said: u64,
    /// Groups that are full, or sealed.
    waiting: VecDeque<Waiting>,
    filling: Filling,
    newest: Wall,
    room: Vec<u8>,
    /// The last record that was given, passing ones included; and the last that is durable, or need not be.
    given: Seq,
    durable: Seq,
    /// The last record that was written and is durable.
    written: Seq,
    mark_wanted: bool,
    doomed: VecDeque<u64>,
    segments: Segments,
    full: bool,
}

impl Writer {
    /// Goes on where recovery found the end, in a new epoch.
    #[must_use]
    pub fn new(bounds: Bounds, epoch: Epoch, recovered: Recovered) -> Writer {
        let end = recovered.end;
        let left_over = recovered.left_over.into();
        let segments = recovered.segments;
        Writer {
            bounds,
            epoch,
            state: if end.is_some() { State::WritingFirst } else { State::Idle },
            doubtful: recovered.doubtful,
            segment: end.map_or(0, |end| end.segment),
            offset: end.map_or(0, |end| end.offset),
            oldest: recovered.oldest,
            oldest_said: recovered.oldest,
            waiting: VecDeque::new(),
            filling: Filling::new(Vec::new()),
            newest: Wall(0),
            room: Vec::new(),
            given: recovered.last,
            durable: recovered.last,
            written: recovered.last,
            mark_wanted: false,
            doomed: left_over,
            segments,
            full: false,
        }
    }

    /// Takes records in the order of the log, numbered from `first` on.
    pub fn append(&mut self, first: Seq, records: &[Arc<Record>]) {
        for (record, seq) in records.iter().zip(first.0..).filter(|(record, _)| record.header.kept) {
            if !self.filling.is_empty() && self.filling.len() as u64 >= self.bounds.group_bytes {
                self.close_group();
            }
            self.filling.push(Seq(seq), record);
            self.newest = self.newest.max(record.header.wall);
        }
        if let Some(last) = (first.0 + records.len() as u64).checked_sub(1) {
            self.given = self.given.max(Seq(last));
        }
        self.pass();
    }

    fn close_group(&mut self) {
        let next = Filling::new(std::mem::take(&mut self.room));
        let full = std::mem::replace(&mut self.filling, next);
        let newest = std::mem::take(&mut self.newest);
        self.waiting.push_back(Waiting { group: full, newest, oldest: self.oldest });
    }

    /// Nothing waits to be written: passing records are as durable as they will ever be.
    fn pass(&mut self) {
        if self.waiting.is_empty() && self.filling.is_empty() {
            self.durable = self.given;
        }
    }

    /// What has to be done; the same until [`Writer::done`]. `None`: nothing, for now.
    pub fn operation(&mut self) -> Option<Operation<'_>> {
        if self.state == State::Idle {
            self.begin();
        }
        let (segment, offset) = (self.segment, self.offset);
        match self.state {
            State::Idle => None,
            State::Creating => {
                let needed = segment::HEAD_BYTES as u64 + self.size_of_next();
                let head = segment::Head {
                    id: segment + 1,
                    epoch: self.epoch,
                    before_end: offset,
                    before_last: self.written,
                };
                let bytes = self.bounds.segment_bytes.max(needed);
                Some(Operation::Create { segment: segment + 1, bytes, head: head.bytes() })
            }
            State::Writing => {
                let bytes = self.waiting.front().map_or(&[][..], |next| next.group.bytes());
                Some(Operation::Write { segment, offset, bytes })
            }
            State::WritingFirst => {
                let Doubtful { offset, bytes } = &self.doubtful;
                Some(Operation::Write { segment, offset: *offset, bytes })
            }
            State::Syncing | State::SyncingFirst => Some(Operation::Sync { segment }),
            State::Deleting => self.doomed.front().map(|segment| Operation::Delete { segment: *segment }),
        }
    }

    fn size_of_next(&self) -> u64 {
        group::padded(self.waiting.front().map_or(0, |next| next.group.len()) as u64)
    }

    /// Chooses the next operation.
    fn begin(&mut self) {
        if self.doomed.front().is_some_and(|segment| *segment < self.oldest_said) {
            self.state = State::Deleting;
            return;
        }
        if self.waiting.is_empty() {
            if self.filling.is_empty() && !self.mark_wanted {
                return;
            }
            // A mark stands behind what it speaks of.
            self.mark_wanted &= !self.filling.is_empty();
            self.close_group();
        }
        if self.segment == 0 || self.offset + self.size_of_next() > self.bounds.segment_bytes {
            self.state = State::Creating;
        } else {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let (segment, offset) = (self.segment, self.offset);
        if let Some(Waiting { group, oldest, .. }) = self.waiting.front_mut() {
            group.seal(segment, offset, self.written.next(), self.written, *oldest);
            self.state = State::Writing;
        }
    }

    /// The operation was carried out, or there was no space for it.
    pub fn done(&mut self, outcome: Outcome) {
        if outcome == Outcome::NoSpace {
            self.full = true;
            return;
        }
        self.full = false;
        match self.state {
            State::Idle => {}
            State::Creating => {
                self.segment += 1;
                self.offset = segment::HEAD_BYTES as u64;
                self.segments.open(self.segment, self.written);
                self.seal();
            }
            State::Writing => self.state = State::Syncing,
            State::WritingFirst => self.state = State::SyncingFirst,
            State::SyncingFirst => {
                self.doubtful = Doubtful::default();
                self.state = State::Idle;
            }
            State::Syncing => self.synced(),
            State::Deleting => {
                self.doomed.pop_front();
                self.state = State::Idle;
            }
        }
    }

    fn synced(&mut self) {
        self.state = State::Idle;
        let Some(Waiting { group, newest, oldest }) = self.waiting.pop_front() else { return };
        let end = self.offset + group.len() as u64;
        self.oldest_said = oldest;
        if !group.is_empty() {
            self.written = group.last();
            self.durable = self.durable.max(self.written);
        }
        self.segments.wrote_at(newest);
        let first = (!group.is_empty()).then(|| group.first());
        self.segments.synced(first, self.written, self.offset, end);
        self.offset = end;
        let room = group.into_room();
        if room.capacity() as u64 <= 2 * self.bounds.group_bytes {
            self.room = room;
        }
        self.pass();
    }

    /// Segments before `oldest` are needed no more, because what was appended so far says again what still counts of them. A
    /// group behind all of that says so, and when it is durable they are deleted.
    pub fn retire_before(&mut self, oldest: u64) {
        if oldest > self.oldest {
            self.doomed.extend(self.segments.iter().map(|used| used.id).filter(|id| *id < oldest));
            self.segments.forget_before(oldest);
            if !self.filling.is_empty() {
                // A group that says so must stand behind all that was appended before.
                self.close_group();
            }
            self.oldest = oldest;
            self.mark_wanted = true;
        }
    }

    /// Asks for a mark behind all that was appended, which says that it is durable.
    pub fn mark(&mut self) {
        self.mark_wanted |= self.segment > 0 || !self.filling.is_empty();
    }

    /// All records up to this one are durable, or need not be.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.durable
    }

    /// The last operation found no space.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The segments that are used.
    #[must_use]
    pub fn segments(&self) -> &Segments {
        &self.segments
    }
}

#[cfg(test)]
mod tests;
