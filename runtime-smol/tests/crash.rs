//! The crash lab's first scenario, against `offhook-smol`.

/// What was acknowledged survives kill -9, and arrives.
#[test]
fn what_was_acknowledged_survives_kill_9() {
    offhook_tests::crash::run(env!("CARGO_BIN_EXE_offhook-smol"), "kill");
}
