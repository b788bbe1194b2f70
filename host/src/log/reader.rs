//! Reads records back for engines, on a thread of its own, so that neither the log nor a shard waits for a disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use offhook_core::log::read::Read;
use offhook_core::log::recovery::Numbered;
use offhook_core::log::segments::Segments;
use offhook_core::log::{group, segment};
use offhook_core::{Completion, Seq};

use crate::mailbox::{Mail, lock};
use crate::process::Process;

/// Bytes of one read from a file; a larger group takes a larger one.
const PIECE: u64 = 512 * 1024;

/// What an engine asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) shard: usize,
    pub(crate) ticket: u64,
    pub(crate) from: Seq,
    pub(crate) bytes: u64,
}

/// The door to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Reader {
    wanted: Sender<Wanted>,
}

impl Reader {
    pub(crate) fn start(
        folder: &Path,
        segments: Arc<Mutex<Segments>>,
        process: &Arc<Process>,
    ) -> io::Result<Reader> {
        let (sender, wanted) = channel::<Wanted>();
        let (folder, process) = (folder.to_owned(), Arc::downgrade(process));
        std::thread::Builder::new().name("log-reader".to_owned()).spawn(move || {
            for Wanted { shard, ticket, from, bytes } in wanted {
                let found = read(&folder, &segments, from, bytes).unwrap_or_else(|error| {
                    tracing::error!("cannot read the log back from record {from} on: {error}");
                    Vec::new()
                });
                let start = lock(&segments).iter().next().map_or(from, |oldest| oldest.before.next());
                let Some(process) = process.upgrade() else { return };
                let read = Completion::Read { ticket, start, records: found };
                // A shard that has ended wants nothing.
                drop(process.mailbox(shard).post(Mail::Completion(read)));
            }
        })?;
        Ok(Reader { wanted: sender })
    }

    /// Asks for records; they come by mail.
    pub(crate) fn ask(&self, wanted: Wanted) {
        // The thread ends only with the process.
        let _ = self.wanted.send(wanted);
    }
}

/// Reads from `from` on.
pub(super) fn read(
    folder: &Path,
    segments: &Mutex<Segments>,
    from: Seq,
    bytes: u64,
) -> io::Result<Vec<Numbered>> {
    let mut read = Read::new(from, bytes);
    while let Some(next) = read.next() {
        let Some((start, last)) = find(segments, next) else { break };
        let file = match File::open(folder.join(segment::name(start.segment))) {
            // It was deleted after it was found: older records are gone, later ones are found in the next round.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && find(segments, next).map(|f| f.0) != Some(start) =>
            {
                continue;
            }
            other => other?,
        };
        let mut offset = start.offset;
        let mut wanted = PIECE.min(bytes.max(4_096));
        while offset < start.end && read.next().is_some() {
            let mut piece = vec![0; wanted.min(start.end - offset) as usize];
            file.read_exact_at(&mut piece, offset)?;
            let used = read.receive(start.segment, offset, &piece);
            wanted = PIECE;
            if used == 0 && read.next().is_some() {
                match group::size(&piece) {
                    Some(size) if size > piece.len() as u64 && offset + size <= start.end => wanted = size,
                    Some(_) | None => {
                        return Err(io::Error::other(format!("the group at byte {offset} is damaged")));
                    }
                }
            }
            offset += used;
        }
        if read.next().is_some() {
            read.skip_to(last.next());
        }
    }
    Ok(read.into_records())
}

fn find(segments: &Mutex<Segments>, from: Seq) -> Option<(offhook_core::log::segments::Start, Seq)> {
    let segments = lock(segments);
    let start = segments.find(from)?;
    let last = segments.iter().find(|used| used.id == start.segment)?.last;
    Some((start, last))
}
