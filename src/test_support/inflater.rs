//! RFC 1951, written a second time and bit by bit: slow, and short enough to be read beside it.

/// The receiver of compressed messages (RFC 7692 §7.2.2), to compare another one with.
#[derive(Debug)]
pub struct Inflater {
    /// The end of what was decompressed, as far as it may be referred to.
    window: Vec<u8>,
    window_bytes: usize,
}

/// What is read, bit by bit.
#[derive(Debug)]
struct Bits<'d> {
    bytes: &'d [u8],
    /// The number of bits that were read.
    at: usize,
}

/// A Huffman code (RFC 1951 §3.2.2).
#[derive(Debug)]
struct Code {
    /// How many codes have this many bits.
    counts: [u16; 16],
    /// What they stand for, in their order.
    symbols: Vec<u16>,
}

impl Inflater {
    /// One with a window of so many bits: whatever refers farther back is an error.
    pub fn new(window_bits: u8) -> Inflater {
        Inflater { window: Vec::new(), window_bytes: 1 << window_bits }
    }

    /// Forgets the messages before.
    pub fn reset(&mut self) {
        self.window.clear();
    }

    /// The payload of a message; `None` if it is no DEFLATE, or has more bytes, or ends within a block. A final block ends a
    /// stream, and whatever follows begins another.
    pub fn inflate(&mut self, compressed: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let mut payload = Vec::new();
        let bytes = [compressed, &[0, 0, 0xff, 0xff]].concat();
        let mut bits = Bits { bytes: &bytes, at: 0 };
        while !compressed.is_empty() {
            let (is_final, kind, before) = (bits.take(1)? == 1, bits.take(2)?, payload.len());
            match kind {
                0 => self.stored(&mut bits, &mut payload)?,
                1 => self.coded(&mut bits, &Code::of_literals()?, &Code::new(&[5; 32])?.0, &mut payload, bytes_max)?,
                2 => {
                    let (literals, distances) = dynamic_codes(&mut bits)?;
                    self.coded(&mut bits, &literals, &distances, &mut payload, bytes_max)?;
                }
                _ => return None,
            }
            if is_final {
                bits.align();
                self.reset();
            }
            if payload.len() > bytes_max {
                return None;
            }
            let (at, end) = (bits.at, 8 * compressed.len());
            if at == end && is_final {
                break; // there is no need for the tail
            }
            if at > end {
                // The tail is the end of an empty block, and of no other.
                let is_empty = kind == 0 && payload.len() == before && !is_final;
                return (is_empty && at == 8 * bytes.len()).then_some(payload);
            }
        }
        Some(payload)
    }

    fn put(&mut self, byte: u8, payload: &mut Vec<u8>) {
        payload.push(byte);
        self.window.push(byte);
        if self.window.len() >= 2 * self.window_bytes {
            self.window.drain(..self.window_bytes);
        }
    }

    /// RFC 1951 §3.2.4.
    fn stored(&mut self, bits: &mut Bits<'_>, payload: &mut Vec<u8>) -> Option<()> {
        bits.align();
        let (len, complement) = (bits.take(16)?, bits.take(16)?);
        if len ^ complement != 0xffff {
            return None;
        }
        for _ in 0..len {
            let byte = bits.take(8)? as u8;
            self.put(byte, payload);
        }
        Some(())
    }

    /// RFC 1951 §3.2.5.
    fn coded(
        &mut self,
        bits: &mut Bits<'_>,
        literals: &Code,
        distances: &Code,
        payload: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Option<()> {
        while payload.len() <= bytes_max {
            let symbol = literals.decode(bits)?;
            if symbol < 256 {
                self.put(symbol as u8, payload);
                continue;
            }
            let Some(symbol) = symbol.checked_sub(257) else { return Some(()) };
            let (base, extra) = *LENGTHS.get(usize::from(symbol))?;
            let len = base + bits.take(extra)?;
            let (base, extra) = distance_base(distances.decode(bits)?)?;
            let distance = base + bits.take(extra)?;
            if distance > self.window.len().min(self.window_bytes) {
                return None;
            }
            for _ in 0..len {
                self.put(self.window[self.window.len() - distance], payload);
            }
        }
        None
    }
}

impl Bits<'_> {
    /// The next bits, 16 at most, the least significant one first.
    fn take(&mut self, count: usize) -> Option<usize> {
        let end = self.at + count;
        let bytes = self.bytes.get(self.at / 8..end.div_ceil(8))?;
        let value = bytes.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte));
        let value = value >> (self.at % 8) & ((1 << count) - 1);
        self.at = end;
        Some(value)
    }

    /// To the next boundary of a byte.
    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

