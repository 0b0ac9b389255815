#![no_main]

use frameloop::test_support::requests;

libfuzzer_sys::fuzz_target!(|data: &[u8]| requests(data));
