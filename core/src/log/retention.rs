//! Retention: a segment that is too old goes, after the live state that stands in it alone was said again. The log asks
//! for that with a passing record; every engine says again what it owns and answers with a passing record of its own.
//! When all have answered, what they said stands before the answers, and the segment may go.

use std::collections::BTreeSet;

use super::record::{Actor, Body, Header, Origin, Record, VERSION};
use super::segments::{Retain, Segments};
use crate::ground::id::{Seq, ShardId};
use crate::ground::time::Wall;

/// At most one segment is on its way out.
#[derive(Debug)]
pub struct Retention {
    shards: u16,
    leaving: Option<Leaving>,
}

#[derive(Debug)]
struct Leaving {
    segment: u64,
    through: Seq,
    missing: BTreeSet<ShardId>,
}

impl Retention {
    /// Nothing leaves.
    #[must_use]
    pub fn new(shards: u16) -> Retention {
        Retention { shards, leaving: None }
    }

    /// The record to be appended, if a segment is to leave.
    pub fn ask(&mut self, segments: &Segments, wall: Wall, retain: Retain) -> Option<Record> {
        if self.leaving.is_some() {
            return None;
        }
        let oldest = segments.overdue(wall, retain)?;
        let missing = (0..self.shards).map(ShardId).collect();
        let through = oldest.last;
        self.leaving = Some(Leaving { segment: oldest.id, through, missing });
        let header = Header { version: VERSION, wall, actor: Actor::Server("log"), trace: None, kept: false };
        Some(Record { header, origin: Origin::NOBODY, body: Body::Retire { through } })
    }

    /// A record was appended. When it is the last answer: the oldest segment that is still needed.
    pub fn appended(&mut self, record: &Record) -> Option<u64> {
        let Body::Retired { through, shard } = &record.body else { return None };
        let leaving = self.leaving.as_mut().filter(|leaving| leaving.through == *through)?;
        leaving.missing.remove(shard);
        if !leaving.missing.is_empty() {
            return None;
        }
        let oldest = leaving.segment + 1;
        self.leaving = None;
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_leaves_when_all_shards_have_answered() {
        let mut segments = Segments::default();
        segments.open(4, Seq(0));
        segments.synced(Some(Seq(1)), Seq(9), 64, 128);
        segments.open(5, Seq(9));
        let retain = Retain { age_ms: 10, bytes: 1 << 30, segment_bytes: 1 << 20 };
        let mut retention = Retention::new(2);
        let asked = retention.ask(&segments, Wall(20), retain).unwrap();
        assert!(matches!(asked.body, Body::Retire { through: Seq(9) }) && !asked.header.kept);
        assert!(retention.ask(&segments, Wall(20), retain).is_none(), "one at a time");
        let answer = |through, shard| {
            let body = Body::Retired { through: Seq(through), shard: ShardId(shard) };
            Record { body, ..asked.clone() }
        };
        assert_eq!(retention.appended(&answer(9, 1)), None);
        assert_eq!(retention.appended(&answer(9, 1)), None);
        assert_eq!(retention.appended(&answer(8, 0)), None);
        assert_eq!(retention.appended(&asked), None);
        assert_eq!(retention.appended(&answer(9, 0)), Some(5));
    }
}
