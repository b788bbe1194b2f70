//! The conformance suite, against `offhook-smol`: every script is one test.

offhook_tests::conformance!(env!("CARGO_BIN_EXE_offhook-smol"));
