//! The chats that a member of a room hears: the server's members stand before the sender's own, and several chats may
//! come in one array.
//!
//! The sender's own members are always equally long, so that only what is before them is looked through, and nothing
//! is parsed as JSON but what is none of this run's chats.

use std::cmp::min;

use super::chat_text::{CHAT, Current, ERROR, OWN, OWN_HEAD_LEN, Template};
use super::replies::Piece;

/// How far the message that a member is hearing has been read.
#[derive(Debug, Default)]
pub(crate) struct RoomText {
    state: State,
    /// The first bytes of an object, which a read cut.
    cut: Vec<u8>,
    /// Chats that were heard.
    heard: u64,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// An object comes next, or the end.
    #[default]
    Between,
    /// Of the sender's own members so many bytes have come.
    Own { sender: usize, number: u32, at: usize },
    /// Something else that the server says.
    Other(Nesting),
    /// The whole message is no JSON of this protocol.
    Foreign,
}

impl RoomText {
    /// Takes the next bytes of a message, and hands over the sender and the number of each chat that is whole.
    ///
    /// # Errors
    /// What is wrong with the message, or what `hear` says.
    #[inline]
    pub(crate) fn take(
        &mut self,
        piece: &Piece<'_>,
        prefix: &[u8],
        own: &[u8],
        hear: impl FnMut(usize, u32) -> Result<(), String>,
    ) -> Result<(), String> {
        if piece.offset == 0 {
            self.cut.clear();
            let is_json = piece.bytes.first().is_some_and(|first| b"[{".contains(first));
            self.state = if is_json { State::Between } else { State::Foreign };
        }
        if self.cut.is_empty() {
            return self.read(piece.bytes, piece.is_last, prefix, own, hear);
        }
        let mut joined = std::mem::take(&mut self.cut);
        joined.extend_from_slice(piece.bytes);
        self.read(&joined, piece.is_last, prefix, own, hear)
    }

    #[inline]
    fn read(
        &mut self,
        mut bytes: &[u8],
        is_last: bool,
        prefix: &[u8],
        own: &[u8],
        mut hear: impl FnMut(usize, u32) -> Result<(), String>,
    ) -> Result<(), String> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Between if bytes[0] == b'{' => match recognize(bytes, is_last, prefix)? {
                    Some((taken, state)) => {
                        self.state = state;
                        taken
                    }
                    None => {
                        self.cut.extend_from_slice(bytes);
                        return Ok(());
                    }
                },
                State::Between if b"[,] \t\r\n".contains(&bytes[0]) => 1,
                State::Between => return Err("a message was heard that is longer, or no JSON".to_owned()),
                &mut State::Own { sender, number, at } => {
                    let taken = min(own.len() - at, bytes.len());
                    // One in 64 is checked byte for byte.
                    if self.heard.is_multiple_of(64) && bytes[..taken] != own[at..at + taken] {
                        return Err("a message was heard with another content".to_owned());
                    }
                    self.state = State::Own { sender, number, at: at + taken };
                    if at + taken == own.len() {
                        self.state = State::Between;
                        self.heard += 1;
                        hear(sender, number)?;
                    }
                    taken
                }
                State::Other(nesting) => {
                    let end = nesting.end(bytes);
                    if end.is_some() {
                        self.state = State::Between;
                    }
                    end.unwrap_or(bytes.len())
                }
                State::Foreign => return Ok(()),
            };
            bytes = &bytes[taken..];
        }
        match self.state {
            State::Own { at, .. } if is_last => {
                Err(format!("a message of {} own bytes was heard with {at} bytes", own.len()))
            }
            _ => Ok(()),
        }
    }
}

/// Finds out what the object at the front of `bytes` is; how many bytes that took, or `None` if too little has come.
///
/// # Errors
/// The server refuses a message, or it is a chat of another room.
#[inline]
fn recognize(bytes: &[u8], is_last: bool, prefix: &[u8]) -> Result<Option<(usize, State)>, String> {
    let head = &bytes[..min(bytes.len(), HEAD_BYTES_MAX)];
    let is_cut = head.len() < HEAD_BYTES_MAX && !is_last;
    if !head.starts_with(prefix) {
        return if head.len() < prefix.len() && is_cut { Ok(None) } else { check_other(head).map(|()| Some(OTHER)) };
    }
    match find_own(head, prefix.len()) {
        Some(at) if at + OWN_HEAD_LEN <= head.len() => match Template::parse_own(&head[at..]) {
            Current::Ours { sender, number } => {
                Ok(Some((at + OWN_HEAD_LEN, State::Own { sender, number, at: OWN_HEAD_LEN })))
            }
            _ => Ok(Some(OTHER)),
        },
        _ if is_cut => Ok(None),
        _ => Ok(Some(OTHER)),
    }
}

/// What else a server says to its members is its own affair, but not that it refused a message, nor a chat of a room
/// that they are not in.
#[cold]
fn check_other(head: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(&head[..min(head.len(), 200)]);
    if head.starts_with(ERROR.as_bytes()) {
        return Err(format!("the server says {text}"));
    }
    if head.starts_with(CHAT.as_bytes()) {
        return Err(format!("a chat of another room was heard: {text}"));
    }
    Ok(())
}

