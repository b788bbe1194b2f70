//! A small log, damaged in every way that a test can think of; and a log against a model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::disk::{Disk, change};
use super::super::writer::{Operation, Outcome, Writer};
use super::*;

fn numbers(disk: &Disk) -> Result<Vec<u64>, Damage> {
    disk.read().map(|read| read.iter().map(|(seq, _)| *seq).collect())
}

#[test]
fn an_empty_folder_is_a_log_that_never_began() {
    let recovered = Disk::default().recover().unwrap();
    assert!(recovered.end.is_none() && !recovered.torn);
    assert_eq!((recovered.last, recovered.oldest, recovered.epoch), (Seq(0), 1, Epoch(0)));
}

/// The last group may be cut at any byte: what was before it stays, and it is cut with no word of damage.
#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let whole = Disk::with(3, false);
    let end = whole.recover().unwrap().end.unwrap();
    let before = Disk::with(2, false).recover().unwrap().end.unwrap();
    assert_eq!((before.segment, end.segment), (1, 1));
    for cut in before.offset..end.offset {
        let mut torn = whole.clone();
        torn.files.get_mut(&1).unwrap()[cut as usize..].fill(0);
        let found = numbers(&torn).unwrap();
        let last = torn.recover().unwrap();
        if found == [1, 2, 3] {
            // Only the padding was cut.
            continue;
        }
        assert_eq!(found, [1, 2], "cut at {cut}");
        assert_eq!(last.end, Some(before));
        assert_eq!(last.torn, torn.files[&1][before.offset as usize..].iter().any(|b| *b != 0));
        // And the log goes on there.
        let mut writer = torn.start(4_096, 1);
        writer.append(Seq(3), &[change(b"again")]);
        torn.run(&mut writer);
        assert_eq!(numbers(&torn).unwrap(), [1, 2, 3]);
    }
}

/// A hole anywhere in the last group.
#[test]
fn a_hole_in_the_last_group_is_a_torn_tail() {
    let whole = Disk::with(3, false);
    let end = whole.recover().unwrap().end.unwrap().offset as usize;
    let before = Disk::with(2, false).recover().unwrap().end.unwrap().offset as usize;
    for hole in before..end {
        for length in [1, 4, 8] {
            let mut disk = whole.clone();
            disk.files.get_mut(&1).unwrap()[hole..(hole + length).min(end)].fill(0);
            let found = numbers(&disk).unwrap();
            assert!(found == [1, 2] || found == [1, 2, 3], "{hole}: {found:?}");
            if found == [1, 2, 3] {
                assert_eq!(disk.files[&1][before..end - 8], whole.files[&1][before..end - 8]);
            }
        }
    }
}

/// Every bit of a log of several segments: either nothing is lost, or it is damage and said so, or the last group, of
/// which no other byte says that it was durable, is cut.
#[test]
fn a_flipped_bit_loses_nothing_that_is_known_to_be_durable() {
    for closed in [false, true] {
        let whole = {
            let mut disk = Disk::default();
            let mut writer = disk.start(400, 1);
            for n in 1..=9 {
                writer.append(Seq(n), &[change(&[n as u8; 30])]);
                disk.run(&mut writer);
            }
            if closed {
                writer.mark();
                disk.run(&mut writer);
            }
            disk
        };
        assert!(whole.files.len() > 2);
        let all = whole.read().unwrap();
        let (mut refused, mut cut) = (0, 0);
        for id in whole.files.keys() {
            for bit in 0..whole.files[id].len() * 8 {
                let mut disk = whole.clone();
                disk.files.get_mut(id).unwrap()[bit / 8] ^= 1 << (bit % 8);
                match disk.read() {
                    Err(damage) => {
                        refused += 1;
                        assert!(damage.to_string().contains(&segment::name(damage.segment)), "{damage}");
                    }
                    Ok(found) if found == all => {}
                    Ok(found) => {
                        cut += 1;
                        assert_eq!(found, all[..8], "bit {bit} of {id}");
                    }
                }
            }
        }
        assert!(refused > 5_000, "{refused}");
        assert_eq!(
            cut == 0,
            closed,
            "a closed log loses nothing, and an open one at most its last group: {cut}"
        );
    }
}

