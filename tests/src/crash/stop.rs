//! A stop that was asked for, in the middle of the load.

use super::play::Play;

pub(super) fn under_load(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    play.stop(server);
}
