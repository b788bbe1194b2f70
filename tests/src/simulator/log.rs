//! The log of the simulated server: the order, and the writer over the simulated disk, as the sequencer and the threads of
//! the binaries do it. Each operation of the disk takes its time.

use std::sync::Arc;

use offhook_core::log::read::Read;
use offhook_core::log::record::{Body, Record};
use offhook_core::log::recovery::{Recovered, records};
use offhook_core::log::retention::Retention;
use offhook_core::log::segments::{Retain, Segments};
use offhook_core::log::writer::{Bounds, Operation, Outcome, Writer};
use offhook_core::{Completion, Epoch, Seq};

use super::sabotage::Sabotage;
use super::server::{Batch, Mail, Shard, shown};
use super::swarm::Swarm;
use super::world::{Wake, World};

/// Order and writer of one life.
#[derive(Debug)]
pub(super) struct Log {
    next: Seq,
    queue: Vec<(Seq, Batch)>,
    pub(super) writer: Writer,
    retention: Retention,
    retain: Retain,
    segments: Segments,
    /// The record that opened the epoch.
    opening: Seq,
    told: Seq,
    told_full: bool,
    /// An operation is under way.
    busy: bool,
}

impl Log {
    pub(super) fn new(swarm: &Swarm, epoch: Epoch, recovered: Recovered) -> Log {
        let limits = &swarm.config.limits;
        let bounds = Bounds { segment_bytes: limits.log_segment_bytes, group_bytes: limits.log_group_bytes };
        let retain = Retain {
            age_ms: swarm.config.log.retain_ms,
            bytes: swarm.config.log.retain_bytes,
            segment_bytes: limits.log_segment_bytes,
        };
        Log {
            next: recovered.last.next(),
            queue: Vec::new(),
            retention: Retention::new(swarm.shards),
            retain,
            segments: recovered.segments.clone(),
            opening: recovered.last.next(),
            told: recovered.last,
            told_full: false,
            busy: false,
            writer: Writer::new(bounds, epoch, recovered),
        }
    }

    /// Whether its epoch is durable: nobody is served before.
    pub(super) fn is_open(&self) -> bool {
        self.told >= self.opening
    }

    /// Whether an operation is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    fn gather(&mut self) {
        for (first, batch) in std::mem::take(&mut self.queue) {
            self.writer.append(first, &batch);
            // What was carried stands before the last answer, so it is appended by now.
            for (seq, record) in (first.0..).map(Seq).zip(batch.iter()) {
                if let Some(oldest) = self.retention.appended(seq, record) {
                    self.writer.retire_before(oldest);
                }
            }
        }
    }
}

impl World {
    /// Reads the folder as a start does. Whoever finds a bit that flipped brings the folder back from a copy; a start may
    /// die over the erasing of a torn end.
    pub(super) fn recover(&mut self) -> Option<(Recovered, Epoch)> {
        self.flip_a_bit();
        let recovered = match self.disk.recover() {
            Ok(recovered) => {
                assert!(self.flipped.is_none(), "a bit flipped at {:?}, and nobody noticed", self.flipped);
                recovered
            }
            Err(damage) => {
                let (segment, offset, bit) =
                    self.flipped.take().unwrap_or_else(|| panic!("refused to start: {damage}"));
                self.disk.flip(segment, offset, bit);
                self.counts.flips += 1;
                self.wake_at(self.now.mono.0 + 10, Wake::Start);
                return None;
            }
        };
        if let Some(end) = recovered.end.filter(|_| recovered.torn) {
            self.counts.torn += 1;
            let dies = self.faults().kill_ms.is_some() && self.rng.below(4) == 0;
            let through = dies.then(|| end.offset + self.rng.below(4_096));
            self.disk.erase(end.segment, end.offset, through);
            if dies {
                self.wake_at(self.now.mono.0 + 10, Wake::Start);
                return None;
            }
        }
        let epoch = Epoch(self.now.wall.0.max(recovered.epoch.0 + 1));
        let before = recovered.beginning.map_or(Seq(0), |(_, before)| before);
        self.books.recovered(before, recovered.last, epoch);
        let now = self.now.mono.0;
        self.trace.line(|| format!("{now} starts, epoch {epoch:?}, with records up to {}", recovered.last));
        Some((recovered, epoch))
    }

