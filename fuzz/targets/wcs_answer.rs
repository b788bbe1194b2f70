//! See `offhook_tests::fuzz::wcs_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::wcs_answer::run(data));
