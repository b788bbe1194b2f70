//! See `offhook_tests::fuzz::url_template`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::url_template::run(data));