    /// Every engine gets what the folder holds.
    pub(super) fn feed(&mut self, shards: &mut [Shard], recovered: &Recovered) {
        let now = self.now;
        let skips = self.sabotages(Sabotage::ForgetALastRecord);
        let disk = &self.disk;
        for (at, shard) in shards.iter_mut().enumerate() {
            if let Some((epoch, before)) = recovered.beginning {
                shard.engine.recover(now, before, &Arc::new(Record::of_epoch(epoch, before)));
                for record in &recovered.carried {
                    shard.engine.carry(now, record);
                }
            }
            for used in recovered.segments.iter() {
                let bytes = disk.file(used.id).unwrap_or_default();
                for (seq, record) in records(used.id, bytes, used.end) {
                    if !(skips && at == 0 && seq == recovered.last) {
                        shard.engine.recover(now, seq, &record);
                    }
                }
            }
        }
    }

    /// Numbers records and hands them to all engines.
    pub(super) fn append(&mut self, by: Option<usize>, records: Vec<Record>) {
        let Some(server) = &mut self.server else { return };
        let batch: Batch = records.into_iter().map(Arc::new).collect();
        let first = server.log.next;
        server.log.next = Seq(first.0 + batch.len() as u64);
        for (record, seq) in batch.iter().zip(first.0..) {
            self.books.appended(Seq(seq), record);
            let now = self.now.mono.0;
            self.trace.line(|| format!("{now} record {seq} of {by:?}: {}", said(record)));
        }
        server.log.queue.push((first, Arc::clone(&batch)));
        let shards = server.shards.len();
        self.trace.note(&[5, self.now.mono.0, first.0, batch.len() as u64], &[]);
        let loses = self.sabotages(Sabotage::LoseARecordOfAnotherShard);
        for shard in 0..shards {
            if Some(shard) != by && !(loses && by.is_some()) {
                self.mail(shard, Mail::Records(first, Arc::clone(&batch)));
            }
        }
        if let Some(by) = by {
            self.take_mail(by);
            let now = self.now;
            let engine = self.engine(by);
            for (record, seq) in batch.iter().zip(first.0..) {
                engine.receive_record(now, Seq(seq), record);
            }
        }
        self.drive_log();
    }

    /// Begins the disk's next operation, if there is one to be done and none is under way.
    pub(super) fn drive_log(&mut self) {
        let Some(server) = &mut self.server else { return };
        let log = &mut server.log;
        if log.busy {
            return;
        }
        log.gather();
        if log.writer.operation().is_none() {
            return self.tell_durable();
        }
        log.busy = true;
        let at = self.now.mono.0 + self.rng.below(self.swarm.disk_ms + 1);
        self.wake_at(at, Wake::Disk { life: self.life });
    }

    /// The operation that is under way is done, or fails.
    pub(super) fn disk_done(&mut self) {
        let skips = self.sabotages(Sabotage::SkipASync);
        let World { server: Some(server), disk, .. } = self else { return };
        let log = &mut server.log;
        log.busy = false;
        let Some(operation) = log.writer.operation() else { return };
        let is_sync = matches!(operation, Operation::Sync { .. });
        let takes_room = matches!(operation, Operation::Create { .. } | Operation::Write { .. });
        if self.disk_fails && !matches!(operation, Operation::Delete { .. }) {
            self.disk_fails = false;
            match operation {
                Operation::Sync { segment } => disk.fail_sync(segment),
                Operation::Create { .. } | Operation::Write { .. } | Operation::Delete { .. } => {
                    disk.interrupt(operation, &mut self.rng);
                }
            }
            self.counts.disk_faults += 1;
            // What became of the records is unknown: the process ends.
            return self.end_life(false);
        }
        if self.disk_full && takes_room {
            log.writer.done(Outcome::NoSpace);
            self.tell_durable();
            let at = self.now.mono.0 + 1_000;
            return self.wake_at(at, Wake::LogRetry { life: self.life });
        }
        if !(skips && is_sync) {
            disk.carry_out(operation);
        }
        log.writer.done(Outcome::Done);
        if is_sync {
            log.gather();
        }
        log.segments.follow(log.writer.segments());
        self.tell_durable();
        self.retire();
        self.drive_log();
        self.try_to_end();
    }

