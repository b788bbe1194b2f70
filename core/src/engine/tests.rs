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

/// Takes all that is lent, and gives the actions that are no writes.
fn drain(engine: &mut Engine) -> Vec<Action> {
    let mut others = Vec::new();
    while let Some(action) = engine.poll_action() {
        let Action::Flush(id) = action else {
            others.push(action);
            continue;
        };
        while let Some(lent) = engine.outbound(id).map(|out| out.len()) {
            engine.advance(Now::default(), id, lent);
        }
    }
    others
}

#[test]
fn a_stream_of_http_1_0_ends_at_once() {
    let mut engine = Engine::new(Config::default(), Place::default(), 1);
    let id = engine.accept(Now::default(), ListenerId(0), "127.0.0.1:1".parse().unwrap()).unwrap();
    engine.receive(Now::default(), id, b"GET /v1/events HTTP/1.0\r\n\r\n");
    assert!(drain(&mut engine).is_empty());
    engine.complete(Now::default(), Completion::Stop);
    let ended = drain(&mut engine);
    assert!(matches!(ended[..], [Action::Finish(finished)] if finished == id), "{ended:?}");
}
