//! What concerns the doorway alone; conversations are in the package of the tests.

use super::*;
use crate::ground::time::Wall;

#[test]
fn an_idle_connection_is_closed_once() {
    let mut engine = Engine::new(Config::default(), Place::default(), 1);
    let id = engine.accept(Now::default(), ListenerId(0), "127.0.0.1:1".parse().unwrap()).unwrap();
    let due = engine.poll_timeout().expect("a silent connection has a deadline");
    // A connection that is closing must not arm the deadline that has passed again: this would never return.
    engine.handle_timeout(Now { mono: due, wall: Wall(due.0) });
    assert!(matches!(engine.poll_action(), Some(Action::Close(closed)) if closed == id));
    assert!(engine.poll_action().is_none() && engine.poll_timeout().is_none());
}
