#![no_main]

use frameloop::test_support::connection;

libfuzzer_sys::fuzz_target!(|data: &[u8]| connection(data));
