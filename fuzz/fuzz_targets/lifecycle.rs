#![no_main]

use frameloop::test_support::lifecycle;

libfuzzer_sys::fuzz_target!(|data: &[u8]| lifecycle(data));
