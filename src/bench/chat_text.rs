//! The text of a chat message: JSON that names its sender and its number, padded to the size that was asked for.

use std::ops::Range;

/// The text of all messages, but for the sender and the number.
#[derive(Debug)]
pub(crate) struct Template {
    text: Vec<u8>,
}

/// The message that a member is hearing.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) enum Current {
    /// Too little of it has come.
    #[default]
    Unknown,
    Ours {
        sender: usize,
        number: u32,
    },
    /// Something else that the server says.
    Other,
}

impl Template {
    pub(crate) fn new(size: usize) -> Template {
        let padding = (HEAD_LEN..size - TAIL.len()).map(|i| b'a' + (i % 26) as u8);
        let head = format!("{PREFIX}{:07} {:010} ", 0, 0).into_bytes();
        Template { text: head.into_iter().chain(padding).chain(TAIL.bytes()).collect() }
    }

    /// The text, with whichever sender and number it had last.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The message with this number.
    pub(crate) fn message(&mut self, sender: usize, number: u32) -> &[u8] {
        write_number(&mut self.text[SENDER], sender as u64);
        write_number(&mut self.text[NUMBER], u64::from(number));
        &self.text
    }

    /// Tells by the first [`HEAD_LEN`] bytes which message this is.
    #[inline]
    pub(crate) fn parse(head: &[u8]) -> Current {
        let is_ours = head.starts_with(PREFIX.as_bytes()) && head[SENDER.end] == b' ' && head[NUMBER.end] == b' ';
        match (read_number(&head[SENDER]), read_number(&head[NUMBER])) {
            (Some(sender), Some(number)) if is_ours && number < u64::from(u32::MAX) => {
                Current::Ours { sender: sender as usize, number: number as u32 }
            }
            _ => Current::Other,
        }
    }
}

pub(crate) fn write_number(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[inline]
pub(crate) fn read_number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

const PREFIX: &str = "{\"type\":\"chat\",\"msg\":\"";
const TAIL: &str = "\"}";
pub(crate) const ERROR: &str = "{\"type\":\"error\"";
/// Where in a message the place of its sender and its number stand.
const SENDER: Range<usize> = PREFIX.len()..PREFIX.len() + 7;
const NUMBER: Range<usize> = SENDER.end + 1..SENDER.end + 11;
pub(crate) const HEAD_LEN: usize = NUMBER.end + 1;
/// Bytes of the shortest message.
pub(crate) const SIZE_MIN: usize = HEAD_LEN + TAIL.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_json_of_the_size_asked_for_and_says_whose_it_is() {
        for size in [SIZE_MIN, 64, 5000] {
            let mut template = Template::new(size);
            for (sender, number) in [(0, 0), (12, 345), (4_999_999, u32::MAX - 1)] {
                let message = template.message(sender, number);
                assert_eq!(message.len(), size);
                let json: serde_json::Value = serde_json::from_slice(message).unwrap();
                assert_eq!(json["type"], "chat");
                let Current::Ours { sender: s, number: n } = Template::parse(message) else { panic!("{json}") };
                assert_eq!((s, n), (sender, number));
            }
        }
    }
}
