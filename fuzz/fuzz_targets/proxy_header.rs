#![no_main]

use frameloop::test_support::proxy_header;

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy_header(data));
