#![no_main]

use frameloop::test_support::close_payload;

libfuzzer_sys::fuzz_target!(|data: &[u8]| close_payload(data));
