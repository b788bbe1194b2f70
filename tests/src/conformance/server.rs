//! The server under test: one process of its own, with its log, killed by its own id when the test ends.
//!
//! Nothing waits for time here: a test waits for a line of the log or for the end of the process, and [`PATIENCE`] is
//! the safety net of a hung server alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use std::io::{BufRead as _, BufReader};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test fails. No test relies on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const READY: &str = "listening on http://";

/// A binary whose conformance is tested.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    program: &'static str,
}

impl Subject {
    /// The binary at this path.
    #[must_use]
    pub fn new(program: &'static str) -> Subject {
        Subject { program }
    }

    /// Where the binary is.
    pub(super) fn program(&self) -> &'static str {
        self.program
    }

    /// The binary's name.
    pub(super) fn name(&self) -> &'static str {
        self.program.rsplit('/').next().unwrap_or(self.program)
    }

    /// A server on a free port of loopback, ready, with this config file.
    pub(super) fn server(&self, config: &str) -> Server {
        self.shards(1, config)
    }

    /// As [`Subject::server`], with so many shards.
    pub(super) fn shards(&self, shards: u16, config: &str) -> Server {
        let shards = shards.to_string();
        self.start(Some(config), &["--listen", "127.0.0.1:0", "--data", "none", "--shards", &shards])
    }

    /// A server that is ready, with exactly these arguments beside the config file.
    pub(super) fn start(&self, config: Option<&str>, arguments: &[&str]) -> Server {
        let mut server = self.spawn(config, arguments);
        server.wait_until_ready();
        server
    }

    /// A process that may or may not become ready.
    pub(crate) fn spawn(&self, config: Option<&str>, arguments: &[&str]) -> Server {
        let config = config.map(ScratchFile::new);
        let mut command = Command::new(self.program);
        // The environment of whoever runs the tests configures nothing.
        for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("OFFHOOK_")) {
            command.env_remove(name);
        }
        if let Some(file) = &config {
            command.arg("--config").arg(&file.0);
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {}: {e}", self.program));
        let log = Arc::new(Log::default());
        let reader = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let writer = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                writer.push(line);
            }
            writer.end();
        });
        Server { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), log, read: 0, config }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    /// Lines of the log that were waited for already.
    read: usize,
    config: Option<ScratchFile>,
}

impl Server {
    /// Waits until it says where it listens.
    pub(crate) fn wait_until_ready(&mut self) {
        let line = self.wait_for(READY);
        let address = line.split(READY).nth(1).and_then(|rest| rest.trim().parse().ok());
        self.address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
    }

    /// The next line of the log that holds `part`.
    pub(super) fn wait_for(&mut self, part: &str) -> String {
        let found = self.log.wait(|lines, ended| {
            let at = lines[self.read..].iter().position(|line| line.contains(part));
            at.map(Some).or(ended.then_some(None))
        });
        match found.flatten() {
            Some(at) => {
                self.read += at + 1;
                self.log.lines()[self.read - 1].clone()
            }
            None => panic!("{part:?} did not appear in the log:\n{}", self.log.lines().join("\n")),
        }
    }

    /// Whether any line so far holds `part`.
    pub(crate) fn has_said(&self, part: &str) -> bool {
        self.log.lines().iter().any(|line| line.contains(part))
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether a line that was not waited for holds `part`.
    pub(super) fn has_logged(&self, part: &str) -> bool {
        self.log.lines()[self.read..].iter().any(|line| line.contains(part))
    }

    /// Sends a signal to this process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// Writes another config file in the place of the first.
    pub(super) fn rewrite_config(&self, text: &str) {
        let file = self.config.as_ref().expect("the server has a config file");
        std::fs::write(&file.0, text).expect("the folder for temporary files can be written");
    }

    /// How long all threads of the process were on a core so far (the first field of `schedstat`).
    pub(super) fn ran_ns(&self) -> u64 {
        let tasks =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the process is there");
        let ran = |task: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        tasks.filter_map(ran).sum()
    }

    /// The config file's name.
    pub(super) fn config_name(&self) -> String {
        self.config.as_ref().map_or_else(String::new, |file| file.0.display().to_string())
    }

    /// Waits for the end of the process: its exit code (`None`: a signal ended it) and its whole log.
    pub(crate) fn wait_exit(&mut self) -> (Option<i32>, String) {
        let ended = self.log.wait(|_, ended| ended.then_some(()));
        assert!(ended.is_some(), "the server did not end; its log:\n{}", self.log.lines().join("\n"));
        let status = self.child.wait().expect("the process can be waited for");
        (status.code(), self.log.lines().join("\n"))
    }

    /// kill -9, and the end of the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process is there");
        self.child.wait().expect("the process can be waited for");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("log of process {}:\n{}", self.child.id(), self.log.lines().join("\n"));
        }
    }
}

#[derive(Debug, Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Log {
    fn push(&self, line: String) {
        self.lines.lock().expect("no holder panics").0.push(line);
        self.more.notify_all();
    }

    fn end(&self) {
        self.lines.lock().expect("no holder panics").1 = true;
        self.more.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no holder panics").0.clone()
    }

    /// Waits until `find` finds something in the lines, given whether the log has ended.
    fn wait<T>(&self, find: impl Fn(&[String], bool) -> Option<T>) -> Option<T> {
        let mut lines = self.lines.lock().expect("no holder panics");
        loop {
            if let Some(found) = find(&lines.0, lines.1) {
                return Some(found);
            }
            let (guard, timeout) = self.more.wait_timeout(lines, PATIENCE).expect("no holder panics");
            lines = guard;
            if timeout.timed_out() {
                return None;
            }
        }
    }
}

/// A file among the temporary ones, gone with its owner.
#[derive(Debug)]
pub(super) struct ScratchFile(pub(super) PathBuf);

impl ScratchFile {
    pub(super) fn new(text: &str) -> ScratchFile {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("offhook-conformance-{}-{number}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("the folder for temporary files can be written");
        ScratchFile(path)
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}
