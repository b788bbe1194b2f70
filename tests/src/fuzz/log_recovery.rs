//! The log at a start. The first byte chooses: bytes as the content of segments, with or without checksums that fit, or a
//! script of what a writer, its disk and bad luck do.

use std::collections::BTreeMap;
use std::sync::Arc;

use offhook_core::log::encode::PARTS;
use offhook_core::log::record::{Actor, Body, Header, Origin, Record, VERSION};
use offhook_core::log::recovery::{Damage, Numbered, Recovered, Recovery, records};
use offhook_core::log::writer::{Bounds, Operation, Outcome, Writer};
use offhook_core::log::{group, segment};
use offhook_core::{Epoch, Seq, Wall};

use super::split;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Recovers what `data` stands for.
pub fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    match choice & 3 {
        0 => drop(recover(&segments(data, false))),
        1 => drop(recover(&segments(data, true))),
        choice => Play::new(choice == 2).play(data),
    }
}

/// The content of segments, by their numbers.
type Files = BTreeMap<u64, Vec<u8>>;

/// Content of segments: for each a number, two bytes of length, and so many bytes.
fn segments(mut data: &[u8], fitting: bool) -> Files {
    let mut files = Files::new();
    while let [id, high, low, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (content, rest) = rest.split_at(length);
        let id = u64::from(*id).max(1);
        let mut content = content.to_vec();
        if fitting {
            fit(id, &mut content);
        }
        files.insert(id, content);
        data = rest;
    }
    files
}

/// Makes marks, versions and checksums right, so that all else comes into question.
fn fit(id: u64, content: &mut [u8]) {
    let Some(head) = content.first_chunk_mut::<{ segment::HEAD_BYTES }>() else { return };
    let empty = segment::Head { id, epoch: Epoch(0), before_end: 0, before_last: Seq(0) }.bytes();
    head[..12].copy_from_slice(&empty[..12]);
    head[12..16].fill(0);
    head[16..24].copy_from_slice(&id.to_le_bytes());
    let sum = crc32c::crc32c(&head[..]);
    head[12..16].copy_from_slice(&sum.to_le_bytes());
    let mut at = segment::HEAD_BYTES;
    while let Some(room) = content.len().checked_sub(at + group::HEAD_BYTES).filter(|_| content[at] != 0) {
        let bytes = &mut content[at..];
        let length = (usize::from(bytes[8]) | usize::from(bytes[9]) << 8).min(room);
        let mut pattern = group::Filling::new(Vec::new());
        pattern.seal(id, at as u64, Seq(0), Seq(0), 0);
        bytes[..4].copy_from_slice(&pattern.bytes()[..4]);
        bytes[8..12].copy_from_slice(&u32::try_from(length).expect("two bytes").to_le_bytes());
        let end = group::HEAD_BYTES + length;
        let mut sum = crc32c::crc32c(&bytes[8..end]);
        for number in [id, at as u64] {
            sum = crc32c::crc32c_append(sum, &number.to_le_bytes());
        }
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        assert!(group::parse(bytes, id, at as u64).is_some(), "what fits passes");
        at += group::padded(end as u64) as usize;
    }
}

/// Recovers, and reads the records: both readings agree, or the damage is said.
fn recover(files: &Files) -> Result<(Recovered, Vec<Numbered>), Damage> {
    let recovered = match judge(files) {
        Ok(recovered) => recovered,
        Err(damage) => {
            let content = files.get(&damage.segment).map_or(0, Vec::len) as u64;
            assert!(
                damage.to_string().contains(&segment::name(damage.segment))
                    && damage.offset <= content.max(8)
            );
            return Err(damage);
        }
    };
    let used = recovered.segments.iter();
    let found: Vec<Numbered> = used.flat_map(|used| records(used.id, &files[&used.id], used.end)).collect();
    assert_eq!(found.len() as u64, recovered.records, "both readings find as many records");
    assert!(found.is_sorted_by(|(a, _), (b, _)| a < b), "numbers rise");
    let before = recovered.beginning.map_or(Seq(0), |(_, before)| before);
    assert!(found.iter().all(|(seq, _)| (before..=recovered.last).contains(seq)));
    if recovered.skipped == 0 {
        assert_eq!(found.last().map_or(before, |(seq, _)| *seq), recovered.last);
    }
    let counts = files.iter().filter(|(id, _)| !recovered.left_over.contains(id));
    assert!(promised(counts) <= recovered.last, "what a sound group says was durable is found");
    // Erasing the torn rest changes nothing else.
    let mut erased = files.clone();
    if let Some(end) = recovered.end {
        let rest =
            &mut erased.get_mut(&end.segment).expect("the last segment is there")[end.offset as usize..];
        assert_eq!(recovered.torn, rest.iter().any(|byte| *byte != 0));
        rest.fill(0);
    }
    let again = judge(&erased).expect("what was sound is sound");
    assert!(
        !again.torn
            && (again.end, again.last, again.records) == (recovered.end, recovered.last, recovered.records)
    );
    Ok((recovered, found))
}

