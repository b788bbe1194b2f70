//! See `offhook_tests::fuzz::xms_xml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| offhook_tests::fuzz::xms_xml::run(data));
