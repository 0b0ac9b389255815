//! §8.1, §5.6: a text message must be valid UTF-8; a fragment may end in the middle of a character.
//!
//! This file owns the check of text, whole or in pieces: in pieces it fails at the first bad byte, whatever the cuts,
//! and copies each byte once. Long text is checked by a library that takes many bytes at a time; the standard library
//! is as fast for ASCII, and ten times slower for everything else.

/// The text was not valid UTF-8 (§8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUtf8;

/// The text that the bytes are.
///
/// # Errors
/// If they are not valid UTF-8.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<&str, InvalidUtf8> {
    if bytes.len() < LONG_BYTES_MIN {
        return std::str::from_utf8(bytes).map_err(|_| InvalidUtf8);
    }
    simdutf8::basic::from_utf8(bytes).map_err(|_| InvalidUtf8)
}

/// Checks text that arrives in pieces. Holds the at most 3 bytes of a character whose end has not come yet.
#[derive(Debug, Default, Clone)]
pub struct Utf8Validator {
    cut: [u8; 4],
    cut_len: u8,
}

impl Utf8Validator {
    /// Checks the next piece and appends its whole characters to `text`.
    ///
    /// # Errors
    /// At the first byte that no valid continuation can follow or precede. The validator is then of no more use.
    pub fn append(&mut self, text: &mut String, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        while self.cut_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.cut[usize::from(self.cut_len)] = byte;
            self.cut_len += 1;
            match std::str::from_utf8(&self.cut[..usize::from(self.cut_len)]) {
                Ok(character) => {
                    text.push_str(character);
                    self.cut_len = 0;
                }
                Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
                Err(_) => {}
            }
        }
        let (whole, cut) = piece.split_at(piece.len() - cut_character_len(piece));
        text.push_str(parse(whole)?);
        if std::str::from_utf8(cut).is_err_and(|error| error.error_len().is_some()) {
            return Err(InvalidUtf8);
        }
        self.cut[..cut.len()].copy_from_slice(cut);
        self.cut_len = cut.len() as u8;
        Ok(())
    }

    /// Checks that the text ended with a whole character.
    ///
    /// # Errors
    /// If the end of a character is missing.
    pub fn finish(&self) -> Result<(), InvalidUtf8> {
        if self.cut_len == 0 { Ok(()) } else { Err(InvalidUtf8) }
    }
}

/// The length (0 to 3) of what at the end of `piece` looks like the beginning of a character.
fn cut_character_len(piece: &[u8]) -> usize {
    for (i, &byte) in piece.iter().rev().take(3).enumerate() {
        let needed = match byte {
            0x80..=0xbf => continue, // a continuation byte: the lead byte stands further ahead
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0.. => 4,
            _ => 1,
        };
        return if needed > i + 1 { i + 1 } else { 0 };
    }
    0
}

/// Below it a call costs more than the bytes.
const LONG_BYTES_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<String, InvalidUtf8> {
        let mut validator = Utf8Validator::default();
        let mut text = String::new();
        for piece in pieces {
            validator.append(&mut text, piece)?;
        }
        validator.finish()?;
        Ok(text)
    }

    #[test]
    fn valid_text_is_whole_at_every_cut_and_byte_by_byte() {
        let text = "aκόσμε-ß-€-𐍈-\u{10ffff}\u{0}é";
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(check(&pieces).as_deref(), Ok(text), "cut at {first} and {second}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(check(&single).as_deref(), Ok(text));
    }

    #[test]
    fn whole_text_is_what_the_standard_library_takes_at_every_length() {
        let text = "frameloop κόσμε-ß-€-𐍈 ".repeat(8);
        for end in 0..=text.len() {
            let bytes = &text.as_bytes()[..end];
            assert_eq!(parse(bytes).ok(), std::str::from_utf8(bytes).ok(), "{end} bytes");
            for bad in (0..end).step_by(7) {
                let mut bytes = bytes.to_vec();
                bytes[bad] ^= 0x80;
                assert_eq!(parse(&bytes).ok(), std::str::from_utf8(&bytes).ok(), "{end} bytes, {bad} is another");
            }
        }
    }

    #[test]
    fn it_fails_at_the_same_byte_as_the_standard_library() {
        let bad: [&[u8]; 12] = [
            b"a\x80",            // a continuation byte without a lead byte
            b"ab\xc3(",          // no continuation byte where one must be
            b"\xc0\xaf",         // not in its shortest form
            b"\xe0\x80\xaf",     // the same in three bytes
            b"\xf0\x80\x80\xaf", // and in four
            b"\xed\xa0\x80",     // a surrogate
            b"\xf4\x90\x80\x80", // above U+10FFFF
            b"\xf5",             // no lead byte at all
            b"\xfe",
            b"\xff",
            b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80edited",
            b"\xf0\x9f\x98a",
        ];
        for bytes in bad {
            let error = std::str::from_utf8(bytes).unwrap_err();
            let first_bad = error.valid_up_to() + error.error_len().unwrap_or(1);
            for cut in 0..=bytes.len() {
                assert_eq!(check(&[&bytes[..cut], &bytes[cut..]]), Err(InvalidUtf8), "{bytes:x?} cut at {cut}");
            }
            // Fail fast: byte by byte, the failure comes no later than where the sequence is known to be bad.
            let mut validator = Utf8Validator::default();
            let mut text = String::new();
            let failed_at = bytes.chunks(1).position(|byte| validator.append(&mut text, byte).is_err());
            assert!(failed_at.is_some_and(|at| at <= first_bad), "{bytes:x?} failed at {failed_at:?}");
        }
    }

    #[test]
    fn a_text_that_ends_inside_a_character_is_invalid() {
        for bytes in [&b"\xc3"[..], b"ab\xe2\x82", b"\xf0\x9f\x98"] {
            assert_eq!(check(&[bytes]), Err(InvalidUtf8));
        }
    }
}
