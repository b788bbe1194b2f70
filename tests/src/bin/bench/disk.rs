//! The floor of durable ingest: groups of records are appended to a file that was written before, each
//! group with one write and one fdatasync. Nothing is received, parsed, framed or answered.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;
use crate::folder::Folder;
use crate::machine::Busy;
use crate::options::DiskFloorOptions;
use crate::process;
use crate::rate::{Rate, Watch};

/// Records of a group: as many as the events of a request.
pub(crate) const GROUP_RECORDS: u32 = 100;

/// Bytes of a record.
const RECORD_BYTES: usize = 300;

/// The file: overwritten from its beginning when it is full, as often as the time allows.
const FILE_BYTES: u64 = 128 * 1024 * 1024;

/// What is written at once while the file is made.
const STEP_BYTES: usize = 1024 * 1024;

/// Runs the floor on the server's core for `span`.
pub(crate) fn floor(span: Duration) -> Result<Rate> {
    let folder = Folder::on_disk()?;
    let file = folder.file("floor");
    let milliseconds = span.as_millis().to_string();
    let arguments = ["disk-floor", "--milliseconds", &milliseconds, "--file"].map(OsString::from);
    let said = process::output(&[&arguments[..], &[file.into()]].concat())?;
    read_rate(&said).ok_or_else(|| format!("the disk floor said {said:?}").into())
}

/// The floor's process: measures and says what it came to.
pub(crate) fn run(options: &DiskFloorOptions) -> Result<()> {
    let rate = append(&options.file, FILE_BYTES, Duration::from_millis(options.milliseconds));
    // A file made by hand goes as well; whoever made the folder removes it once more in vain.
    let _ = std::fs::remove_file(&options.file);
    print!("{}", write_rate(&rate?));
    Ok(())
}

/// Appends groups for `span` to a file of `file_bytes` that is written first.
fn append(path: &Path, file_bytes: u64, span: Duration) -> Result<Rate> {
    let mut file = File::create_new(path)?;
    let zeros = vec![0; STEP_BYTES];
    for _ in 0..file_bytes.div_ceil(STEP_BYTES as u64) {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    file.rewind()?;

    let group = vec![b'b'; RECORD_BYTES * GROUP_RECORDS as usize];
    let (mut records, mut at) = (0, 0);
    let watch = Watch::start(&[std::process::id()])?;
    let begin = Instant::now();
    while begin.elapsed() < span {
        if at + group.len() as u64 > file_bytes {
            file.rewind()?;
            at = 0;
        }
        file.write_all(&group)?;
        file.sync_data()?;
        at += group.len() as u64;
        records += u64::from(GROUP_RECORDS);
    }
    watch.stop(records)
}

/// A line that [`read_rate`] reads: records, nanoseconds, how busy the cores were, who was kept waiting.
fn write_rate(rate: &Rate) -> String {
    let (Busy { server, load }, ns) = (rate.busy, rate.wall.as_nanos());
    format!("{} {ns} {server} {load} {}\n", rate.done, rate.kept_waiting)
}

fn read_rate(line: &str) -> Option<Rate> {
    let mut fields = line.split_whitespace();
    let done = fields.next()?.parse().ok()?;
    let wall = Duration::from_nanos(fields.next()?.parse().ok()?);
    let [server, load, kept_waiting] = [fields.next()?, fields.next()?, fields.next()?].map(str::parse);
    let busy = Busy { server: server.ok()?, load: load.ok()? };
    Some(Rate { done, wall, busy, kept_waiting: kept_waiting.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_appended_within_the_file() {
        let path = std::env::temp_dir().join(format!("offhook-disk-floor-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let rate = append(&path, 1024 * 1024, Duration::from_millis(50)).expect("a disk");
        let bytes = std::fs::read(&path).expect("the file");
        std::fs::remove_file(&path).expect("removed");
        assert!(rate.done > 0 && rate.done.is_multiple_of(100));
        assert_eq!(bytes.len(), 1024 * 1024, "the file never grows beyond what was written before");
        assert!(bytes.starts_with(&[b'b'; RECORD_BYTES * GROUP_RECORDS as usize]));
    }

    #[test]
    fn a_rate_reads_back() {
        let busy = Busy { server: 0.5, load: 0.25 };
        let rate = Rate { done: 300, wall: Duration::from_nanos(1_234_567_890), busy, kept_waiting: 0.125 };
        let read = read_rate(&write_rate(&rate)).expect("a line");
        assert_eq!(format!("{read:?}"), format!("{rate:?}"));
        assert!(read_rate("300 12").is_none());
        assert!(read_rate("bench: no space left").is_none());
    }
}
