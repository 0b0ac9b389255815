#![no_main]

use frameloop::test_support::frame_header;

libfuzzer_sys::fuzz_target!(|data: &[u8]| frame_header(data));
