#![no_main]

use frameloop::test_support::chat;

libfuzzer_sys::fuzz_target!(|data: &[u8]| chat(data));
