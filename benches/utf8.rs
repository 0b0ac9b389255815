//! §8.1: the check of text that arrives whole or in pieces, against that of the standard library, which needs all of it.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod harness;

use frameloop::protocol::utf8::Utf8Validator;
use harness::{Bench, bytes};

fn main() {
    let mut bench = Bench::start();
    for (size, name) in [(64, "64 B"), (4096, "4 KiB"), (65536, "64 KiB")] {
        for (characters, kind) in [("frameloop", "ASCII"), ("aκόσμε-ß-€-𐍈-é", "multi-byte")] {
            let text = text_of(characters, size);
            let bytes_of_text = text.as_bytes();
            let mut out = String::with_capacity(size);
            assert!(append(&mut out, bytes_of_text.chunks(size / 7 + 1)).is_some() && out == text);
            let name = format!("{name} of {kind}");
            bench.case(&format!("{name}, whole"), bytes(size), Some(size), || {
                append(&mut out, std::iter::once(bytes_of_text))
            });
            bench.rival(&format!("{name}, std"), bytes(size), Some(size), || {
                out.clear();
                out.push_str(std::str::from_utf8(bytes_of_text).ok()?);
                Some(out.len())
            });
            // A length that no character divides, so that most pieces end inside of one.
            bench.case(&format!("{name}, 7 pieces"), bytes(size), Some(size), || {
                append(&mut out, bytes_of_text.chunks(size / 7 + 1))
            });
        }
    }
}

/// Text of exactly so many bytes.
fn text_of(characters: &str, size: usize) -> String {
    let mut text = String::new();
    for character in characters.chars().cycle() {
        if text.len() + character.len_utf8() > size {
            break;
        }
        text.push(character);
    }
    while text.len() < size {
        text.push('.');
    }
    text
}

fn append<'t>(out: &mut String, pieces: impl Iterator<Item = &'t [u8]>) -> Option<usize> {
    out.clear();
    let mut validator = Utf8Validator::default();
    for piece in pieces {
        validator.append(out, piece).ok()?;
    }
    validator.finish().ok()?;
    Some(out.len())
}
