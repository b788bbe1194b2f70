//! See `offhook_tests::fuzz::ws_handshake`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::ws_handshake::run(data));
