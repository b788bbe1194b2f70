//! A server that is stopped as a debugger or a suspended machine stops it: the world goes on, and it does not know.

use std::time::Instant;

use rustix::process::Signal;

use super::play::{Play, pass};
use super::wire::Wire;

/// Longer than `head_ms`, and than the patience with hooks.
const FROZEN_MS: u64 = 1_500;

pub(super) fn and_go_on(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    let mut slow = Wire::connect(server.address).expect("the server listens");
    slow.send("GET /v1/events HTTP/1.1\r\n").expect("the server listens");
    server.signal(Signal::STOP);
    pass(FROZEN_MS * 1_000);
    let before = play.stage.acknowledgements();
    server.signal(Signal::CONT);
    let begun = Instant::now();
    play.stage.wait_for_acknowledgements(before + 1);
    play.recovered_in(begun.elapsed());
    let answer = slow.reply().map(|(status, _)| status);
    assert_eq!(answer, Some(408), "a deadline that passed while nobody looked fires");
    play.work();
    play.stop(server);
}

pub(super) fn and_kill(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    server.signal(Signal::STOP);
    pass(play.rng.below(FROZEN_MS * 100));
    play.stage.down();
    server.kill();
}
