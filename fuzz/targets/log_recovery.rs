//! See `offhook_tests::fuzz::log_recovery`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::log_recovery::run(data));
