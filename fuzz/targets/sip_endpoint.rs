//! See `offhook_tests::fuzz::sip_endpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::sip_endpoint::run(data));
