//! What is written when: one write and one sync carry what gathered, and nothing is durable before its sync.

use super::super::disk::{Disk, change};
use super::*;

fn passing() -> Arc<Record> {
    let mut record = (*change(b"")).clone();
    record.header.kept = false;
    Arc::new(record)
}

fn kind(operation: Option<Operation<'_>>) -> &'static str {
    match operation {
        None => "none",
        Some(Operation::Create { .. }) => "create",
        Some(Operation::Write { .. }) => "write",
        Some(Operation::Sync { .. }) => "sync",
        Some(Operation::Delete { .. }) => "delete",
    }
}

#[test]
fn one_write_and_one_sync_carry_what_gathered() {
    let mut disk = Disk::default();
    let mut writer = disk.start(10_000, 1_000);
    assert_eq!(kind(writer.operation()), "none");
    writer.append(Seq(1), &[change(b"a")]);
    for wanted in ["create", "write"] {
        assert_eq!(kind(writer.operation()), wanted);
        disk.step(&mut writer);
    }
    // While the first is under way, more comes.
    writer.append(Seq(2), &[change(b"b"), change(b"c")]);
    writer.append(Seq(4), &[passing(), change(b"d"), passing()]);
    assert_eq!((kind(writer.operation()), writer.durable()), ("sync", Seq(0)));
    disk.step(&mut writer);
    assert_eq!(writer.durable(), Seq(1));
    for (wanted, durable) in [("write", 1), ("sync", 1), ("none", 6)] {
        assert_eq!((kind(writer.operation()), writer.durable()), (wanted, Seq(durable)));
        disk.step(&mut writer);
    }
    assert_eq!(disk.read().unwrap().len(), 4);
}

#[test]
fn passing_records_wait_for_what_is_before_them_alone() {
    let mut disk = Disk::default();
    let mut writer = disk.start(10_000, 1_000);
    writer.append(Seq(1), &[passing(), passing()]);
    assert_eq!((kind(writer.operation()), writer.durable()), ("none", Seq(2)));
    writer.append(Seq(3), &[change(b"a"), passing()]);
    assert_eq!(writer.durable(), Seq(2));
    disk.run(&mut writer);
    assert_eq!(writer.durable(), Seq(4));
}

#[test]
fn without_space_the_same_operation_comes_again() {
    let mut disk = Disk::default();
    let mut writer = disk.start(10_000, 1_000);
    writer.append(Seq(1), &[change(b"a")]);
    for (wanted, times) in [("create", 3), ("write", 2), ("sync", 1)] {
        for _ in 0..times {
            assert_eq!(kind(writer.operation()), wanted);
            writer.done(Outcome::NoSpace);
            assert!(writer.is_full());
            assert_eq!(writer.durable(), Seq(0));
        }
        disk.step(&mut writer);
        assert!(!writer.is_full());
    }
    assert_eq!((writer.durable(), disk.read().unwrap().len()), (Seq(1), 1));
}

#[test]
fn groups_and_segments_end_at_their_bounds_and_a_large_record_gets_its_own() {
    let mut disk = Disk::default();
    let mut writer = disk.start(1_000, 200);
    writer.append(Seq(1), &[change(&[1; 150]), change(&[2; 150]), change(&[3; 150])]);
    disk.run(&mut writer);
    writer.append(Seq(4), &[change(&[4; 5_000])]);
    writer.append(Seq(5), &[change(&[5; 10])]);
    disk.run(&mut writer);
    let sizes: Vec<usize> = disk.files.values().map(Vec::len).collect();
    assert_eq!((sizes[0], sizes.len()), (1_000, 3));
    assert!(sizes[1] > 5_000 && sizes[2] == 1_000);
    assert_eq!(disk.read().unwrap().iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_retired_segment_is_deleted_after_a_durable_group_said_so() {
    let mut disk = Disk::default();
    let mut writer = disk.start(400, 1);
    for n in 1..=9 {
        writer.append(Seq(n), &[change(&[n as u8; 30])]);
        disk.run(&mut writer);
    }
    let third = writer.segments().iter().nth(2).unwrap().clone();
    writer.retire_before(third.id);
    writer.retire_before(1);
    writer.retire_before(third.id);
    let mut seen = Vec::new();
    loop {
        let wanted = kind(writer.operation());
        seen.push(wanted);
        if !disk.step(&mut writer) {
            break;
        }
        assert!(disk.recover().is_ok());
    }
    assert_eq!(seen, ["create", "write", "sync", "delete", "delete", "none"]);
    writer.retire_before(third.id);
    assert_eq!(kind(writer.operation()), "none", "that was said");
    let found = disk.read().unwrap();
    assert_eq!(found.first().map(|(seq, _)| *seq), Some(third.before.0 + 1));
    let recovered = disk.recover().unwrap();
    assert_eq!(recovered.beginning, Some((Epoch(1), third.before)));
}

/// What is carried over and the word that the rest may go: a crash between them loses nothing.
#[test]
fn the_word_that_a_segment_may_go_stands_behind_what_was_appended_before() {
    let mut disk = Disk::default();
    let mut writer = disk.start(400, 1);
    for n in 1..=9 {
        writer.append(Seq(n), &[change(&[n as u8; 30])]);
        disk.run(&mut writer);
    }
    writer.append(Seq(10), &[change(b"carried"), change(b"carried")]);
    writer.retire_before(3);
    while kind(writer.operation()) != "delete" {
        if disk.recover().unwrap().oldest == 3 {
            assert!(disk.read().unwrap().iter().any(|(seq, _)| *seq == 11));
        }
        disk.step(&mut writer);
    }
    assert_eq!(writer.durable(), Seq(11));
}

/// A mark stands behind what it speaks of, and there is none where nothing was ever written.
#[test]
fn a_mark_follows_what_was_appended() {
    let mut disk = Disk::default();
    let mut writer = disk.start(10_000, 1_000);
    writer.mark();
    assert_eq!(kind(writer.operation()), "none");
    for (content, operations) in
        [(Some(b"a"), &["create", "write", "sync", "write", "sync"][..]), (None, &["write", "sync"])]
    {
        if let Some(content) = content {
            writer.append(Seq(1), &[change(content)]);
        }
        writer.mark();
        for wanted in operations {
            assert_eq!(kind(writer.operation()), *wanted);
            disk.step(&mut writer);
        }
        assert_eq!(kind(writer.operation()), "none");
    }
}

/// Groups may fill a segment to its last byte.
#[test]
fn a_segment_is_filled_to_its_end() {
    let group = Disk::with(1, false).recover().unwrap().end.unwrap().offset - segment::HEAD_BYTES as u64;
    for (bytes, files) in [(2 * group, 1), (2 * group - 1, 2)] {
        let mut disk = Disk::default();
        let mut writer = disk.start(segment::HEAD_BYTES as u64 + bytes, 1);
        for n in 1..=2 {
            writer.append(Seq(n), &[change(&[n as u8; 30])]);
            disk.run(&mut writer);
        }
        assert_eq!(disk.files.len(), files, "{bytes}");
    }
}

/// The next group takes the room of the last one, unless that was much larger than groups are.
#[test]
fn the_room_of_a_usual_group_is_used_again() {
    let mut disk = Disk::default();
    let mut writer = disk.start(1 << 20, 1_000);
    for (seq, bytes, kept) in [(1, 500, true), (2, 500, true), (3, 50_000, false)] {
        writer.append(Seq(seq), &[change(&vec![1; bytes])]);
        disk.run(&mut writer);
        assert_eq!(writer.room.capacity() > 500, kept, "{bytes}");
    }
}

/// Deleting comes before further groups, so that a busy log does not grow.
#[test]
fn a_start_deletes_what_the_one_before_had_said() {
    let mut disk = Disk::default();
    let mut writer = disk.start(400, 1);
    for n in 1..=9 {
        writer.append(Seq(n), &[change(&[n as u8; 30])]);
        disk.run(&mut writer);
    }
    writer.retire_before(2);
    while kind(writer.operation()) != "delete" {
        disk.step(&mut writer);
    }
    let mut writer = disk.start(400, 1);
    assert!(disk.files.contains_key(&1));
    disk.run(&mut writer);
    assert!(!disk.files.contains_key(&1));
}
