//! A file system without room: what would change something is refused, readers go on, and `/readyz` says why.

use super::play::Play;

pub(super) fn and_room_again(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    play.folder().fill_up();
    play.expect_refusals(&server);
    play.folder().make_room();
    play.expect_room(&server);
    play.work();
    play.stop(server);
}

pub(super) fn and_kill(play: &mut Play<'_>) {
    let server = play.start();
    play.work();
    play.folder().fill_up();
    play.expect_refusals(&server);
    play.stage.down();
    server.kill();
    // It finds room for nothing, or in what it had written ahead for a little.
    let server = play.start();
    play.expect_refusals(&server);
    play.folder().make_room();
    play.expect_room(&server);
    play.work();
    play.stage.down();
    server.kill();
}
