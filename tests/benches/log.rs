//! Durable appends in groups of 100 records of 300 bytes, against the bare floor: the same bytes written into a
//! pre-written file and synced, with nothing else around. Run in turn, five pairs; what counts is the median ratio.
//!
//! `cargo bench -p offhook-tests --bench log [-- FOLDER]`

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offhook_core::event::{Data, Event, Fact};
use offhook_core::log::encode::{decode, encode};
use offhook_core::log::record::{Actor, Body, Header, Origin, Record, VERSION};
use offhook_core::log::recovery::{Recovery, records};
use offhook_core::log::writer::{Bounds, Operation, Outcome, Writer};
use offhook_core::{Epoch, Seq, Wall};

const GROUP: usize = 100;
const RECORD_BYTES: usize = 300;
const SEGMENT_BYTES: u64 = 64 << 20;
const RUN: Duration = Duration::from_secs(3);
const PAIRS: usize = 5;

fn record() -> Arc<Record> {
    let facts =
        [("call_id", "e686876c-e446-4be7-9b70-beb3059b5fc9"), ("caller_uri", "sip:alice@example.com")];
    let facts = facts.map(|(name, text)| (name.into(), Fact::Text(text.into())));
    let event = Event {
        id_given: false,
        id: "019a0000-0000-7000-8000-000000000000".into(),
        source: "pbx-1".into(),
        event_type: "call.incoming".into(),
        subject: Some("call/e686876c-e446-4be7-9b70-beb3059b5fc9".into()),
        time: "2026-01-01T00:00:00.000Z".into(),
        wall: Wall(1_767_225_600_000),
        content_type: None,
        schema: None,
        extensions: vec![("appid".into(), Fact::Text("app".into()))],
        data: Data::Facts(
            facts.into_iter().chain([("note".into(), Fact::Text("x".repeat(70).into()))]).collect(),
        ),
    };
    let actor = Actor::Address([127, 0, 0, 1].into());
    let header = Header { version: VERSION, wall: Wall(1_767_225_600_000), actor, trace: None, kept: true };
    Arc::new(Record { header, origin: Origin::default(), body: Body::Event(Arc::new(event)) })
}

fn zeroes(path: &Path, bytes: u64) -> File {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("a file");
    for piece in 0..bytes >> 20 {
        file.write_all_at(&[0; 1 << 20], piece << 20).expect("space");
    }
    file.sync_all().expect("a sync");
    file
}

/// Records a second of the floor, in a file that goes round.
fn floor(folder: &Path) -> f64 {
    let file = zeroes(&folder.join("floor"), SEGMENT_BYTES);
    let group = vec![b'x'; GROUP * RECORD_BYTES];
    let (start, mut groups, mut at) = (Instant::now(), 0_u64, 0);
    while start.elapsed() < RUN {
        if at + group.len() as u64 > SEGMENT_BYTES {
            at = 0;
        }
        file.write_all_at(&group, at).expect("space");
        file.sync_data().expect("a sync");
        (groups, at) = (groups + 1, at + group.len() as u64);
    }
    (groups * GROUP as u64) as f64 / start.elapsed().as_secs_f64()
}

/// Records a second through the writer; segments are written ahead before the clock starts.
fn log(folder: &Path, record: &Arc<Record>, ahead: &mut BTreeMap<u64, File>) -> f64 {
    let recovered = Recovery::default().finish().expect("an empty log is sound");
    let bounds = Bounds { segment_bytes: SEGMENT_BYTES, group_bytes: 4 << 20 };
    let mut writer = Writer::new(bounds, Epoch(1), recovered);
    let (start, mut next) = (Instant::now(), Seq(1));
    while start.elapsed() < RUN {
        let batch: Vec<Arc<Record>> = (0..GROUP).map(|_| Arc::clone(record)).collect();
        writer.append(next, &batch);
        next = Seq(next.0 + GROUP as u64);
        while let Some(operation) = writer.operation() {
            match operation {
                Operation::Create { segment, head, .. } => {
                    let file = ahead
                        .entry(segment)
                        .or_insert_with(|| zeroes(&folder.join(format!("{segment}.log")), SEGMENT_BYTES));
                    file.write_all_at(&head, 0).expect("space");
                    file.sync_data().expect("a sync");
                }
                Operation::Write { segment, offset, bytes } => {
                    ahead[&segment].write_all_at(bytes, offset).expect("space");
                }
                Operation::Sync { segment } => ahead[&segment].sync_data().expect("a sync"),
                Operation::Delete { .. } => {}
            }
            writer.done(Outcome::Done);
        }
    }
    (next.0 - 1) as f64 / start.elapsed().as_secs_f64()
}

fn codec(record: &Record) {
    const COUNT: u32 = 1_000_000;
    let mut bytes = Vec::new();
    encode(record, &mut bytes);
    let start = Instant::now();
    for _ in 0..COUNT {
        bytes.clear();
        encode(std::hint::black_box(record), &mut bytes);
    }
    let encoding = start.elapsed();
    let start = Instant::now();
    for _ in 0..COUNT {
        assert!(matches!(decode(std::hint::black_box(&bytes)), Ok(Some(_))));
    }
    let rate = |took: Duration| f64::from(COUNT) / took.as_secs_f64() / 1e6;
    println!(
        "a record of {} bytes: {:.1} million encoded a second, {:.1} million decoded",
        bytes.len(),
        rate(encoding),
        rate(start.elapsed())
    );
}

fn recovery(record: &Arc<Record>) {
    const COUNT: u64 = 100_000;
    let recovered = Recovery::default().finish().expect("an empty log is sound");
    let mut writer = Writer::new(Bounds { segment_bytes: 1 << 30, group_bytes: 30_000 }, Epoch(1), recovered);
    let mut file = vec![0; 64 << 20];
    for first in (1..=COUNT).step_by(GROUP) {
        let batch: Vec<Arc<Record>> = (0..GROUP).map(|_| Arc::clone(record)).collect();
        writer.append(Seq(first), &batch);
        while let Some(operation) = writer.operation() {
            match operation {
                Operation::Create { head, .. } => file[..head.len()].copy_from_slice(&head),
                Operation::Write { offset, bytes, .. } => {
                    file[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
                }
                Operation::Sync { .. } | Operation::Delete { .. } => {}
            }
            writer.done(Outcome::Done);
        }
    }
    let start = Instant::now();
    let mut recovery = Recovery::default();
    recovery.receive(1, &file).expect("a sound log");
    let recovered = recovery.finish().expect("a sound log");
    let end = recovered.end.expect("a log that began").offset;
    assert_eq!(records(1, &file, end).count() as u64, COUNT);
    println!("{COUNT} records judged and read back in {:.3} s", start.elapsed().as_secs_f64());
}

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = folder.map_or_else(|| scratch.path().to_owned(), Into::into);
    let record = record();
    codec(&record);
    recovery(&record);
    let mut ahead: BTreeMap<u64, File> =
        (1..=8).map(|n| (n, zeroes(&folder.join(format!("{n}.log")), SEGMENT_BYTES))).collect();
    let mut ratios = Vec::new();
    for _ in 0..PAIRS {
        let (floor, log) = (floor(&folder), log(&folder, &record, &mut ahead));
        println!("floor {floor:.0} records a second, log {log:.0}: {:.2}", log / floor);
        ratios.push(log / floor);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median {:.2}", ratios[PAIRS / 2]);
}
