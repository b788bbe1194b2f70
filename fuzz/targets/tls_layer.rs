//! See `offhook_tests::fuzz::tls_layer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::tls_layer::run(data));
