//! The data folder: made if it is missing, locked against a second process for as long as this one lives, and read back.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use offhook_core::log::recovery::{Numbered, Recovered, Recovery, records};
use offhook_core::log::segment;
use rustix::fs::{FlockOperation, flock};

use super::disk;

/// A folder that is ours.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The lock is gone when this is closed, however the process ends.
    _lock: File,
}

impl Folder {
    /// Opens and locks the folder. The error is a sentence.
    pub(crate) fn open(path: &str) -> Result<Folder, String> {
        let cannot = |what: &str, error: &io::Error| {
            format!(
                "cannot {what} the data folder {path}: {error} (--data names another one, --data none keeps nothing)"
            )
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| cannot("make", &error))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(Path::new(path).join("lock")).map_err(|error| cannot("open", &error))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Folder { path: path.into(), _lock: lock }),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(format!(
                "the data folder {path} is in use by another process; stop it, or choose another folder (--data)"
            )),
            Err(error) => Err(cannot("lock", &error.into())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Judges all segments, and erases a torn end. The error is a sentence.
    pub(crate) fn recover(&self) -> Result<Recovered, String> {
        let shown = self.path.display();
        let failed = |error: io::Error| format!("cannot read the data folder {shown}: {error}");
        let mut recovery = Recovery::default();
        loop {
            for id in self.segments().map_err(failed)? {
                let bytes = self.read(id).map_err(failed)?;
                recovery.receive(id, &bytes).map_err(|damage| format!("{shown}/{damage}"))?;
            }
            let Some(first) = recovery.begins_at() else { break };
            recovery = Recovery::from(first);
        }
        let recovered = recovery.finish().map_err(|damage| format!("{shown}/{damage}"))?;
        if let Some(end) = recovered.end.filter(|_| recovered.torn) {
            disk::erase(&self.path, end.segment, end.offset).map_err(failed)?;
            tracing::warn!(
                "the last write before the server ended was torn: what follows record {} was cut off; nobody was told \
                 that it was kept",
                recovered.last
            );
        }
        if recovered.skipped > 0 {
            tracing::warn!("{} records of a later version were passed over", recovered.skipped);
        }
        Ok(recovered)
    }

    /// The records of a segment that was judged sound.
    pub(crate) fn records(&self, id: u64, end: u64) -> Result<Vec<Numbered>, String> {
        let bytes = self.read(id);
        let bytes =
            bytes.map_err(|error| format!("cannot read the data folder {}: {error}", self.path.display()))?;
        Ok(records(id, &bytes, end).collect())
    }

    fn segments(&self) -> io::Result<Vec<u64>> {
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            ids.extend(entry?.file_name().to_str().and_then(segment::id_of));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn read(&self, id: u64) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(segment::name(id)))
    }
}
