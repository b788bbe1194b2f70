//! See `offhook_tests::fuzz::world`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::world::run(data));