#[test]
fn a_missing_segment_is_named() {
    let whole = {
        let mut disk = Disk::default();
        let mut writer = disk.start(400, 1);
        for n in 1..=12 {
            writer.append(Seq(n), &[change(&[n as u8; 30])]);
            disk.run(&mut writer);
        }
        disk
    };
    assert_eq!(whole.files.len(), 4);
    for id in 1..=3 {
        let mut disk = whole.clone();
        disk.files.remove(&id);
        let damage = disk.read().unwrap_err();
        assert_eq!((damage.segment, damage.offset), (id, 0), "{damage}");
        assert!(damage.to_string().contains("is missing"), "{damage}");
    }
    let mut headless = whole.clone();
    headless.files.get_mut(&2).unwrap().fill(0);
    assert_eq!(headless.read().unwrap_err().segment, 2);
    let mut short = whole.clone();
    short.files.get_mut(&2).unwrap().truncate(200);
    assert_eq!(short.read().unwrap_err().segment, 2);
}

/// A spare segment that was written ahead, whole or in part, is none of the log's.
#[test]
fn a_spare_segment_is_not_missed() {
    for spare in [vec![], vec![0; 10], vec![0; 4_096]] {
        let mut disk = Disk::with(2, false);
        disk.files.insert(2, spare);
        assert_eq!(numbers(&disk).unwrap(), [1, 2]);
        assert_eq!(disk.recover().unwrap().end.unwrap().segment, 1);
    }
}

/// What a run does between two crashes.
#[derive(Clone, Debug)]
enum Step {
    /// Appends records of these sizes; an odd one is passing.
    Append(Vec<u16>),
    /// Carries out so many operations.
    Operate(u8),
    Close,
    /// Says that all but so many of the youngest segments are needed no more.
    Retire(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(0_u16..900, 0..12).prop_map(Step::Append),
        6 => (1_u8..12).prop_map(Step::Operate),
        1 => Just(Step::Close),
        1 => (1_u8..4).prop_map(Step::Retire),
    ]
}

/// What was appended, by number, and how far it was said to be durable.
#[derive(Default)]
struct Model {
    written: BTreeMap<u64, Vec<u8>>,
    durable: u64,
    /// Everything before this may be gone.
    retired: u64,
    next: u64,
}

fn play(disk: &mut Disk, writer: &mut Writer, model: &mut Model, step: Step) {
    match step {
        Step::Append(sizes) => {
            let first = Seq(model.next);
            let mut records = Vec::new();
            for size in sizes {
                let content = vec![model.next as u8; usize::from(size)];
                let mut record = (*change(&content)).clone();
                record.header.kept = size % 2 == 0;
                if record.header.kept {
                    model.written.insert(model.next, content);
                }
                records.push(Arc::new(record));
                model.next += 1;
            }
            writer.append(first, &records);
        }
        Step::Operate(count) => {
            for _ in 0..count {
                disk.step(writer);
            }
        }
        Step::Close => {
            writer.mark();
            disk.run(writer);
        }
        Step::Retire(youngest) => {
            let used: Vec<_> = writer.segments().iter().map(|used| (used.id, used.before)).collect();
            if let Some((id, before)) =
                used.len().checked_sub(usize::from(youngest)).and_then(|at| used.get(at))
            {
                writer.retire_before(*id);
                model.retired = model.retired.max(before.0);
            }
        }
    }
    model.durable = model.durable.max(writer.durable().0);
}