fn judge(files: &Files) -> Result<Recovered, Damage> {
    let mut recovery = Recovery::default();
    loop {
        for (id, content) in files {
            recovery.receive(*id, content)?;
        }
        let Some(first) = recovery.begins_at() else { return recovery.finish() };
        recovery = Recovery::from(first);
    }
}

/// What groups and heads that are sound say was durable.
fn promised<'a>(files: impl IntoIterator<Item = (&'a u64, &'a Vec<u8>)>) -> Seq {
    let mut promised = Seq(0);
    for (id, content) in files {
        let segment::Found::Head(head) = segment::parse(content, *id) else { continue };
        promised = promised.max(head.before_last);
        let mut at = segment::HEAD_BYTES as u64;
        while let Some((found, head)) = content.get(at as usize..).and_then(|rest| group::scan(rest, *id, at))
        {
            promised = promised.max(head.durable);
            at = found + group::padded(group::HEAD_BYTES as u64 + u64::from(head.length));
        }
    }
    promised
}

/// A writer with its disk, and what they were given.
struct Play {
    files: Files,
    /// What was written and not synced: segment, place, and what stood there before.
    unsynced: Vec<(u64, usize, Vec<u8>)>,
    writer: Writer,
    bounds: Bounds,
    /// All that was appended and is kept.
    said: BTreeMap<Seq, Vec<u8>>,
    next: Seq,
}

impl Play {
    fn new(small: bool) -> Play {
        let bounds = if small {
            Bounds { segment_bytes: 600, group_bytes: 1 }
        } else {
            Bounds { segment_bytes: 3_000, group_bytes: 300 }
        };
        let recovered = Recovery::default().finish().expect("a log that never began");
        Play {
            files: Files::new(),
            unsynced: Vec::new(),
            writer: Writer::new(bounds, Epoch(1), recovered),
            bounds,
            said: BTreeMap::new(),
            next: Seq(1),
        }
    }

    fn play(mut self, mut script: &[u8]) {
        while let [verb, argument, rest @ ..] = script {
            script = rest;
            match verb {
                b'a' => self.append(*argument),
                b's' => {
                    for _ in 0..*argument % 8 {
                        self.step();
                    }
                }
                b'r' => while self.step() {},
                b'm' => self.writer.mark(),
                b'o' => {
                    let newest = self.writer.segments().iter().last().map_or(0, |used| used.id);
                    self.writer.retire_before(newest.saturating_sub(u64::from(argument % 3)));
                }
                b'c' => self.lose_power(*argument),
                b'x' | b't' | b'd' => return self.damage(*verb, *argument, rest),
                _ => {}
            }
        }
        let durable = self.writer.durable();
        let (recovered, found) = recover(&self.files).expect("a disk that forgets nothing is sound");
        self.leave(&recovered);
        self.check(&found, durable);
    }

    /// Up to four records; the argument is their size too. One in eight is only passed on.
    fn append(&mut self, argument: u8) {
        let record = |n: u8| {
            let content = vec![argument ^ n; usize::from(argument)];
            let kept = argument & 0xE0 != 0x20;
            let header =
                Header { version: VERSION, wall: Wall(1), actor: Actor::Server("log"), trace: None, kept };
            let body = Body::Change(PARTS[0], content.into());
            Arc::new(Record { header, origin: Origin::NOBODY, body })
        };
        let records: Vec<_> = (0..=argument % 4).map(record).collect();
        self.writer.append(self.next, &records);
        for record in records {
            if record.header.kept {
                self.said.insert(self.next, content(&record));
            }
            self.next = self.next.next();
        }
    }

