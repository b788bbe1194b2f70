//! Retention: segments that are too old, or too many, go after the live state that stands in them alone was said again. The
//! log asks for that with a passing record; every engine says again what it owns and answers with a passing record of
//! its own. When all have answered, what they said stands before the answers, and the segments may go.
//!
//! Saying it again costs as many bytes as there is live state. So all segments that are to go leave together, and the next
//! ones when as much new has come as was said again for these: the log stays below what is to be kept and twice the live
//! state, and writes at most twice what it is given. Without anything new, age alone lets segments go: half as often, and
//! with all that was said again for the ones before.

use std::collections::BTreeSet;

use super::record::{Actor, Body, Header, Origin, Record, VERSION};
use super::segments::{Retain, Segments};
use crate::ground::id::{Seq, ShardId};
use crate::ground::time::Wall;

/// At most one run of segments is on its way out.
#[derive(Debug)]
pub struct Retention {
    shards: u16,
    leaving: Option<Leaving>,
    /// Bytes, roughly, of what came anew since a segment was asked to leave, and of what was said again for it.
    fresh_bytes: u64,
    again_bytes: u64,
    /// The last record that was said again.
    again_through: Seq,
}

#[derive(Debug)]
struct Leaving {
    /// The last of them.
    segment: u64,
    through: Seq,
    missing: BTreeSet<ShardId>,
}

impl Retention {
    /// Nothing leaves.
    #[must_use]
    pub fn new(shards: u16) -> Retention {
        Retention { shards, leaving: None, fresh_bytes: 0, again_bytes: 0, again_through: Seq(0) }
    }

    /// The record to be appended, if segments are to leave.
    pub fn ask(&mut self, segments: &Segments, wall: Wall, retain: Retain) -> Option<Record> {
        if self.leaving.is_some() {
            return None;
        }
        let pays = self.fresh_bytes >= self.again_bytes;
        let age_ms = retain.age_ms.saturating_mul(if pays { 1 } else { 2 });
        let aged = segments.aged(wall, age_ms).filter(|used| pays || used.last >= self.again_through);
        let excess = segments.excess(retain, self.again_bytes).filter(|_| pays);
        let oldest = aged.into_iter().chain(excess).max_by_key(|used| used.id)?;
        (self.fresh_bytes, self.again_bytes) = (0, 0);
        let missing = (0..self.shards).map(ShardId).collect();
        let through = oldest.last;
        self.leaving = Some(Leaving { segment: oldest.id, through, missing });
        let header = Header { version: VERSION, wall, actor: Actor::Server("log"), trace: None, kept: false };
        Some(Record { header, origin: Origin::NOBODY, body: Body::Retire { through } })
    }

    /// A record was appended under this number. When it is the last answer: the oldest segment that is still needed.
    pub fn appended(&mut self, seq: Seq, record: &Record) -> Option<u64> {
        match &record.body {
            Body::Carried { change, .. } => {
                self.again_bytes += change.len() as u64;
                self.again_through = seq;
            }
            Body::Change(_, change) => self.fresh_bytes += change.len() as u64,
            Body::Event(event) => self.fresh_bytes += event.bytes(),
            Body::Repeat { .. } | Body::Epoch { .. } | Body::Retire { .. } | Body::Retired { .. } => {}
        }
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
    use crate::event::{Data, Event};

    fn event() -> Event {
        Event {
            id: "1".into(),
            id_given: true,
            source: "s".into(),
            event_type: "t".into(),
            subject: None,
            time: "2026-01-01T00:00:00Z".into(),
            wall: Wall(0),
            content_type: None,
            schema: None,
            extensions: Vec::new(),
            data: Data::None,
        }
    }

    #[test]
    fn live_state_beyond_the_size_is_not_said_again_for_ever() {
        let mut segments = Segments::default();
        let open = |segments: &mut Segments, id| {
            segments.open(id, Seq(id));
            segments.synced(Some(Seq(id + 1)), Seq(id + 1), 64, 128);
        };
        (1..=4).for_each(|id| open(&mut segments, id));
        let retain = Retain { age_ms: 500, bytes: 2_000, segment_bytes: 1_000 };
        let mut retention = Retention::new(1);
        let header =
            Header { version: VERSION, wall: Wall(0), actor: Actor::Server("log"), trace: None, kept: true };
        let append = |retention: &mut Retention, seq, body| {
            retention.appended(Seq(seq), &Record { header: header.clone(), origin: Origin::NOBODY, body })
        };
        let change = |bytes: usize| vec![0; bytes].into_boxed_slice();
        // Which segments are left after one look, when 3,000 bytes of live state are said again, as record 9.
        let look = |retention: &mut Retention, segments: &mut Segments, wall| {
            if let Some(asked) = retention.ask(segments, Wall(wall), retain) {
                let Body::Retire { through } = asked.body else { panic!("it asks for that") };
                append(retention, 9, Body::Carried { through, part: "sep", change: change(3_000) });
                let left = append(retention, 10, Body::Retired { through, shard: ShardId(0) });
                segments.forget_before(left.unwrap());
            }
            segments.iter().map(|used| used.id).collect::<Vec<_>>()
        };
        assert_eq!(look(&mut retention, &mut segments, 0), [3, 4], "as many as are too many");
        (5..=7).for_each(|id| open(&mut segments, id));
        assert_eq!(look(&mut retention, &mut segments, 0), [3, 4, 5, 6, 7], "nothing new has come");
        let event = event();
        let bytes = event.bytes() as usize;
        append(&mut retention, 8, Body::Event(event.into()));
        append(&mut retention, 8, Body::Change("sep", change(2_999 - bytes)));
        assert_eq!(look(&mut retention, &mut segments, 0), [3, 4, 5, 6, 7]);
        append(&mut retention, 8, Body::Change("sep", change(1)));
        assert_eq!(look(&mut retention, &mut segments, 0), [7], "the live state alone is too much");
        open(&mut segments, 8);
        assert_eq!(look(&mut retention, &mut segments, 999), [7, 8], "old, and nothing new has come");
        assert_eq!(
            look(&mut retention, &mut segments, 1_000),
            [7, 8],
            "it would be said again for these alone"
        );
        open(&mut segments, 9);
        assert_eq!(look(&mut retention, &mut segments, 999), [7, 8, 9]);
        assert_eq!(look(&mut retention, &mut segments, 1_000), [9], "very old, and all that was said again");
    }

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
        assert_eq!(retention.appended(Seq(10), &answer(9, 1)), None);
        assert_eq!(retention.appended(Seq(11), &answer(9, 1)), None);
        assert_eq!(retention.appended(Seq(12), &answer(8, 0)), None);
        assert_eq!(retention.appended(Seq(13), &asked), None);
        assert_eq!(retention.appended(Seq(14), &answer(9, 0)), Some(5));
    }
}
