//! The whole host with a runtime that has no sockets of peers: start, signals, reload, and the ways it ends. What
//! needs a process of its own (signals, exit codes) runs this test binary again as a child.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use offhook_core::{Action, Completion};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::Process;
use crate::server::{Failure, run};
use crate::shard::Shard;

/// Tells a child which test it is to play.
const CHILD: &str = "OFFHOOK_TEST_CHILD";

fn arguments<'a>(given: &'a [&'a str]) -> impl Iterator<Item = std::ffi::OsString> + 'a {
    ["offhook-test"].iter().chain(given).map(Into::into)
}

/// Waits for mail and deadlines until the engine is drained.
fn without_sockets(mut shard: Shard) -> io::Result<()> {
    let bell = Arc::new((Mutex::new(false), Condvar::new()));
    let ringer = Arc::clone(&bell);
    shard.port.on_mail(move || {
        *ringer.0.lock().unwrap() = true;
        ringer.1.notify_one();
    });
    loop {
        let mut rung = bell.0.lock().unwrap();
        if !*rung {
            rung = bell.1.wait_timeout(rung, Duration::from_millis(50)).unwrap().0;
        }
        *rung = false;
        drop(rung);
        let now = shard.clock.now();
        shard.port.take_mail(now, &mut shard.engine);
        shard.engine.handle_timeout(now);
        while let Some(action) = shard.engine.poll_action() {
            shard.port.carry_out(now, &mut shard.engine, action);
        }
        if shard.port.stopping() && shard.engine.is_drained() {
            return Ok(());
        }
    }
}

fn never_drained(_shard: Shard) -> io::Result<()> {
    loop {
        std::thread::park();
    }
}

#[test]
fn a_shard_that_fails_stops_the_others() {
    fn runtime(shard: Shard) -> io::Result<()> {
        match std::thread::current().name() {
            Some("shard-2") => Err(io::Error::other("epoll is gone")),
            _ => without_sockets(shard),
        }
    }
    let given = ["--listen", "127.0.0.1:0", "--shards", "3", "--data", "none", "--log-level", "error"];
    match run("offhook-test", runtime, arguments(&given)) {
        Err(Failure::World(text)) => assert_eq!(text, "shard 2 failed: epoll is gone"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_taken_port_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    match run("offhook-test", without_sockets, arguments(&["--listen", &address, "--log-level", "error"])) {
        Err(Failure::World(text)) => {
            assert!(
                text.starts_with(&format!("cannot listen on {address}: Address already in use; ")),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
}

/// Nothing is bound before it is known who may come in.
#[test]
fn a_listener_for_whoever_comes_ends_the_start() {
    let given = ["--listen", "0.0.0.0:0", "--data", "none", "--log-level", "error"];
    match run("offhook-test", without_sockets, arguments(&given)) {
        Err(Failure::Config(text)) => {
            assert!(text.starts_with("the listener 0.0.0.0:0 is reached from other machines"), "{text}");
            assert!(text.ends_with("or start with --insecure"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn appending_feeds_the_engine_and_reports_are_answered() {
    let process = Arc::new(Process::new(1, "test"));
    let mut port = crate::port::Port::new(0, Arc::clone(&process));
    let clock = crate::clock::Clock::start();
    let mut engine = offhook_core::Engine::new(<_>::default(), <_>::default(), 1);
    assert!(!port.has_mail());
    port.carry_out(clock.now(), &mut engine, Action::Append(Vec::new()));
    port.carry_out(clock.now(), &mut engine, Action::Report(1));
    assert!(!port.has_mail(), "the document is taken at once");
    drop(process.mailbox(0).post(crate::mailbox::Mail::Completion(Completion::Stop)));
    assert!(port.has_mail());
    port.take_mail(clock.now(), &mut engine);
    assert!(!port.has_mail());
}

/// A child that does not outlive its test, also when that fails.
struct Played(Child);

impl Drop for Played {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// This test binary again, playing `name` alone.
fn child(name: &str) -> (Played, BufReader<ChildStderr>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("tests::{name}"), "--test-threads=1"])
        .env(CHILD, name)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (Played(child), stderr)
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Reads the child's log up to a line with `part`.
fn read_until(stderr: &mut BufReader<ChildStderr>, part: &str) -> String {
    let mut all = String::new();
    loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the log ended before \"{part}\":\n{all}");
        all.push_str(&line);
        if line.contains(part) {
            return all;
        }
    }
}

fn signal(child: &Played, signal: Signal) {
    kill_process(Pid::from_child(&child.0), signal).unwrap();
}

#[test]
fn a_signal_drains_and_a_reload_is_judged() {
    let file =
        std::env::temp_dir().join(format!("offhook-test-{}.toml", if is_child() { parent() } else { me() }));
    if is_child() {
        let file = file.display().to_string();
        let given = ["--config", &file, "--shards", "2", "--demo", "--log-level", "warn"];
        return run("offhook-test", without_sockets, arguments(&given)).unwrap();
    }
    std::fs::write(&file, "[[listener]]\naddress = \"127.0.0.1:0\"\n").unwrap();
    let (mut child, mut stderr) = child("a_signal_drains_and_a_reload_is_judged");
    let start = read_until(&mut stderr, "listening on http://127.0.0.1:");
    assert!(!start.contains("records are kept"), "--demo implies --data none:\n{start}");
    read_until(&mut stderr, "curl -N http://127.0.0.1:");
    std::fs::write(&file, "[xms]\nkeepaliv = 1\n").unwrap();
    signal(&child, Signal::HUP);
    read_until(&mut stderr, "did you mean \"keepalive\"?");
    read_until(&mut stderr, "not reloaded");
    std::fs::write(&file, "[[listener]]\naddress = \"127.0.0.1:1\"\n[xms]\nkeepalive = \"5s\"").unwrap();
    signal(&child, Signal::HUP);
    read_until(&mut stderr, "that takes a restart");
    signal(&child, Signal::TERM);
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    std::fs::remove_file(file).unwrap();
}

fn me() -> u32 {
    std::process::id()
}

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

#[test]
fn a_second_signal_ends_at_once() {
    if is_child() {
        let given = ["--listen", "127.0.0.1:0", "--log-format", "json", "--data", "none"];
        return run("offhook-test", never_drained, arguments(&given)).unwrap();
    }
    let (mut child, mut stderr) = child("a_second_signal_ends_at_once");
    let start = read_until(&mut stderr, "\"message\":\"listening on http://127.0.0.1:");
    assert!(start.contains("nothing is kept"), "{start}");
    signal(&child, Signal::INT);
    read_until(&mut stderr, "stopping");
    signal(&child, Signal::INT);
    assert_eq!(child.0.wait().unwrap().code(), Some(130));
}
