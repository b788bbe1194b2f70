//! See `offhook_tests::fuzz::ami_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::ami_stream::run(data));