    /// A segment that is too old goes, once what still counts of it was said again.
    pub(super) fn retire(&mut self) {
        let wall = self.now.wall;
        let Some(server) = &mut self.server else { return };
        let log = &mut server.log;
        if let Some(record) = log.retention.ask(log.writer.segments(), wall, log.retain) {
            self.counts.retired += 1;
            self.append(None, vec![record]);
        }
    }

    fn tell_durable(&mut self) {
        let early = self.sabotages(Sabotage::AcknowledgeBeforeTheSync);
        let serves_early = self.is_sabotaged(Sabotage::ServeBeforeTheEpoch);
        let Some(server) = &mut self.server else { return };
        let log = &mut server.log;
        let mut durable = log.writer.durable();
        if early {
            durable = Seq(log.next.0 - 1);
        }
        let full = log.writer.is_full();
        let is_news = durable > log.told;
        let may_serve = serves_early || durable >= log.opening;
        if may_serve {
            self.books.opened();
        }
        let full_news = full != log.told_full;
        let begins = !log.is_open() && may_serve;
        (log.told, log.told_full) = (durable.max(log.told), full);
        let shards = server.shards.len();
        if begins {
            self.begin();
        }
        for shard in 0..shards {
            if is_news {
                self.mail(shard, Mail::Completion(Completion::Durable(durable)));
            }
            if full_news {
                self.mail(shard, Mail::Completion(Completion::Full(full)));
            }
        }
    }

    /// Records that an engine asked for.
    pub(super) fn read_log(&mut self, shard: usize, ticket: u64, from: Seq, bytes: u64) {
        let World { server: Some(server), disk, .. } = self else { return };
        let segments = &server.log.segments;
        let mut read = Read::new(from, bytes);
        while let Some(next) = read.next()
            && let Some(start) = segments.find(next)
        {
            let file = disk.file(start.segment).expect("a segment that is used is there");
            let bytes = &file[start.offset as usize..start.end as usize];
            let used = read.receive(start.segment, start.offset, bytes);
            assert!(used == bytes.len() as u64 || read.next().is_none(), "what was synced can be read");
            if read.next().is_some() {
                let used = segments.iter().find(|used| used.id == start.segment);
                read.skip_to(used.map_or(Seq(u64::MAX), |used| used.last.next()));
            }
        }
        let start = segments.iter().next().map_or(from, |oldest| oldest.before.next());
        let done = Completion::Read { ticket, start, records: read.into_records() };
        self.mail(shard, Mail::Completion(done));
    }

    /// Whether the log has written all that it was given; if it has not, it goes on.
    pub(super) fn log_is_idle(&mut self) -> bool {
        let Some(server) = &mut self.server else { return true };
        !server.log.busy && server.log.queue.is_empty() && server.log.writer.operation().is_none()
    }
}

/// A record for a trace.
fn said(record: &Record) -> String {
    if let Body::Change(part, change) = &record.body {
        return format!("{part} {}", shown(change));
    }
    if let Body::Carried { through, part, change } = &record.body {
        return format!("{part}, carried over {through}: {}", shown(change));
    }
    let mut text = format!("{:?}", record.body).into_bytes();
    text.truncate(200);
    shown(&text)
}
