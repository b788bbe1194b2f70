//! The crash suite, against `offhook-mio`.

use offhook_tests::crash::{Hooks, run};

/// Issue 3: what was acknowledged survives kill -9, and arrives.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    run(env!("CARGO_BIN_EXE_offhook-mio"), Hooks::All);
}
