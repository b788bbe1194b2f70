//! A power cut in the middle of a write, by hand: the server dies between a write and its sync, and of that write only a
//! part stays. Nobody was told of what it held.

use std::path::PathBuf;

use offhook_core::ground::rng::Rng;
use offhook_core::log::{group, segment};
use rustix::process::Signal;

use super::play::{Play, pass};
use super::strace::Strace;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// For at most this time a group stands there unsynced before the server dies.
const WAIT_MS: u64 = 100;

/// Longer than any round, in microseconds.
const FOREVER: &str = "delay_enter=600000000:when=1";

pub(super) fn tail(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    let strace = Strace::attach(&server, "fdatasync", FOREVER);
    strace.wait_for_call();
    // A server that acknowledges before the call is over shall be found out.
    pass(play.rng.below(WAIT_MS * 1_000));
    play.stage.down();
    // Only when it is as good as dead may the call go on; and only then is it dead.
    server.signal(Signal::KILL);
    drop(strace);
    server.kill();
    let is_torn = tear(last_segment(play), &mut play.rng);
    let server = play.start();
    assert!(!is_torn || server.has_said("the last write before the server ended was torn"));
    play.work();
    play.stop(server);
}

/// The youngest file with a head; those behind it were only written ahead.
fn last_segment(play: &Play<'_>) -> (PathBuf, u64, Vec<u8>) {
    let folder = std::fs::read_dir(play.folder().path()).expect("the folder is there");
    let names = folder.map(|entry| entry.expect("the folder can be read").path());
    let used = names.filter_map(|path| {
        let id = segment::id_of(path.file_name()?.to_str()?)?;
        let bytes = std::fs::read(&path).expect("the log can be read");
        matches!(segment::parse(&bytes, id), segment::Found::Head(_)).then_some((path, id, bytes))
    });
    used.max_by_key(|(_, id, _)| *id).expect("the log has a file")
}

/// Takes a part of what was not synced: of the last group, or of the head if no group follows it. Whether the server can
/// see that something was there.
fn tear((path, id, mut bytes): (PathBuf, u64, Vec<u8>), rng: &mut Rng) -> bool {
    let mut at = segment::HEAD_BYTES;
    let mut last = 0..at;
    while let Some(group) = group::parse(&bytes[at..], id, at as u64) {
        last = at..at + group.size() as usize;
        at = last.end;
    }
    let is_head = last.start == 0;
    if rng.below(2) == 0 || is_head {
        let from = last.start + rng.below(last.len() as u64) as usize;
        bytes[from..last.end].fill(0);
    } else {
        let sectors = last.start / SECTOR..=(last.end - 1) / SECTOR;
        for sector in sectors.filter(|_| rng.below(2) == 0) {
            let lost = (sector * SECTOR).max(last.start)..((sector + 1) * SECTOR).min(last.end);
            bytes[lost].fill(0);
        }
    }
    std::fs::write(&path, &bytes).expect("the log can be written");
    let is_whole = group::parse(&bytes[last.start..], id, last.start as u64).is_some();
    !is_head && !is_whole && bytes[last].iter().any(|byte| *byte != 0)
}
