//! Faults of the disk, put between a running server and the kernel by `strace --inject`: it attaches to all threads, and
//! what it did ends when it is gone.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::conformance::server::{PATIENCE, Server};

/// Attached.
#[derive(Debug)]
pub(super) struct Strace {
    child: Child,
    trace: PathBuf,
}

impl Strace {
    /// Whether this machine has it, and lets it trace.
    pub(super) fn is_there() -> bool {
        static THERE: OnceLock<bool> = OnceLock::new();
        *THERE.get_or_init(|| {
            let mut tried = Command::new("strace");
            tried
                .args(["-e", "inject=fdatasync:error=EIO", "true"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            tried.status().is_ok_and(|status| status.success())
        })
    }

    /// From its return on, calls of `call` meet the fault, as strace(1) writes it.
    pub(super) fn attach(server: &Server, call: &str, fault: &str) -> Strace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let trace = std::env::temp_dir().join(format!("offhook-strace-{}-{number}", std::process::id()));
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "signal=none", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:{fault}")]);
        command.args(["-p", &server.pid().to_string(), "-o"]).arg(&trace);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("strace is there");
        let mut says = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut line = String::new();
        says.read_line(&mut line).expect("strace speaks");
        assert!(line.contains(" attached"), "{line}");
        // What it says of threads that come and go must find a reader.
        std::thread::spawn(move || std::io::copy(&mut says, &mut std::io::sink()));
        Strace { child, trace }
    }

    /// Lets go of the threads; none is left in the middle of a call, as they would be if this were only dropped.
    pub(super) fn detach(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("strace is there");
        self.child.wait().expect("strace can be waited for");
    }

    /// Waits until a call has begun.
    pub(super) fn wait_for_call(&self) {
        let begun = Instant::now();
        while fs::read(&self.trace).is_ok_and(|trace| trace.is_empty()) {
            assert!(begun.elapsed() < PATIENCE, "the call never comes");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_file(&self.trace));
    }
}
