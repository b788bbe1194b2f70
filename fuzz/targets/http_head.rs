//! See `offhook_tests::fuzz::http_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::http_head::run(data));
