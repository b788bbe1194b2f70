//! For tests: files in memory, which lose what was not synced when the power goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::encode::PARTS;
use super::record::{Actor, Body, Header, Origin, Record, VERSION};
use super::recovery::{Damage, Recovered, Recovery, records};
use super::writer::{Bounds, Operation, Outcome, Writer};
use crate::ground::id::{Epoch, Seq};
use crate::ground::time::Wall;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// All files, by segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) files: BTreeMap<u64, Vec<u8>>,
    /// What was written and not synced: segment, offset, and what stood there before.
    pub(super) unsynced: Vec<(u64, usize, Vec<u8>)>,
}

/// A change that is kept.
pub(super) fn change(content: &[u8]) -> Arc<Record> {
    let header =
        Header { version: VERSION, wall: Wall(1), actor: Actor::Server("log"), trace: None, kept: true };
    Arc::new(Record { header, origin: Origin::NOBODY, body: Body::Change(PARTS[0], content.into()) })
}

impl Disk {
    /// Recovers, and writes on in the epoch that follows.
    pub(super) fn start(&mut self, segment_bytes: u64, group_bytes: u64) -> Writer {
        let recovered = self.recover().expect("the disk is sound");
        if let Some(end) = recovered.end.filter(|_| recovered.torn) {
            self.files.get_mut(&end.segment).unwrap()[end.offset as usize..].fill(0);
        }
        let epoch = Epoch(recovered.epoch.0 + 1);
        Writer::new(Bounds { segment_bytes, group_bytes }, epoch, recovered)
    }

    pub(super) fn recover(&self) -> Result<Recovered, Damage> {
        let mut recovery = Recovery::default();
        loop {
            for (id, bytes) in &self.files {
                recovery.receive(*id, bytes)?;
            }
            let Some(first) = recovery.begins_at() else { return recovery.finish() };
            recovery = Recovery::from(first);
        }
    }

    /// What the changes on the disk say, with their numbers.
    pub(super) fn read(&self) -> Result<Vec<(u64, Vec<u8>)>, Damage> {
        let recovered = self.recover()?;
        let all =
            recovered.segments.iter().flat_map(|used| records(used.id, &self.files[&used.id], used.end));
        Ok(all
            .filter_map(|(seq, record)| match &record.body {
                Body::Change(_, content) => Some((seq.0, content.to_vec())),
                Body::Event(_)
                | Body::Repeat { .. }
                | Body::Carried { .. }
                | Body::Epoch { .. }
                | Body::Retire { .. }
                | Body::Retired { .. } => None,
            })
            .collect())
    }

    /// Carries out one operation; `false` if there is none.
    pub(super) fn step(&mut self, writer: &mut Writer) -> bool {
        let Some(operation) = writer.operation() else { return false };
        match operation {
            Operation::Create { segment, bytes, head } => {
                let mut file = vec![0; bytes as usize];
                file[..head.len()].copy_from_slice(&head);
                self.files.insert(segment, file);
            }
            Operation::Write { segment, offset, bytes } => {
                let place = offset as usize..offset as usize + bytes.len();
                let there = &mut self.files.get_mut(&segment).unwrap()[place];
                self.unsynced.push((segment, offset as usize, there.to_vec()));
                there.copy_from_slice(bytes);
            }
            Operation::Sync { .. } => self.unsynced.clear(),
            Operation::Delete { segment } => assert!(self.files.remove(&segment).is_some()),
        }
        writer.done(Outcome::Done);
        true
    }

    pub(super) fn run(&mut self, writer: &mut Writer) {
        while self.step(writer) {}
    }

    /// The power goes: of what was not synced, the sectors stay that `stays` names.
    pub(super) fn crash(&mut self, mut stays: impl FnMut() -> bool) {
        for (segment, offset, before) in std::mem::take(&mut self.unsynced) {
            let file = self.files.get_mut(&segment).unwrap();
            let end = offset + before.len();
            for sector in offset / SECTOR..end.div_ceil(SECTOR) {
                let (from, to) = ((sector * SECTOR).max(offset), ((sector + 1) * SECTOR).min(end));
                if !stays() {
                    file[from..to].copy_from_slice(&before[from - offset..to - offset]);
                }
            }
        }
    }

    /// A small log of `count` changes in groups of one, closed or not.
    pub(super) fn with(count: u8, closed: bool) -> Disk {
        let mut disk = Disk::default();
        let mut writer = disk.start(4_096, 1);
        for n in 1..=count {
            writer.append(Seq(u64::from(n)), &[change(&[n; 30])]);
            disk.run(&mut writer);
        }
        if closed {
            writer.mark();
            disk.run(&mut writer);
        }
        disk
    }
}
