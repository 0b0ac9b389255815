#![no_main]

use frameloop::test_support::utf8;

libfuzzer_sys::fuzz_target!(|data: &[u8]| utf8(data));