impl Code {
    /// The code whose symbols have so many bits each, and whether it is complete; `None` if there are more than bits allow.
    fn new(lengths: &[u8]) -> Option<(Code, bool)> {
        let mut counts = [0_u16; 16];
        lengths.iter().for_each(|&len| counts[usize::from(len)] += 1);
        let mut left = 1_i32;
        for &count in &counts[1..] {
            left = 2 * left - i32::from(count);
            if left < 0 {
                return None;
            }
        }
        let of_len = |len: u8| (0..).zip(lengths).filter(move |&(_, &l)| l == len).map(|(symbol, _)| symbol);
        let symbols = (1..16).flat_map(of_len).collect();
        Some((Code { counts, symbols }, left == 0))
    }

    /// RFC 1951 §3.2.6.
    fn of_literals() -> Option<Code> {
        let lengths = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
        Some(Code::new(&lengths)?.0)
    }

    fn decode(&self, bits: &mut Bits<'_>) -> Option<u16> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for &count in &self.counts[1..] {
            let count = usize::from(count);
            code |= bits.take(1)?;
            if code < first + count {
                return self.symbols.get(index + code - first).copied();
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }

    /// Whether it is allowed although it is not complete: it has one symbol, or none.
    fn is_of_one(&self) -> bool {
        self.symbols.len() <= 1 && self.symbols.len() == usize::from(self.counts[1])
    }
}

/// RFC 1951 §3.2.7: the codes of literals and of distances.
fn dynamic_codes(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    let (literals, distances, count) = (257 + bits.take(5)?, 1 + bits.take(5)?, 4 + bits.take(4)?);
    if literals > 286 || distances > 30 {
        return None;
    }
    let mut lengths = [0; 19];
    for &at in &ORDER[..count] {
        lengths[at] = bits.take(3)? as u8;
    }
    let (code, true) = Code::new(&lengths)? else { return None };
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let (len, times) = match code.decode(bits)? {
            16 => (*lengths.last()?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            len => (len as u8, 1),
        };
        lengths.resize(lengths.len() + times, len);
    }
    if lengths.len() > literals + distances || lengths[256] == 0 {
        return None;
    }
    let allowed = |(code, is_complete): (Code, bool)| (is_complete || code.is_of_one()).then_some(code);
    let (literals, distances) = lengths.split_at(literals);
    Some((allowed(Code::new(literals)?)?, allowed(Code::new(distances)?)?))
}

/// RFC 1951 §3.2.5: the least distance of a symbol, and how many bits are added to it.
fn distance_base(symbol: u16) -> Option<(usize, usize)> {
    let symbol = usize::from(symbol);
    let extra = (symbol / 2).saturating_sub(1);
    let base = if symbol < 4 { symbol + 1 } else { 1 + ((2 + symbol % 2) << extra) };
    (symbol < 30).then_some((base, extra))
}

/// RFC 1951 §3.2.5: the least length of each symbol from 257 on, and how many bits are added to it.
#[rustfmt::skip] // as the table stands there
const LENGTHS: [(usize, usize); 29] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1), (17, 1), (19, 2), (23, 2),
    (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4), (83, 4), (99, 4), (115, 4), (131, 5), (163, 5), (195, 5),
    (227, 5), (258, 0),
];

/// RFC 1951 §3.2.7: in this order stand the lengths of the codes for lengths.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
