//! See `offhook_tests::fuzz::isymphony_filters`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::isymphony_filters::run(data));
