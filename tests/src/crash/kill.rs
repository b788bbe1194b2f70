//! kill -9: under load, while the server starts, while it stops.

use rustix::process::Signal;

use super::play::{Play, pass};

/// A round that is to end before the server is ready ends within this time.
const YOUNG_MS: u64 = 60;

/// About as long as a stop takes.
const STOPPING_MS: u64 = 30;

pub(super) fn at_any_moment(play: &mut Play<'_>) {
    if play.round > 0 && play.rng.below(5) == 0 {
        young(play);
    } else {
        under_load(play);
    }
}

pub(super) fn while_starting(play: &mut Play<'_>) {
    under_load(play);
    for _ in 0..=play.rng.below(3) {
        young(play);
    }
}

pub(super) fn while_stopping(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    play.stage.down();
    server.signal(Signal::TERM);
    pass(play.rng.below(STOPPING_MS * 1_000));
    server.kill();
}

fn under_load(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    play.stage.down();
    server.kill();
}

fn young(play: &mut Play<'_>) {
    let server = play.spawn();
    pass(play.rng.below(YOUNG_MS * 1_000));
    server.kill();
}
