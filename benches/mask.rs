//! §5.3: unmasking, where the payload begins at the start of a cache line and where it does not, against a byte at a time.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod harness;

use frameloop::protocol::mask::unmask;
use harness::{Bench, bytes};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[repr(align(64))]
struct Aligned([u8; 64 * 1024 + 64]);

fn main() {
    let mut bench = Bench::start();
    let mut memory = Box::new(Aligned([0x55; _]));
    for (size, name) in [(16, "16 B"), (64, "64 B"), (4096, "4 KiB"), (65536, "64 KiB")] {
        for (start, place) in [(0, "aligned"), (3, "unaligned")] {
            let payload = &mut memory.0[start..start + size];
            check(payload, start);
            bench.case(&format!("{name}, {place}"), bytes(size), (), || unmask(payload, KEY, start));
            if start == 0 {
                bench.rival(&format!("{name}, a byte at a time"), bytes(size), (), || formula(payload, start));
            }
        }
    }
}

/// The formula of §5.3, as it stands there.
fn formula(payload: &mut [u8], offset: usize) {
    for (i, byte) in payload.iter_mut().enumerate() {
        *byte ^= KEY[(offset + i) % 4];
    }
}

/// Both do the same.
fn check(payload: &mut [u8], offset: usize) {
    let mut expected = payload.to_vec();
    formula(&mut expected, offset);
    unmask(payload, KEY, offset);
    assert_eq!(payload, expected);
}