    /// Carries out one operation; `false` if there is none.
    fn step(&mut self) -> bool {
        let Some(operation) = self.writer.operation() else { return false };
        match operation {
            Operation::Create { segment, bytes, head } => {
                let mut file = vec![0; bytes as usize];
                file[..head.len()].copy_from_slice(&head);
                assert!(self.files.insert(segment, file).is_none(), "a segment is made once");
            }
            Operation::Write { segment, offset, bytes } => {
                let place = offset as usize..offset as usize + bytes.len();
                let there = &mut self.files.get_mut(&segment).expect("a segment that was made")[place];
                let mut pairs = there.iter().zip(bytes);
                assert!(pairs.all(|(old, new)| *old == 0 || old == new), "nothing is written over");
                self.unsynced.push((segment, offset as usize, there.to_vec()));
                there.copy_from_slice(bytes);
            }
            Operation::Sync { .. } => self.unsynced.clear(),
            Operation::Delete { segment } => {
                let gone = self.files.remove(&segment).expect("a segment that is there");
                self.forget(segment, &gone);
            }
        }
        self.writer.done(Outcome::Done);
        true
    }

    /// Of what was not synced, the sectors stay that `stays` chooses; then the server starts again.
    fn lose_power(&mut self, stays: u8) {
        let durable = self.writer.durable();
        for (segment, offset, before) in std::mem::take(&mut self.unsynced) {
            let file = self.files.get_mut(&segment).expect("a segment that was made");
            let end = offset + before.len();
            for sector in offset / SECTOR..end.div_ceil(SECTOR) {
                let (from, to) = ((sector * SECTOR).max(offset), ((sector + 1) * SECTOR).min(end));
                if split::place(&[stays], sector as u64, 1) == 0 {
                    file[from..to].copy_from_slice(&before[from - offset..to - offset]);
                }
            }
        }
        let (recovered, found) = recover(&self.files).expect("a power cut damages nothing");
        self.leave(&recovered);
        self.check(&found, durable);
        if let Some(end) = recovered.end.filter(|_| recovered.torn) {
            self.files.get_mut(&end.segment).expect("it is there")[end.offset as usize..].fill(0);
        }
        self.said.retain(|seq, _| *seq <= recovered.last);
        self.next = recovered.last.next();
        let epoch = Epoch(recovered.epoch.0 + 1);
        self.writer = Writer::new(self.bounds, epoch, recovered);
    }

    /// What a segment says that is gone is said again by others, if it still counts.
    fn forget(&mut self, id: u64, content: &[u8]) {
        for (seq, _) in records(id, content, content.len() as u64) {
            self.said.remove(&seq);
        }
    }

    /// Segments that are left over are as good as gone.
    fn leave(&mut self, recovered: &Recovered) {
        for id in &recovered.left_over {
            let content = self.files[id].clone();
            self.forget(*id, &content);
        }
    }

    /// Nothing was invented, changed or left out, and what was durable is there.
    fn check(&self, found: &[Numbered], durable: Seq) {
        let said = self.said.iter().zip(found);
        assert!(
            found.len() <= self.said.len()
                && said.clone().all(|((seq, text), (at, record))| { seq == at && *text == content(record) }),
            "what is found was said"
        );
        assert!(
            self.said.keys().nth(found.len()).is_none_or(|lost| *lost > durable),
            "what was durable is found"
        );
    }

    /// Bits flip, ends are cut off, files are gone: what remains tells what was durable.
    fn damage(mut self, mut verb: u8, mut argument: u8, mut rest: &[u8]) {
        while self.step() {}
        loop {
            let which = usize::from(argument) % self.files.len().max(1);
            let Some(id) = self.files.keys().nth(which).copied() else { return };
            let file = self.files.get_mut(&id).expect("it is there");
            let place = rest.first_chunk().map_or(0, |bytes| usize::from(u16::from_be_bytes(*bytes)));
            match verb {
                b'x' if !file.is_empty() => {
                    let at = place % file.len();
                    file[at] ^= 1 << (argument >> 5);
                }
                b't' => file.truncate(place),
                b'd' => drop(self.files.remove(&id)),
                _ => {}
            }
            let [_, _, again, other, after @ ..] = rest else { break };
            (verb, argument, rest) = (*again, *other, after);
        }
        if let Ok((_, found)) = recover(&self.files) {
            self.check(&found, promised(&self.files));
        }
    }
}

fn content(record: &Record) -> Vec<u8> {
    let Body::Change(_, content) = &record.body else { panic!("nothing else was said: {:?}", record.body) };
    content.to_vec()
}
