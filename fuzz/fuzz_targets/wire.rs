#![no_main]

use frameloop::test_support::wire;

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire(data));
