//! A disk that does what disks may do, and no more: what was not synced is gone after a power cut, sector by sector; a
//! write under way is torn anywhere; a sync that failed has made nothing durable, and a later one does not make up for
//! it, although what was written can still be read. It fills up, and it flips bits.
//!
//! No time here: how long an operation takes is the world's affair.

use std::collections::BTreeMap;

use offhook_core::ground::rng::Rng;
use offhook_core::log::group;
use offhook_core::log::recovery::{Damage, Recovered, Recovery};
use offhook_core::log::segment::HEAD_BYTES;
use offhook_core::log::writer::Operation;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Bytes of a file that may be gone after a power cut, and what stands there then.
#[derive(Clone, Debug)]
struct Undo {
    segment: u64,
    offset: usize,
    before: Vec<u8>,
}

/// The files of one folder.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: BTreeMap<u64, Vec<u8>>,
    /// Written, and not synced.
    unsynced: Vec<Undo>,
    /// Written, and a sync of it has failed.
    doubtful: Vec<Undo>,
}

impl Disk {
    /// An operation is carried out.
    pub fn carry_out(&mut self, operation: Operation<'_>) {
        match operation {
            Operation::Create { segment, bytes, head } => {
                let file = self.files.entry(segment).or_default();
                file.resize(file.len().max(bytes as usize), 0);
                file[..HEAD_BYTES].copy_from_slice(&head);
            }
            Operation::Write { segment, offset, bytes } => self.write(segment, offset as usize, bytes),
            Operation::Sync { segment } => self.unsynced.retain(|undo| undo.segment != segment),
            Operation::Delete { segment } => drop(self.files.remove(&segment)),
        }
    }

    fn write(&mut self, segment: u64, offset: usize, bytes: &[u8]) {
        let file = self.files.get_mut(&segment).expect("what is written to was made before");
        let there = &mut file[offset..offset + bytes.len()];
        self.unsynced.push(Undo { segment, offset, before: there.to_vec() });
        there.copy_from_slice(bytes);
        // What is written anew is synced anew.
        let end = offset + bytes.len();
        let is_covered = |undo: &Undo| {
            undo.segment == segment && undo.offset >= offset && undo.offset + undo.before.len() <= end
        };
        self.doubtful.retain(|undo| !is_covered(undo));
    }

    /// A sync fails: the kernel has forgotten which pages were dirty.
    pub fn fail_sync(&mut self, segment: u64) {
        let (failed, rest) =
            std::mem::take(&mut self.unsynced).into_iter().partition(|u| u.segment == segment);
        self.unsynced = rest;
        self.doubtful.extend::<Vec<Undo>>(failed);
    }

    /// The process dies in the middle of an operation; the kernel goes on with what it was given.
    pub fn interrupt(&mut self, operation: Operation<'_>, rng: &mut Rng) {
        match operation {
            Operation::Create { segment, bytes, .. } => match rng.below(4) {
                0 => {}
                1 => drop(self.files.entry(segment).or_default()),
                2 => {
                    let length = rng.below(bytes + 1) as usize;
                    let file = self.files.entry(segment).or_default();
                    file.resize(file.len().max(length), 0);
                }
                _ => self.carry_out(operation),
            },
            Operation::Write { segment, offset, bytes } => {
                let part = rng.below(bytes.len() as u64 + 1) as usize;
                self.write(segment, offset as usize, &bytes[..part]);
            }
            Operation::Sync { .. } | Operation::Delete { .. } => {
                if rng.below(2) == 0 {
                    self.carry_out(operation);
                }
            }
        }
    }

    /// The power goes: of what was not synced, any sectors stay.
    pub fn cut_power(&mut self, rng: &mut Rng) {
        // Mostly all or nothing, for those are the edges; else each sector for itself.
        let manner = rng.below(4);
        let undos: Vec<Undo> = self.doubtful.drain(..).chain(self.unsynced.drain(..)).collect();
        for Undo { segment, offset, before } in undos.into_iter().rev() {
            let Some(file) = self.files.get_mut(&segment) else { continue };
            let end = offset + before.len();
            for sector in offset / SECTOR..end.div_ceil(SECTOR) {
                let stays = match manner {
                    0 => true,
                    1 => false,
                    _ => rng.below(2) == 0,
                };
                if !stays {
                    let (from, to) = ((sector * SECTOR).max(offset), ((sector + 1) * SECTOR).min(end));
                    file[from..to].copy_from_slice(&before[from - offset..to - offset]);
                }
            }
        }
    }

    /// What a start makes of the files.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn recover(&self) -> Result<Recovered, Damage> {
        let mut recovery = Recovery::default();
        loop {
            for (id, bytes) in &self.files {
                recovery.receive(*id, bytes)?;
            }
            let Some(first) = recovery.begins_at() else { return recovery.finish() };
            recovery = Recovery::from(first);
        }
    }

    /// A torn end is erased, and that is synced; or part of it is, if the process dies over it.
    pub fn erase(&mut self, segment: u64, from: u64, through: Option<u64>) {
        let file = self.files.get_mut(&segment).expect("the last segment is there");
        let (from, end) = (from as usize, file.len());
        let through = through.map_or(end, |through| (through as usize).clamp(from, end));
        let zeroes = vec![0; through - from];
        self.write(segment, from, &zeroes);
        if through == end {
            self.unsynced.retain(|undo| undo.segment != segment);
        }
    }

    /// A segment's file.
    #[must_use]
    pub fn file(&self, segment: u64) -> Option<&[u8]> {
        self.files.get(&segment).map(Vec::as_slice)
    }

    /// Where a bit can flip so that the next start must see it: in all heads, and in all groups but the last one, of which
    /// nothing behind it says that it was durable.
    #[must_use]
    pub fn sound_bytes(&self, recovered: &Recovered) -> Vec<(u64, std::ops::Range<usize>)> {
        let mut found = Vec::new();
        for used in recovered.segments.iter() {
            found.push((used.id, 0..HEAD_BYTES));
            let (file, mut at) = (&self.files[&used.id], HEAD_BYTES);
            while at < used.end as usize {
                let group = group::parse(&file[at..], used.id, at as u64).expect("a sound group");
                found.push((used.id, at..at + group::HEAD_BYTES + group.head.length as usize));
                at += group.size() as usize;
            }
        }
        found.pop();
        found
    }

    /// A bit flips, or flips back.
    pub fn flip(&mut self, segment: u64, offset: usize, bit: u32) {
        let file = self.files.get_mut(&segment).expect("a file that is there");
        file[offset] ^= 1 << (bit % 8);
    }

    /// How many bytes all files take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.len() as u64).sum()
    }
}
