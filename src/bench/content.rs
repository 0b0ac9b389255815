//! What messages consist of: bytes, or text of one byte a character or of several, or JSON.

use std::fmt::Write as _;

use frameloop::protocol::frame::Opcode;

/// A kind of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Binary,
    Ascii,
    Utf8,
    Json,
}

impl Content {
    /// A kind of text, by its name on the command line.
    pub(crate) fn parse_text(word: &str) -> Option<Content> {
        [Content::Ascii, Content::Utf8, Content::Json].into_iter().find(|content| content.text_word() == Some(word))
    }

    /// The name of a kind of text.
    pub(crate) fn text_word(self) -> Option<&'static str> {
        match self {
            Content::Binary => None,
            Content::Ascii => Some("ascii"),
            Content::Utf8 => Some("utf8"),
            Content::Json => Some("json"),
        }
    }

    pub(crate) fn opcode(self) -> Opcode {
        if self == Content::Binary { Opcode::Binary } else { Opcode::Text }
    }

    /// So many bytes of it; of text whole characters, which a string of JSON may have too but for those of JSON itself.
    pub(crate) fn bytes(self, count: usize) -> Vec<u8> {
        match self {
            Content::Binary => (0..count).map(|i| (i * 7 + i / 26) as u8).collect(),
            Content::Ascii => (0..count).map(|i| b'a' + ((i + i / 26) % 26) as u8).collect(),
            Content::Utf8 => utf8(count),
            Content::Json => json(count),
        }
    }
}

/// Characters of 1 to 4 bytes in turn, as far as they fit; then the one that is as long as the rest.
fn utf8(count: usize) -> Vec<u8> {
    let mut text = String::with_capacity(count);
    let mut number = 0;
    while text.len() < count {
        let len = (number % 4 + 1).min(count - text.len());
        let (first, characters) = ALPHABETS[len - 1];
        let character = first as u32 + (number as u32 / 4) % characters;
        text.push(char::from_u32(character).expect("an alphabet has no gaps"));
        number += 1;
    }
    text.into_bytes()
}

/// A list of objects as a service may send it, cut off at so many bytes: keys that repeat themselves, and values of which
/// some do and some do not. About as compressible as such JSON is.
fn json(count: usize) -> Vec<u8> {
    let mut text = String::from("[");
    let mut number: u64 = 1;
    let mut next = |below: u64| {
        // Knuth's generator: the same numbers each time.
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) % below
    };
    for id in 1000.. {
        if text.len() >= count {
            break;
        }
        let (first, last) = (FIRST_NAMES[next(8) as usize], LAST_NAMES[next(8) as usize]);
        let (online, room, hour, minute) = (next(3) > 0, next(40), next(24), next(60));
        let (x, y, score) = (next(100_000), next(100_000), next(1_000_000));
        let _ = write!(
            text,
            "{{\"id\":{id},\"name\":\"{first} {last}\",\"online\":{online},\"room\":\"room-{room}\",\
             \"seen\":\"2026-11-23T{hour:02}:{minute:02}:00Z\",\"x\":{}.{:02},\"y\":{}.{:02},\"score\":{score}}},",
            x / 100,
            x % 100,
            y / 100,
            y % 100
        );
    }
    text.truncate(count); // ASCII
    text.into_bytes()
}

const FIRST_NAMES: [&str; 8] = ["Ada", "Bela", "Chloe", "Dmitri", "Esther", "Farid", "Greta", "Hugo"];
const LAST_NAMES: [&str; 8] = ["Moreau", "Lindqvist", "Okafor", "Tanaka", "Silva", "Novak", "Brandt", "Castellanos"];

/// For characters of 1 to 4 bytes: the first one, and how many there are. Their numbers have no divisor in common, so that
/// it takes long until a text repeats itself.
const ALPHABETS: [(char, u32); 4] = [('a', 26), ('à', 23), ('一', 997), ('🌀', 199)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_valid_and_has_as_many_bytes_as_were_asked_for() {
        for count in (0..100).chain([4095, 65_536]) {
            for content in [Content::Ascii, Content::Utf8, Content::Json] {
                let text = String::from_utf8(content.bytes(count)).unwrap();
                assert_eq!(text.len(), count);
                assert!(text.chars().all(char::is_alphanumeric) || content != Content::Ascii, "{text}");
            }
            assert_eq!(Content::Binary.bytes(count).len(), count);
        }
    }

    #[test]
    fn utf8_is_of_characters_of_each_length() {
        let text = String::from_utf8(Content::Utf8.bytes(10_000)).unwrap();
        for len in 1..=4 {
            assert!((999..=1001).contains(&text.chars().filter(|char| char.len_utf8() == len).count()), "{len}");
        }
        // Whoever drops or swaps a part of it is found out.
        let mut parts: Vec<&[u8]> = text.as_bytes().chunks(100).collect();
        parts.sort_unstable();
        parts.dedup();
        assert_eq!(parts.len(), 100, "no part of it is like another");
    }

    #[test]
    fn json_is_a_list_of_objects_that_is_cut_off() {
        let text = String::from_utf8(Content::Json.bytes(65_536)).unwrap();
        let (whole, _) = text.rsplit_once(",{").unwrap();
        let objects: Vec<serde_json::Value> = serde_json::from_str(&format!("{whole}]")).unwrap();
        assert!(objects.len() > 400 && objects.iter().all(|object| object["name"].is_string()), "{}", objects.len());
        assert!(text.starts_with(std::str::from_utf8(&Content::Json.bytes(512)).unwrap()));
    }

    #[test]
    fn each_kind_of_text_has_its_name() {
        for content in [Content::Ascii, Content::Utf8, Content::Json] {
            assert_eq!(content.text_word().and_then(Content::parse_text), Some(content));
        }
        assert_eq!(Content::parse_text("binary"), None);
        assert!(std::str::from_utf8(&Content::Binary.bytes(1000)).is_err(), "binary is no text");
    }
}