/// Segments leave together, and a crash leaves some of them behind: the log begins behind all of them, with what was carried
/// over there, and those left over go.
#[test]
fn segments_that_were_to_leave_are_left_over() {
    let mut disk = Disk::default();
    let mut writer = disk.start(300, 1);
    for n in 1..=20 {
        writer.append(Seq(n), &[change(&[n as u8; 40])]);
        disk.run(&mut writer);
    }
    let leaving: Vec<_> = writer.segments().iter().take(4).cloned().collect();
    let through = leaving[3].last;
    let carried =
        Record { body: Body::Carried { through, part: "sep", change: [7].into() }, ..(*change(&[])).clone() };
    writer.append(Seq(21), &[carried.into()]);
    writer.retire_before(leaving[3].id + 1);
    let mut left = Vec::new();
    while disk.step(&mut writer) {
        let recovered = disk.recover().unwrap();
        if recovered.oldest > 1 {
            assert_eq!(recovered.beginning.map(|(_, before)| before), Some(through));
            assert_eq!((recovered.carried.len(), recovered.last), (1, Seq(21)));
            assert_eq!(numbers(&disk).unwrap().first(), Some(&(through.0 + 1)));
            left.push(recovered.left_over);
        }
    }
    left.dedup();
    assert_eq!(left, [&[1, 2, 3, 4][..], &[2, 3, 4], &[3, 4], &[4], &[]]);
    let mut disk = disk.clone();
    let mut writer = disk.start(300, 1);
    writer.append(Seq(22), &[change(&[22])]);
    disk.run(&mut writer);
    assert_eq!(numbers(&disk).unwrap().last(), Some(&22));
}

/// A sync failed and the process ended: what it left can be read, and may be gone after the next power cut.
#[test]
fn what_was_written_last_is_written_again() {
    let mut disk = Disk::default();
    let mut writer = disk.start(4_096, 1);
    let again = |disk: &Disk, from: u64| {
        let mut writer = disk.clone().start(4_096, 1);
        let expected = disk.files[&1][from as usize..].to_vec();
        let Some(Operation::Write { segment: 1, offset, bytes }) = writer.operation() else {
            panic!("nothing is written")
        };
        assert!(offset == from && !bytes.is_empty() && expected.starts_with(bytes));
        let end = offset + bytes.len() as u64;
        writer.done(Outcome::Done);
        assert_eq!(writer.operation(), Some(Operation::Sync { segment: 1 }));
        writer.done(Outcome::Done);
        assert_eq!(writer.operation(), None);
        end
    };
    writer.append(Seq(1), &[change(&[1])]);
    assert!(disk.step(&mut writer), "the segment is made");
    let mut from = again(&disk, 0);
    assert_eq!(from, segment::HEAD_BYTES as u64);
    for n in 2..5 {
        disk.run(&mut writer);
        from = group::padded(again(&disk, from));
        writer.append(Seq(n), &[change(&[n as u8])]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Runs that end in crashes, one after the other: whatever was said to be durable is there after each, nothing comes
    /// twice or changed, and what is there beyond it is the start of what was appended.
    #[test]
    fn what_was_durable_is_recovered(
        runs in prop::collection::vec((prop::collection::vec(step(), 0..20), any::<u64>()), 1..6),
        segment_bytes in 300_u64..5_000,
        group_bytes in 1_u64..2_000,
    ) {
        let mut disk = Disk::default();
        let mut model = Model { next: 1, ..Model::default() };
        for (steps, mut sectors) in runs {
            let mut writer = disk.start(segment_bytes, group_bytes);
            for step in steps {
                play(&mut disk, &mut writer, &mut model, step);
            }
            disk.crash(|| {
                sectors = sectors.rotate_left(1);
                sectors & 1 == 1
            });
            let found = disk.read().expect("a crash is no damage");
            let recovered = disk.recover().expect("a crash is no damage");
            let kept: Vec<_> = found.iter().map(|(seq, _)| *seq).filter(|seq| *seq > model.retired).collect();
            let owed: Vec<_> =
                model.written.keys().copied().filter(|seq| (model.retired + 1..=model.durable).contains(seq)).collect();
            prop_assert!(kept.starts_with(&owed), "{kept:?} does not hold {owed:?}");
            for (seq, content) in &found {
                prop_assert_eq!(model.written.get(seq), Some(content));
            }
            let prefix: Vec<_> = model.written.keys().copied().filter(|seq| *seq > model.retired).take(kept.len()).collect();
            prop_assert_eq!(&kept, &prefix);
            // What was lost was never acknowledged; its numbers are given again.
            model.written.retain(|seq, _| *seq <= recovered.last.0);
            model.next = recovered.last.0 + 1;
            model.durable = model.durable.min(recovered.last.0);
        }
    }
}
