//! A frame that many receivers share: encoded once, written to each.

use std::rc::Rc;

use super::deflate::Variants;
use super::frame::{FrameHeader, Opcode, header_len};

/// A whole frame (or several), encoded once and shared by all who receive it.
#[derive(Debug, Clone)]
pub struct SharedFrame {
    bytes: Rc<FrameBytes>,
}

/// One pointer to them is enough, since they lie behind another one.
#[derive(Debug)]
struct FrameBytes(Vec<u8>, Variants);

impl SharedFrame {
    /// A text message in one frame.
    pub fn text(text: &str) -> SharedFrame {
        SharedFrame::encode(FrameHeader::of_server(Opcode::Text, text.len()), text.as_bytes())
    }

    /// A binary message in one frame.
    pub fn binary(payload: &[u8]) -> SharedFrame {
        SharedFrame::encode(FrameHeader::of_server(Opcode::Binary, payload.len()), payload)
    }

    /// Header and payload, as they go over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes.0
    }

    /// The payload of the frame; of several, all that is behind the first header.
    pub fn payload(&self) -> &[u8] {
        let header_len = match self.bytes.0[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        &self.bytes.0[header_len..]
    }

    /// What the frame holds; of several, the first.
    pub(super) fn opcode(&self) -> Opcode {
        if self.bytes.0[0] & 0x0f == Opcode::Text as u8 { Opcode::Text } else { Opcode::Binary }
    }

    /// Its compressed forms, as far as somebody needed them.
    pub(super) fn variants(&self) -> &Variants {
        &self.bytes.1
    }

    /// A message that is compressed, in one frame.
    pub(super) fn compressed(opcode: Opcode, compressed: &[u8]) -> SharedFrame {
        SharedFrame::encode(FrameHeader { rsv1: true, ..FrameHeader::of_server(opcode, compressed.len()) }, compressed)
    }

    /// Whether it is the same one, not only one of the same content.
    pub(super) fn is_same(&self, other: &SharedFrame) -> bool {
        Rc::ptr_eq(&self.bytes, &other.bytes)
    }

    /// How many hold it.
    pub(super) fn holders(&self) -> usize {
        Rc::strong_count(&self.bytes)
    }

    /// Both frames, one after the other.
    pub(super) fn followed_by(&self, next: &SharedFrame) -> SharedFrame {
        SharedFrame::from_raw([self.as_bytes(), next.as_bytes()].concat())
    }

    /// Bytes that are no frame, but are shared in the same way: the body of an HTTP response.
    pub(super) fn from_raw(bytes: Vec<u8>) -> SharedFrame {
        SharedFrame { bytes: Rc::new(FrameBytes(bytes, Variants::default())) }
    }

    fn encode(header: FrameHeader, payload: &[u8]) -> SharedFrame {
        let mut bytes = Vec::with_capacity(header_len(payload.len() as u64) + payload.len());
        header.encode(&mut bytes);
        bytes.extend_from_slice(payload);
        SharedFrame::from_raw(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_frame_is_what_goes_over_the_wire() {
        assert_eq!(SharedFrame::text("Hello").as_bytes(), b"\x81\x05Hello");
        let frame = SharedFrame::binary(&[7; 256]);
        assert_eq!(frame.as_bytes()[..4], [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(frame.as_bytes().len(), 260);
        for len in [0, 125, 126, 65535, 65536] {
            assert_eq!(SharedFrame::binary(&vec![7; len]).payload(), vec![7; len]);
        }
    }
}
