#![no_main]

use frameloop::test_support::tokens;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tokens(data));
