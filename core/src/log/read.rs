//! Records read back while the log goes on: what stands from a number on, up to a number of bytes. No file here.

use std::sync::Arc;

use super::recovery::Numbered;
use super::{group, segment};
use crate::ground::id::Seq;

/// A read under way. Its user looks up a [`super::segments::Start`], hands over bytes from there on, and looks again with
/// [`Read::next`] when the segment ends.
#[derive(Debug)]
pub struct Read {
    from: Seq,
    room: u64,
    records: Vec<Numbered>,
}

impl Read {
    /// Looks for records from `from` on, `bytes` of them and at least one.
    #[must_use]
    pub fn new(from: Seq, bytes: u64) -> Read {
        Read { from, room: bytes.max(1), records: Vec::new() }
    }

    /// Takes bytes that stand at `offset` of a segment, and says how many of them were used. With 0 more are needed, as
    /// many as [`group::size`] says, or the rest is none of ours.
    pub fn receive(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> u64 {
        debug_assert!(offset >= segment::HEAD_BYTES as u64, "groups stand behind the segment's head");
        let mut used = 0;
        while self.room > 0
            && let Some(group) =
                bytes.get(used as usize..).and_then(|b| group::parse(b, segment, offset + used))
        {
            for (seq, size, record) in group.records().map_while(Result::ok) {
                if seq < self.from || self.room == 0 {
                    continue;
                }
                self.from = seq.next();
                self.room = self.room.saturating_sub(size as u64);
                if let Some(record) = record {
                    self.records.push((seq, Arc::new(record)));
                }
            }
            used += group.size();
        }
        used
    }

    /// The record that is looked for next; `None`: it is enough.
    #[must_use]
    pub fn next(&self) -> Option<Seq> {
        (self.room > 0).then_some(self.from)
    }

    /// The segment that was read holds nothing more: goes on behind its last record.
    pub fn skip_to(&mut self, from: Seq) {
        self.from = self.from.max(from);
    }

    /// What was found.
    #[must_use]
    pub fn into_records(self) -> Vec<Numbered> {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Disk, change};
    use super::*;

    #[test]
    fn enough_is_enough() {
        let disk = Disk::with(3, true);
        let groups = &disk.files[&1][segment::HEAD_BYTES..];
        let first = group::size(groups).unwrap();
        let mut read = Read::new(Seq(1), 1);
        assert_eq!((read.next(), read.receive(1, segment::HEAD_BYTES as u64, groups)), (Some(Seq(1)), first));
        assert_eq!((read.next(), read.into_records().len()), (None, 1));
    }

    #[test]
    fn goes_on_behind_a_segment_without_anything_more() {
        let mut read = Read::new(Seq(3), 1);
        for (last, next) in [(9, 9), (1, 9)] {
            read.skip_to(Seq(last));
            assert_eq!(read.next(), Some(Seq(next)));
        }
    }

    #[test]
    fn reads_from_a_number_on_in_steps_and_over_segments() {
        let mut disk = Disk::default();
        let mut writer = disk.start(2_000, 100);
        for n in 0..100 {
            writer.append(Seq(1 + n * 2), &[change(&[n as u8; 40])]);
            disk.run(&mut writer);
        }
        assert!(writer.segments().iter().count() > 3);
        for (from, bytes, wanted) in [(0, 1, 1..2), (4, 1, 5..6), (5, 1_000_000, 5..200), (200, 10, 0..0)] {
            let mut read = Read::new(Seq(from), bytes);
            while let Some(next) = read.next()
                && let Some(start) = writer.segments().find(next)
            {
                let file = &disk.files[&start.segment][start.offset as usize..start.end as usize];
                // As little at a time as will do.
                let mut at = 0;
                while let Some(size) = file.get(at..).and_then(group::size) {
                    let used =
                        read.receive(start.segment, start.offset + at as u64, &file[at..at + size as usize]);
                    if used == 0 {
                        break;
                    }
                    at += used as usize;
                }
                let last = writer.segments().iter().find(|used| used.id == start.segment).unwrap().last;
                read.skip_to(if read.next().is_some() { last.next() } else { Seq(0) });
            }
            let found: Vec<u64> = read.into_records().iter().map(|(seq, _)| seq.0).collect();
            assert_eq!(found, wanted.filter(|n| n % 2 == 1).collect::<Vec<_>>(), "{from} {bytes}");
        }
    }
}
