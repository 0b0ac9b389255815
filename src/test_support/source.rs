//! Choices, read from the front of an input.

use std::time::Duration;

/// The choices of a test, read from the front of an input: bytes and numbers as long as there are any, and zeros after
/// that. So a fuzzer, which knows how to change bytes, changes what happens.
#[derive(Debug)]
pub struct Source<'d> {
    left: &'d [u8],
}

impl<'d> Source<'d> {
    /// All choices of an input.
    pub fn new(data: &'d [u8]) -> Source<'d> {
        Source { left: data }
    }

    /// Whether the input is used up.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, left)) = self.left.split_first() else { return 0 };
        self.left = left;
        byte
    }

    /// The next bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A number up to and including `most`.
    pub fn up_to(&mut self, most: usize) -> usize {
        usize::from(u16::from_be_bytes(self.array())) % (most + 1)
    }

    /// Mostly none or a few milliseconds, now and then hours.
    pub fn duration(&mut self) -> Duration {
        let [scale, amount] = self.array();
        Duration::from_millis(u64::from(amount) << (scale % 20))
    }

    /// At most so many of the next bytes.
    pub fn take(&mut self, count: usize) -> &'d [u8] {
        let (front, left) = self.left.split_at(count.min(self.left.len()));
        self.left = left;
        front
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'d [u8] {
        std::mem::take(&mut self.left)
    }
}

/// `bytes` cut into pieces of any length, as `seed` has it: 0 gives single bytes.
pub fn cut(bytes: &[u8], seed: u16) -> Vec<&[u8]> {
    let mut random = u32::from(seed);
    let mut pieces = Vec::new();
    let mut left = bytes;
    while !left.is_empty() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Short pieces and long ones: half of them have fewer than 8 bytes.
        let most = if seed == 0 { 1 } else { 8 << (random >> 16 & 7) };
        let (piece, rest) = left.split_at((1 + (random >> 20) as usize % most).min(left.len()));
        pieces.push(piece);
        left = rest;
    }
    pieces
}
