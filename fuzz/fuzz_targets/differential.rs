#![no_main]

use frameloop::test_support::differential;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    differential(data);
});
