//! The audit log: JSON lines in the file of `[audit] file`, or among the server's own log lines, under the target `audit`,
//! when there is none. The file is opened to append and anew at every reload, so that it can be moved away.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use offhook_core::hub::access::audit::Audit;

use crate::mailbox::lock;

/// The target of audit lines in the server's own log.
pub(crate) const TARGET: &str = "audit";

/// Where audit lines go; all shards share it.
#[derive(Debug, Default)]
pub(crate) struct AuditLog {
    file: Mutex<Option<File>>,
}

impl AuditLog {
    /// Opens a file, which is the log from here on; `None` is the server's own log. The error is a sentence.
    pub(crate) fn open(&self, path: Option<&PathBuf>) -> Result<(), String> {
        let opened = path.map(|path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            file.map_err(|error| {
                format!("cannot open the audit log {}: {error} ([audit] file)", path.display())
            })
        });
        *lock(&self.file) = opened.transpose()?;
        Ok(())
    }

    /// Writes a line.
    pub(crate) fn write(&self, line: &Audit) {
        let Ok(mut text) = serde_json::to_string(line) else { return };
        let mut file = lock(&self.file);
        let Some(open) = file.as_mut() else {
            return tracing::info!(target: TARGET, "{text}");
        };
        text.push('\n');
        if let Err(error) = open.write_all(text.as_bytes()) {
            tracing::error!("the audit log cannot be written and goes on here: {error}");
            *file = None;
            tracing::info!(target: TARGET, "{}", text.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(path: &str) -> Audit {
        Audit { path: Some(path.into()), ..Audit::default() }
    }

    fn read(path: &PathBuf) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_appended_and_a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit.jsonl"), folder.path().join("audit.1"));
        fs::write(&path, "{\"path\":\"before\"}\n").unwrap();
        let log = AuditLog::default();
        log.open(Some(&path)).unwrap();
        log.write(&line("1"));
        fs::rename(&path, &moved).unwrap();
        log.write(&line("2"));
        log.open(Some(&path)).unwrap();
        log.write(&line("3"));
        let paths =
            |lines: Vec<serde_json::Value>| -> Vec<_> { lines.iter().map(|l| l["path"].clone()).collect() };
        assert_eq!(paths(read(&moved)), ["before", "1", "2"]);
        assert_eq!(paths(read(&path)), ["3"]);
    }

    #[test]
    fn a_file_that_cannot_be_opened_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let log = AuditLog::default();
        log.open(Some(&path)).unwrap();
        let error = log.open(Some(&folder.path().join("none/audit.jsonl"))).unwrap_err();
        assert!(
            error.starts_with("cannot open the audit log") && error.ends_with("([audit] file)"),
            "{error}"
        );
        log.write(&line("1"));
        assert_eq!(read(&path).len(), 1);
    }
}
