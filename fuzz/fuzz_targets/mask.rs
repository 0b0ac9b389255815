#![no_main]

use frameloop::test_support::mask;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mask(data));
