//! A small log, damaged in every way that a test can think of; and a log against a model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::disk::{Disk, change};
use super::super::group::Filling;
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

/// What a start finds of the segments is what the one before knew of them, its places to begin with included.
#[test]
fn the_segments_are_known_as_they_were() {
    let mut disk = Disk::default();
    let mut writer = disk.start(1 << 20, 1);
    for n in 1..=30 {
        writer.append(Seq(n), &[change(&[n as u8; 50_000])]);
        disk.run(&mut writer);
        if n % 6 == 0 {
            writer.mark();
            disk.run(&mut writer);
        }
    }
    let recovered = disk.recover().unwrap();
    assert!(recovered.segments.iter().eq(writer.segments().iter()));
    assert_eq!((recovered.beginning, recovered.records, recovered.skipped), (None, 30, 0));
    for n in 1..=30 {
        let start = writer.segments().find(Seq(n)).unwrap();
        let rest = &disk.files[&start.segment][start.offset as usize..];
        let group = group::parse(rest, start.segment, start.offset).unwrap();
        assert!(n - group.head.first.0 < 6, "{n}");
    }
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

/// A group that passes its checksum, and that no writer wrote so.
#[test]
fn what_a_sound_group_says_is_held_against_what_is_there() {
    let known = change(b"known");
    let mut later = (*known).clone();
    later.header.version += 1;
    for (durable, oldest, found) in [
        (0, 1, Ok((Seq(2), 1, 1))),
        (1, 1, Err("record 1 was acknowledged, and record 0 is the last before it")),
        (0, 2, Err("it says that the log begins with 00000002.log, which comes after it")),
    ] {
        let head = segment::Head { id: 1, epoch: Epoch(1), before_end: 0, before_last: Seq(0) };
        let mut group = Filling::new(Vec::new());
        group.push(Seq(1), &known);
        group.push(Seq(2), &later);
        group.seal(1, first_offset(), Seq(3), Seq(durable), oldest);
        let mut disk = Disk::default();
        disk.files.insert(1, [&head.bytes()[..], group.bytes()].concat());
        let recovered = disk.recover().map(|found| (found.last, found.records, found.skipped));
        assert_eq!(recovered.map_err(|damage| damage.what), found.map_err(str::to_owned));
    }
}

#[test]
fn damage_is_told_with_its_place_and_that_of_its_witness() {
    let mut disk = Disk::with(3, false);
    let [_, second, third] = places(&disk)[..] else { panic!("a group a record") };
    disk.files.get_mut(&1).unwrap()[second as usize] ^= 1;
    let what = format!(
        "what follows record 1 cannot be read, and record 3 behind it, at byte {third}, shows that it was acknowledged"
    );
    assert_eq!(disk.recover().unwrap_err(), Damage { segment: 1, offset: second, what });
}

#[test]
fn records_end_where_the_durable_groups_do() {
    let disk = Disk::with(3, false);
    let third = places(&disk)[2];
    let found: Vec<_> = records(1, &disk.files[&1], third).map(|(seq, _)| seq.0).collect();
    assert_eq!(found, [1, 2]);
}

/// Where the groups of the first segment stand.
fn places(disk: &Disk) -> Vec<u64> {
    let sizes = groups_from(1, &disk.files[&1], first_offset(), u64::MAX).map(|group| group.size());
    sizes.scan(first_offset(), |end, size| Some(std::mem::replace(end, *end + size))).collect()
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
    let carried = |through| {
        let body = Body::Carried { through, part: "sep", change: [7].into() };
        Arc::new(Record { body, ..(*change(&[])).clone() })
    };
    // The first of them was carried over another beginning.
    writer.append(Seq(21), &[carried(Seq(3)), carried(through)]);
    writer.retire_before(leaving[3].id + 1);
    let mut left = Vec::new();
    while disk.step(&mut writer) {
        let recovered = disk.recover().unwrap();
        if recovered.oldest > 1 {
            assert_eq!(recovered.beginning.map(|(_, before)| before), Some(through));
            assert_eq!((recovered.carried.len(), recovered.last), (1, Seq(22)));
            assert_eq!(numbers(&disk).unwrap().first(), Some(&(through.0 + 1)));
            left.push(recovered.left_over);
        }
    }
    left.dedup();
    assert_eq!(left, [&[1, 2, 3, 4][..], &[2, 3, 4], &[3, 4], &[4], &[]]);
    let mut disk = disk.clone();
    let mut writer = disk.start(300, 1);
    writer.append(Seq(23), &[change(&[23])]);
    disk.run(&mut writer);
    assert_eq!(numbers(&disk).unwrap().last(), Some(&23));
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
