//! See `offhook_tests::fuzz::ami_source`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::ami_source::run(data));
