//! Recovery: from the bytes of segments to records, to where the log goes on, or to a sentence about what is damaged.
//!
//! The writer has one group under way at a time, and writes the next only when that one is durable. So bytes at the
//! log's end that are no sound group are a torn tail: nobody was told of what they held, and they are cut. A sound group
//! behind such bytes, or a mark beyond what was found, shows that they were durable once: that is damage, and nothing is
//! cut.
//!
//! Segments that were to leave, and of which a crash has left some behind, are needed no more: what still counts of them
//! stands further on, for a log that begins behind all of them ([`Recovery::begins_at`]).
//!
//! Segments are read twice: [`Recovery`] judges all of them before an engine hears of any, and finds what was carried
//! over the beginning; [`records`] then gives the records of each.
//!
//! No file here: the host lists, reads and erases.

use std::fmt;
use std::sync::Arc;

use super::record::{Body, Record};
use super::segments::Segments;
use super::{group, segment};
use crate::ground::id::{Epoch, Seq};

/// A record with its number.
pub type Numbered = (Seq, Arc<Record>);

/// Judges segments in the order of their ids.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Lower segments are left over.
    first: u64,
    left_over: Vec<u64>,
    /// The lowest segment that is there and used.
    lowest: Option<u64>,
    /// The epoch and the last record before it.
    beginning: Option<(Epoch, Seq)>,
    carried: Vec<Record>,
    records: u64,
    /// A segment that has no head, behind which none may have one.
    unused: Option<u64>,
    end: Option<End>,
    /// Bytes behind the end are not all zero.
    torn: bool,
    doubtful: Doubtful,
    last: Seq,
    oldest: u64,
    epoch: Epoch,
    skipped: u64,
    segments: Segments,
}

/// Where the log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// The last segment that is used.
    pub segment: u64,
    /// Where its groups end.
    pub offset: u64,
}

/// What was written last: the last group, or the head of a segment that has none. It can be read, but if a sync of it has
/// failed it may yet be gone with the next power cut, for the kernel takes it for written (fsync(2)). It has to be written
/// again and synced before anything relies on it.
#[derive(Debug, Default)]
pub struct Doubtful {
    /// Where in the last segment.
    pub offset: u64,
    /// What.
    pub bytes: Box<[u8]>,
}

/// What was found.
#[derive(Debug)]
pub struct Recovered {
    /// Where the log goes on; `None` if it never began.
    pub end: Option<End>,
    /// Bytes behind the end are the torn rest of a write, and have to be erased before the log goes on.
    pub torn: bool,
    /// What may not be durable.
    pub doubtful: Doubtful,
    /// The last record.
    pub last: Seq,
    /// The epoch of the first segment, and the last record before it, if it was not the first of all.
    pub beginning: Option<(Epoch, Seq)>,
    /// State that was carried over the beginning, for [`crate::Engine::carry`].
    pub carried: Vec<Record>,
    /// How many records there are.
    pub records: u64,
    /// The youngest epoch; 0 if there is none.
    pub epoch: Epoch,
    /// Older segments are needed no more.
    pub oldest: u64,
    /// Those of them that are still there.
    pub left_over: Vec<u64>,
    /// Records of a later version, which were passed over.
    pub skipped: u64,
    /// The segments that are used.
    pub segments: Segments,
}

/// The log is damaged: the server does not start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// Where in it.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = segment::name(self.segment);
        write!(
            f,
            "{name} is damaged at byte {}: {}; nothing was changed. Bring the folder back from a copy, or start with \
             another one (--data) and keep this one for repair",
            self.offset, self.what
        )
    }
}

impl Recovery {
    /// Judges segments from `first` on; those before it are left over.
    #[must_use]
    pub fn from(first: u64) -> Recovery {
        Recovery { first, ..Recovery::default() }
    }

    /// Where the log begins, if segments before that were judged as well: they are left over, and all has to be judged again
    /// by [`Recovery::from`] that one on.
    #[must_use]
    pub fn begins_at(&self) -> Option<u64> {
        self.lowest.is_some_and(|lowest| lowest < self.oldest).then_some(self.oldest)
    }

    /// Takes the whole content of a segment's file. Segments come in the order of their ids.
    ///
    /// # Errors
    /// If it is damaged, or one before it is missing.
    pub fn receive(&mut self, id: u64, bytes: &[u8]) -> Result<(), Damage> {
        if id < self.first {
            self.left_over.push(id);
            return Ok(());
        }
        let damage = |offset, what: &str| Err(Damage { segment: id, offset, what: what.to_owned() });
        let head = match segment::parse(bytes, id) {
            segment::Found::Head(head) => head,
            segment::Found::Later => return damage(8, "a later version of offhook wrote it"),
            segment::Found::Nothing => {
                if group::scan(bytes.get(segment::HEAD_BYTES..).unwrap_or_default(), id, first_offset())
                    .is_some()
                {
                    return damage(0, "its head cannot be read, and there are records behind it");
                }
                self.unused.get_or_insert(id);
                return Ok(());
            }
        };
        self.follows(&head)?;
        if self.lowest.is_none() {
            self.lowest = Some(id);
            self.last = head.before_last;
            // The record that opened this epoch is no longer kept.
            self.beginning = (head.before_last > Seq(0)).then_some((head.epoch, head.before_last));
        }
        self.epoch = self.epoch.max(head.epoch);
        self.segments.open(id, self.last);
        self.doubtful = Doubtful { offset: 0, bytes: bytes[..segment::HEAD_BYTES].into() };
        let offset = self.groups(id, bytes)?;
        let rest = &bytes[offset as usize..];
        if let Some((at, later)) = group::scan(rest, id, offset) {
            let what = format!(
                "what follows record {} cannot be read, and record {} behind it, at byte {at}, shows that it was \
                 acknowledged",
                self.last, later.first
            );
            return damage(offset, &what);
        }
        self.torn = rest.iter().any(|byte| *byte != 0);
        self.end = Some(End { segment: id, offset });
        Ok(())
    }

