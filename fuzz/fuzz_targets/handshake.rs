#![no_main]

use frameloop::test_support::handshake;

libfuzzer_sys::fuzz_target!(|data: &[u8]| handshake(data));
