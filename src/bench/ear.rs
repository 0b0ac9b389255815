//! The ears of a member of the chat: which message it is that the server sends, and whether it is right.

use frameloop::protocol::frame::Opcode;

use super::chat_text::{Current, ERROR, HEAD_LEN, Template};
use super::client::Out;
use super::group::Group;
use super::measure::Measure;
use super::replies::{Piece, Sink};
use super::room_text::RoomText;

/// What a member is hearing.
#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) group: usize,
    /// Its place in the group.
    pub(crate) place: usize,
    /// The first bytes of a message that a read cut.
    head: Vec<u8>,
    current: Current,
    heard: u64,
    /// The same for a member of a room.
    text: RoomText,
}

/// Hears for one plain client.
pub(crate) struct Ear<'r> {
    pub(crate) group: &'r mut Group,
    /// The senders that may send, by group and lane.
    pub(crate) ready: &'r mut Vec<(usize, usize)>,
    pub(crate) template: &'r Template,
    pub(crate) member: &'r mut Member,
    pub(crate) measure: &'r mut Measure,
    pub(crate) out: &'r mut Out,
    pub(crate) masking_key: [u8; 4],
    pub(crate) now: u64,
}

impl Ear<'_> {
    /// Finds out what message it is, as soon as enough of it has come.
    #[inline]
    fn recognize(&mut self, piece: &Piece<'_>) -> Result<(), String> {
        let head = if piece.offset == 0 && piece.bytes.len() >= HEAD_LEN {
            piece.bytes
        } else {
            let head = &mut self.member.head;
            if piece.offset == 0 {
                head.clear();
            }
            head.extend_from_slice(&piece.bytes[..piece.bytes.len().min(HEAD_LEN - head.len())]);
            if head.len() < HEAD_LEN && !piece.is_last {
                self.member.current = Current::Unknown;
                return Ok(());
            }
            &self.member.head
        };
        self.member.current = if head.len() < HEAD_LEN { Current::Other } else { Template::parse(head) };
        // What else a server says to its members is its own affair, but not that it refused a message.
        if matches!(self.member.current, Current::Other) && head.starts_with(ERROR.as_bytes()) {
            let text = String::from_utf8_lossy(&head[..head.len().min(200)]);
            return Err(format!("the server says {text}"));
        }
        Ok(())
    }
}

impl Sink for Ear<'_> {
    #[inline]
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), String> {
        if piece.offset == 0 || matches!(self.member.current, Current::Unknown) {
            self.recognize(&piece)?;
        }
        let Current::Ours { sender, number } = self.member.current else { return Ok(()) };
        let text = self.template.text();
        let (offset, end) = (piece.offset as usize, piece.offset as usize + piece.bytes.len());
        if piece.opcode != Opcode::Text || end > text.len() || (piece.is_last && end < text.len()) {
            let more = if piece.is_last { "" } else { " or more" };
            return Err(format!("a message of {} bytes was heard with {end} bytes{more}", text.len()));
        }
        // One in 64 is checked byte for byte.
        if self.member.heard.is_multiple_of(64) {
            let skipped = HEAD_LEN.saturating_sub(offset).min(piece.bytes.len());
            if piece.bytes[skipped..] != text[offset + skipped..end] {
                return Err("a message was heard with another content".to_owned());
            }
        }
        if piece.is_last {
            self.member.heard += 1;
            if let Some(lane) = self.group.hear(self.member.place, sender, number, self.now, self.measure)? {
                self.group.make_ready(self.ready, self.member.group, lane);
            }
        }
        Ok(())
    }

    fn ping(&mut self, payload: &[u8]) {
        self.out.pong(payload, self.masking_key);
    }
}

/// Hears for one member of a room.
pub(crate) struct RoomEar<'r> {
    pub(crate) ear: Ear<'r>,
    /// How a chat of the room begins.
    pub(crate) prefix: &'r [u8],
}

impl Sink for RoomEar<'_> {
    #[inline]
    fn piece(&mut self, piece: Piece<'_>) -> Result<(), String> {
        let RoomEar { ear: Ear { group, ready, template, member, measure, now, .. }, prefix } = self;
        let Member { group: group_place, place, text, .. } = &mut **member;
        if piece.opcode != Opcode::Text {
            return Err("a binary message was heard".to_owned());
        }
        text.take(&piece, prefix, template.own(), |sender, number| {
            if let Some(lane) = group.hear(*place, sender, number, *now, measure)? {
                group.make_ready(ready, *group_place, lane);
            }
            Ok(())
        })
    }

    fn ping(&mut self, payload: &[u8]) {
        self.ear.ping(payload);
    }
}
