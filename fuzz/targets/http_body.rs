//! See `offhook_tests::fuzz::http_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::http_body::run(data));
