//! The crash suite, against `offhook-mio`.

use offhook_tests::crash::{Hooks, run};

/// What was acknowledged survives kill -9, and arrives.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    run(env!("CARGO_BIN_EXE_offhook-mio"), Hooks::All);
}
