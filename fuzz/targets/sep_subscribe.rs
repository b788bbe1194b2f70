//! See `offhook_tests::fuzz::sep_subscribe`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::sep_subscribe::run(data));
