//! The text of a chat message: JSON that names its sender and its number, padded to the size that was asked for.
//!
//! In a room it names the room too. What follows that, the sender's own members, is all that its readers hear of it.

use std::ops::Range;

use super::content::Content;

/// The text of all messages, but for the sender and the number.
#[derive(Debug)]
pub(crate) struct Template {
    text: Vec<u8>,
    /// Where the sender's own members begin.
    own: usize,
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
    /// `rooms` is how many there are, or `None` for plain clients in the lobby.
    pub(crate) fn new(size: usize, rooms: Option<usize>, content: Content) -> Template {
        let head = format!("{},{OWN}{:07} {:010} ", longest_prefix(rooms), 0, 0).into_bytes();
        let padding = content.bytes(size - head.len() - TAIL.len());
        let own = head.len() - OWN_HEAD_LEN;
        Template { text: [&head, &padding, TAIL.as_bytes()].concat(), own }
    }

    /// The text, with whichever sender and number it had last.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The sender's own members and the end of the object.
    pub(crate) fn own(&self) -> &[u8] {
        &self.text[self.own..]
    }

    /// The message with this number, behind the [`prefix`] of its room.
    pub(crate) fn message(&mut self, prefix: &[u8], sender: usize, number: u32) -> &[u8] {
        let (head, own) = self.text.split_at_mut(self.own);
        // Blanks between tokens of JSON make all messages equally long, whatever the room's number.
        let (name, blanks) = head.split_at_mut(prefix.len());
        name.copy_from_slice(prefix);
        if let Some((_comma, blanks)) = blanks.split_last_mut() {
            blanks.fill(b' ');
        }
        write_number(&mut own[SENDER], sender as u64);
        write_number(&mut own[NUMBER], u64::from(number));
        &self.text
    }

    /// Tells by the first [`HEAD_LEN`] bytes which message of a plain client this is.
    #[inline]
    pub(crate) fn parse(head: &[u8]) -> Current {
        let (prefix, own) = head.split_at(CHAT.len() + 1);
        if prefix == PLAIN_PREFIX.as_bytes() { Template::parse_own(own) } else { Current::Other }
    }

    /// Tells by the first [`OWN_HEAD_LEN`] bytes of the sender's own members which message this is.
    #[inline]
    pub(crate) fn parse_own(own: &[u8]) -> Current {
        let is_ours = own.starts_with(OWN.as_bytes()) && own[SENDER.end] == b' ' && own[NUMBER.end] == b' ';
        match (read_number(&own[SENDER]), read_number(&own[NUMBER])) {
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

/// How a chat begins, as it is sent and as it is heard: of a room, or of plain clients.
pub(crate) fn prefix(room: Option<usize>) -> String {
    room.map_or(CHAT.to_owned(), |room| format!("{CHAT},\"room\":\"{}\"", room_name(room)))
}

pub(crate) fn room_name(room: usize) -> String {
    format!("room-{room}")
}

/// Bytes of the shortest message.
pub(crate) fn size_min(rooms: Option<usize>) -> usize {
    longest_prefix(rooms).len() + 1 + OWN_HEAD_LEN + TAIL.len()
}

fn longest_prefix(rooms: Option<usize>) -> String {
    prefix(rooms.map(|rooms| rooms - 1))
}

pub(crate) const CHAT: &str = "{\"type\":\"chat\"";
const PLAIN_PREFIX: &str = "{\"type\":\"chat\",";
/// How the sender's own members begin.
pub(crate) const OWN: &str = "\"msg\":\"";
const TAIL: &str = "\"}";
pub(crate) const ERROR: &str = "{\"type\":\"error\"";
/// Where in the sender's own members its place and the message's number stand.
const SENDER: Range<usize> = OWN.len()..OWN.len() + 7;
const NUMBER: Range<usize> = SENDER.end + 1..SENDER.end + 11;
pub(crate) const OWN_HEAD_LEN: usize = NUMBER.end + 1;
pub(crate) const HEAD_LEN: usize = PLAIN_PREFIX.len() + OWN_HEAD_LEN;

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(min: usize) -> impl Iterator<Item = (usize, Content)> {
        [min, 64, 65, 66, 67, 5000].into_iter().flat_map(|size| [(size, Content::Ascii), (size, Content::Utf8)])
    }

    #[test]
    fn a_message_is_json_of_the_size_asked_for_and_says_whose_it_is() {
        for (size, content) in sizes(size_min(None)) {
            let mut template = Template::new(size, None, content);
            for (sender, number) in [(0, 0), (12, 345), (4_999_999, u32::MAX - 1)] {
                let message = template.message(prefix(None).as_bytes(), sender, number);
                assert_eq!(message.len(), size);
                let json: serde_json::Value = serde_json::from_slice(message).unwrap();
                assert_eq!(json["type"], "chat");
                let Current::Ours { sender: s, number: n } = Template::parse(message) else { panic!("{json}") };
                assert_eq!((s, n), (sender, number));
            }
        }
    }

    #[test]
    fn a_message_in_a_room_has_the_same_size_and_the_same_own_members_whatever_the_room() {
        for (size, content) in sizes(size_min(Some(1001))) {
            let mut template = Template::new(size, Some(1001), content);
            let mut own = None;
            for room in [1000, 0, 42, 7] {
                let message = template.message(prefix(Some(room)).as_bytes(), 12, 345);
                assert_eq!(message.len(), size);
                let json: serde_json::Value = serde_json::from_slice(message).unwrap();
                assert_eq!((&json["type"], &json["room"]), (&"chat".into(), &format!("room-{room}").into()));
                assert!(matches!(Template::parse_own(template.own()), Current::Ours { sender: 12, number: 345 }));
                assert!(template.text().ends_with(template.own()));
                assert_eq!(own.get_or_insert(template.own().to_vec()), template.own());
            }
        }
    }
}