    /// Whether a segment goes on where the one before it ended.
    fn follows(&self, head: &segment::Head) -> Result<(), Damage> {
        let damage = |segment, offset, what: String| Err(Damage { segment, offset, what });
        if let Some(unused) = self.unused {
            return damage(unused, 0, format!("it has no head, and {} follows it", segment::name(head.id)));
        }
        let Some(end) = self.end else { return Ok(()) };
        if head.id != end.segment + 1 {
            return damage(
                end.segment + 1,
                0,
                format!("it is missing, and {} is there", segment::name(head.id)),
            );
        }
        if (head.before_end, head.before_last) != (end.offset, self.last) {
            let what = format!(
                "it ends with record {}, and {} says that it ended at byte {} with record {}",
                self.last,
                segment::name(head.id),
                head.before_end,
                head.before_last
            );
            return damage(end.segment, end.offset, what);
        }
        Ok(())
    }

    /// Reads groups up to the first that is none; where that is.
    fn groups(&mut self, id: u64, bytes: &[u8]) -> Result<u64, Damage> {
        let mut offset = first_offset();
        let mut last = None;
        while let Some(group) = bytes.get(offset as usize..).and_then(|rest| group::parse(rest, id, offset)) {
            let damage = |what: String| Err(Damage { segment: id, offset, what });
            let head = group.head;
            if head.durable > self.last {
                let (durable, last) = (head.durable, self.last);
                return damage(format!(
                    "record {durable} was acknowledged, and record {last} is the last before it"
                ));
            }
            if head.oldest > id {
                // Believed, it would take this segment itself for one that is left over.
                let first = segment::name(head.oldest);
                return damage(format!("it says that the log begins with {first}, which comes after it"));
            }
            for record in group.records() {
                let Ok((seq, _, record)) = record else {
                    return damage(format!("a record after {} makes no sense", self.last));
                };
                if seq <= self.last {
                    return damage(format!("record {seq} follows record {}", self.last));
                }
                self.last = seq;
                match record {
                    None => self.skipped += 1,
                    Some(record) => {
                        self.records += 1;
                        self.segments.wrote_at(record.header.wall);
                        self.note(record);
                    }
                }
            }
            self.oldest = self.oldest.max(head.oldest);
            let first = (head.count > 0).then_some(head.first);
            self.segments.synced(first, self.last, offset, offset + group.size());
            last = Some(offset);
            offset += group.size();
        }
        let end = offset.min(bytes.len() as u64);
        if let Some(offset) = last {
            self.doubtful = Doubtful { offset, bytes: bytes[offset as usize..end as usize].into() };
        }
        Ok(end)
    }

    fn note(&mut self, record: Record) {
        let before = self.beginning.map(|(_, before)| before);
        match &record.body {
            Body::Epoch { epoch, .. } => self.epoch = self.epoch.max(*epoch),
            Body::Carried { through, .. } if Some(*through) == before => self.carried.push(record),
            Body::Carried { .. }
            | Body::Event(_)
            | Body::Repeat { .. }
            | Body::Change(..)
            | Body::Retire { .. }
            | Body::Retired { .. } => {}
        }
    }

    /// All segments were there.
    ///
    /// # Errors
    /// If the first ones are missing.
    pub fn finish(self) -> Result<Recovered, Damage> {
        if let Some(lowest) = self.lowest
            && lowest > self.oldest.max(1)
        {
            let (segment, what) =
                (self.oldest.max(1), format!("it is missing, and {} is there", segment::name(lowest)));
            return Err(Damage { segment, offset: 0, what });
        }
        Ok(Recovered {
            end: self.end,
            torn: self.torn,
            doubtful: self.doubtful,
            last: self.last,
            beginning: self.beginning,
            carried: self.carried,
            records: self.records,
            epoch: self.epoch,
            oldest: self.oldest.max(1),
            left_over: self.left_over,
            skipped: self.skipped,
            segments: self.segments,
        })
    }
}

/// The records of a segment that was judged sound, whose groups end at `end`.
pub fn records(id: u64, bytes: &[u8], end: u64) -> impl Iterator<Item = Numbered> {
    groups_from(id, bytes, first_offset(), end).flat_map(|group| {
        group.records().filter_map(|record| {
            let (seq, _, record) = record.ok()?;
            Some((seq, Arc::new(record?)))
        })
    })
}

/// The sound groups of `bytes`, which are the start of a segment, from `offset` on and before `end`.
fn groups_from(id: u64, bytes: &[u8], mut offset: u64, end: u64) -> impl Iterator<Item = group::Group<'_>> {
    std::iter::from_fn(move || {
        let rest = bytes.get(offset as usize..).filter(|_| offset < end)?;
        let group = group::parse(rest, id, offset)?;
        offset += group.size();
        Some(group)
    })
}

const fn first_offset() -> u64 {
    segment::HEAD_BYTES as u64
}

#[cfg(test)]
mod tests;
