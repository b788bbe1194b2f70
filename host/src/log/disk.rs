//! The files of segments. Each is written ahead with zeroes by a thread of its own, so that a sync has no sizes and no
//! places to note, which makes it nearly twice as cheap; the log's thread waits for that only when it is faster.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use offhook_core::log::segment;

/// What the log's thread does with files; tests put faults between.
pub(crate) trait Disk: Send {
    /// Makes a segment's file, or takes the one that was written ahead, and puts `head` at its start, durably.
    fn create(&mut self, segment: u64, bytes: u64, head: &[u8]) -> io::Result<()>;

    /// Writes into a segment's file.
    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    fn sync(&mut self, segment: u64) -> io::Result<()>;

    /// Deletes a segment's file.
    fn delete(&mut self, segment: u64) -> io::Result<()>;
}

/// Zeroes are written in pieces of this size.
const PIECE: usize = 1 << 20;

/// The real files.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    segment_bytes: u64,
    open: BTreeMap<u64, File>,
    /// Segments that the other thread is to write, and what came of it.
    orders: Option<Sender<u64>>,
    made: Receiver<(u64, io::Result<()>)>,
    ordered: Option<u64>,
    thread: Option<JoinHandle<()>>,
}

impl Files {
    /// The files of this folder. The segment after `last` is written ahead at once, if there is a last one.
    pub(crate) fn new(folder: &Path, segment_bytes: u64, last: Option<u64>) -> io::Result<Files> {
        let (orders, ordered) = channel::<u64>();
        let (say, made) = channel();
        let place = folder.to_owned();
        let thread = std::thread::Builder::new().name("log-ahead".to_owned()).spawn(move || {
            for segment in ordered {
                let outcome = write_ahead(&place, segment, segment_bytes);
                if say.send((segment, outcome)).is_err() {
                    return;
                }
            }
        })?;
        let mut files = Files {
            folder: folder.to_owned(),
            segment_bytes,
            open: BTreeMap::new(),
            orders: Some(orders),
            made,
            ordered: None,
            thread: Some(thread),
        };
        if let Some(last) = last {
            files.order(last + 1);
        }
        Ok(files)
    }

    fn order(&mut self, segment: u64) {
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send(segment).is_ok());
        self.ordered = sent.then_some(segment);
    }

    /// Waits until a segment is written, by the other thread or here.
    fn make(&mut self, segment: u64, bytes: u64) -> io::Result<()> {
        while self.ordered.is_some() {
            let Ok((made, outcome)) = self.made.recv() else { break };
            self.ordered = None;
            if made == segment && bytes == self.segment_bytes {
                return outcome;
            }
        }
        write_ahead(&self.folder, segment, bytes)
    }

    fn file(&mut self, segment: u64) -> io::Result<&File> {
        if !self.open.contains_key(&segment) {
            let file = options().open(self.folder.join(segment::name(segment)))?;
            // One file is written at a time; the one before it is complete.
            self.open.clear();
            self.open.insert(segment, file);
        }
        self.open.get(&segment).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Disk for Files {
    fn create(&mut self, segment: u64, bytes: u64, head: &[u8]) -> io::Result<()> {
        self.make(segment, bytes)?;
        let file = self.file(segment)?;
        file.write_all_at(head, 0)?;
        file.sync_data()?;
        self.order(segment + 1);
        Ok(())
    }

    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(segment)?.write_all_at(bytes, offset)
    }

    fn sync(&mut self, segment: u64) -> io::Result<()> {
        self.file(segment)?.sync_data()
    }

    fn delete(&mut self, segment: u64) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(segment::name(segment)))?;
        File::open(&self.folder)?.sync_all()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Makes a segment's file of zeroes, and makes it durable with its name. One that is there, because an earlier start wrote
/// it ahead, gets what it lacks.
fn write_ahead(folder: &Path, segment: u64, bytes: u64) -> io::Result<()> {
    let file = options().create(true).truncate(false).open(folder.join(segment::name(segment)))?;
    let mut length = file.metadata()?.len();
    let zeroes = vec![0; if length < bytes { PIECE } else { 0 }];
    while length < bytes {
        let piece = PIECE.min((bytes - length) as usize);
        file.write_all_at(&zeroes[..piece], length)?;
        length += piece as u64;
    }
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Puts zeroes where the torn end of a write stands.
pub(super) fn erase(folder: &Path, segment: u64, from: u64) -> io::Result<()> {
    let file = options().open(folder.join(segment::name(segment)))?;
    let zeroes = vec![0; PIECE];
    let (mut at, end) = (from, file.metadata()?.len());
    while at < end {
        let piece = PIECE.min((end - at) as usize);
        file.write_all_at(&zeroes[..piece], at)?;
        at += piece as u64;
    }
    file.sync_data()
}