/// Where the sender's own members begin: the search of Boyer, Moore and Horspool, which looks at one byte in seven.
#[inline]
fn find_own(head: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some(window) = head.get(at..at + OWN.len()) {
        if window == OWN.as_bytes() {
            return Some(at);
        }
        // From where this byte stands last in `"msg":"`, but for its end.
        at += match window[OWN.len() - 1] {
            b':' => 1,
            b'"' => 2,
            b'g' => 3,
            b's' => 4,
            b'm' => 5,
            _ => 7,
        };
    }
    None
}

/// How deep in a JSON value the reader is.
#[derive(Debug, Clone, Copy)]
struct Nesting {
    depth: u64,
    is_string: bool,
    is_escaped: bool,
}

const OTHER: (usize, State) = (0, State::Other(Nesting { depth: 0, is_string: false, is_escaped: false }));

impl Nesting {
    /// Where the value ends, if it does.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (place, &byte) in bytes.iter().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_string => self.is_escaped = true,
                b'"' => self.is_string = !self.is_string,
                _ if self.is_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth <= 1 => return Some(place + 1),
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        None
    }
}

/// Bytes of a chat in which the sender's own members begin: room for the names of the room and of the user.
const HEAD_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use frameloop::protocol::frame::Opcode;

    use super::super::chat_text::prefix;
    use super::super::content::Content;
    use super::*;

    const SERVER: &str = r#","seq":119,"from":{"session":"s_9f","user":"m\"msg\":\"sg:"},"ts":1734190000123,"#;

    fn template() -> Template {
        Template::new(80, Some(12), Content::Ascii)
    }

    /// A chat as the server hands it on.
    fn chat(room: usize, sender: usize, number: u32) -> String {
        let mut template = template();
        let prefix = prefix(Some(room));
        template.message(prefix.as_bytes(), sender, number);
        format!("{prefix}{SERVER}{}", String::from_utf8(template.own().to_vec()).unwrap())
    }

    /// The numbers that a member of `room-1` hears in whole messages, each cut into pieces of so many bytes.
    fn hear(messages: &[&str], cut: usize) -> Result<Vec<u32>, String> {
        let (mut text, mut heard) = (RoomText::default(), Vec::new());
        let own = template();
        for message in messages {
            let mut pieces = message.as_bytes().chunks(cut).peekable();
            let mut offset = 0;
            while let Some(bytes) = pieces.next() {
                let is_last = pieces.peek().is_none();
                let piece = Piece { opcode: Opcode::Text, is_compressed: false, offset, bytes, is_last };
                text.take(&piece, prefix(Some(1)).as_bytes(), own.own(), |sender, number| {
                    assert_eq!(sender, 7);
                    heard.push(number);
                    Ok(())
                })?;
                assert!(text.cut.len() < HEAD_BYTES_MAX);
                offset += bytes.len() as u64;
            }
        }
        Ok(heard)
    }

    #[test]
    fn each_chat_is_found_alone_and_in_arrays_whatever_the_cuts() {
        let [first, second, third] = [0, 1, 2].map(|number| chat(1, 7, number));
        let gap = r#"{"type":"gap","room":"room-1","reason":"a \"}]\\","x":[{}]}"#;
        let array = format!("[{gap},{first}, {second},{{\"type\":\"pong\"}},{third}]");
        let messages = [&*first, &array, "{\"type\":\"pong\"}", "", "hello", "[]", gap, &second, "[", "{", &third];
        for cut in (1..400).chain([10_000]) {
            assert_eq!(hear(&messages, cut), Ok(vec![0, 0, 1, 2, 1, 2]), "cuts of {cut} bytes");
        }
    }

    #[test]
    fn what_is_wrong_with_a_chat_is_named() {
        let good = chat(1, 7, 0);
        let error = r#"{"type":"error","code":"not_joined"}"#;
        for (text, names) in [
            (chat(11, 7, 0), "another room"),
            (chat(2, 7, 0), "another room"),
            (good.replace("ghi", "gxi"), "another content"),
            (format!("{good}x"), "longer"),
            (good[..good.len() - 1].to_owned(), "48 own bytes was heard with 47 bytes"),
            (error.to_owned(), error),
            (format!("[{good},{error}]"), error),
        ] {
            for cut in [1, 7, 64, 1000] {
                let problem = hear(&[&text], cut).expect_err(names);
                assert!(
                    problem.contains(names) || cut < 1000 && problem.contains("the server says"),
                    "{text}: {problem}"
                );
            }
        }
    }

    #[test]
    fn a_chat_of_somebody_else_is_passed_over_however_long() {
        let good = chat(1, 7, 3);
        for text in [
            good.replace("msg\":\"0", "msg\":\"x"),
            good.replace("\"msg\":\"0", "\"text\":\"0"),
            format!("{},\"x\":\"{}\"}}", prefix(Some(1)), "y".repeat(5000)),
        ] {
            for cut in [1, 100, 10_000] {
                assert_eq!(hear(&[&text, &good], cut), Ok(vec![3]), "{text} in pieces of {cut} bytes");
            }
        }
    }
}
