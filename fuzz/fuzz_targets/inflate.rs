#![no_main]

use frameloop::test_support::inflate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| inflate(data));
