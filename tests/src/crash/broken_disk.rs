//! A disk that fails or is slow, as the kernel would tell it.

use rustix::process::Signal;

use super::play::Play;
use super::strace::Strace;

/// What the disk has of it nobody can know, so one is enough.
pub(super) fn failed_sync(play: &mut Play<'_>) {
    ends_with(play, "fdatasync", "error=EIO:when=1");
}

pub(super) fn failed_write(play: &mut Play<'_>) {
    ends_with(play, "pwrite64", "error=EIO");
}

fn ends_with(play: &mut Play<'_>, call: &str, fault: &str) {
    let mut server = play.start();
    play.work();
    let strace = Strace::attach(&server, call, fault);
    // Those who are connected go on.
    play.stage.down();
    let (code, log) = server.wait_exit();
    drop(strace);
    assert_eq!(code, Some(1), "{log}");
    // A file may have been just begun: then that is what failed.
    assert!(log.contains("the log's file ") && log.contains("; the next start finds out"), "{log}");
}

pub(super) fn no_space(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    let strace = Strace::attach(&server, "pwrite64", "error=ENOSPC");
    play.expect_refusals(&server);
    strace.detach();
    play.expect_room(&server);
    play.work();
    play.stop(server);
}

pub(super) fn slow(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    let delay_us = 5_000 + play.rng.below(35_000);
    let strace = Strace::attach(&server, "fdatasync", &format!("delay_enter={delay_us}"));
    play.work();
    play.stage.down();
    server.signal(Signal::KILL);
    drop(strace);
    server.kill();
}
