//! See `offhook_tests::fuzz::sip_connection`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::sip_connection::run(data));
