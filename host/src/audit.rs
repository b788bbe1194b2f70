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
