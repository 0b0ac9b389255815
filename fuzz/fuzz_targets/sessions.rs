#![no_main]

use frameloop::test_support::sessions;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sessions(data));
