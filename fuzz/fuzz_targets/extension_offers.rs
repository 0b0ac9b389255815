#![no_main]

use frameloop::test_support::extension_offers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| extension_offers(data));
