//! See `offhook_tests::fuzz::query`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::query::run(data));
