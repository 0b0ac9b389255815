//! §5.3: every frame from a client is masked; the server unmasks the payload where it lies.
//!
//! `transformed-octet-i = original-octet-i XOR masking-key-octet-(i MOD 4)`.

/// Unmasks (or masks: it is its own inverse) `payload`, which begins `offset` bytes into the payload of its frame.
pub fn unmask(payload: &mut [u8], masking_key: [u8; 4], offset: usize) {
    // The first byte of the key is the lowest of the number: to rotate it to the right is to begin `offset` bytes later.
    let lane = u32::from_le_bytes(masking_key).rotate_right(8 * (offset % 4) as u32);
    // Four bytes at a time in plain safe code: the compiler makes wide vectors of it, and measured against
    // vectors by hand nothing of the difference is left in a whole echo.
    let (lanes, tail) = payload.as_chunks_mut::<4>();
    for bytes in lanes {
        *bytes = (u32::from_le_bytes(*bytes) ^ lane).to_le_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(lane.to_le_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formula of §5.3, byte for byte.
    fn unmask_naive(payload: &mut [u8], masking_key: [u8; 4], offset: usize) {
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= masking_key[(offset + i) % 4];
        }
    }

    #[test]
    fn it_is_the_formula_of_the_rfc_at_every_length_offset_and_alignment() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..140 {
            for offset in 0..8 {
                for start in 0..4 {
                    let bytes: Vec<u8> = (0..length + start).map(|i| (i * 7 + 3) as u8).collect();
                    let (mut fast, mut naive) = (bytes.clone(), bytes);
                    unmask(&mut fast[start..], key, offset);
                    unmask_naive(&mut naive[start..], key, offset);
                    assert_eq!(fast, naive, "length {length}, offset {offset}, start {start}");
                }
            }
        }
    }

    #[test]
    fn the_example_of_section_5_7() {
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut payload, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn pieces_with_their_offsets_are_the_whole() {
        let key = [1, 2, 3, 4];
        let mut whole: Vec<u8> = (0..100).collect();
        let mut pieces = whole.clone();
        unmask(&mut whole, key, 0);
        for cut in 0..100 {
            let mut pieces = std::mem::replace(&mut pieces, (0..100).collect());
            let (front, back) = pieces.split_at_mut(cut);
            unmask(front, key, 0);
            unmask(back, key, cut);
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }
}
