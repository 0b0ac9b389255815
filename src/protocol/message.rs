//! §5.4, §5.6: fragments make messages, and control frames may stand between them.
//!
//! A message that lay whole in one read is lent from the read buffer; only one that was cut or fragmented is
//! copied, into a buffer that grows with the bytes received, never with the length announced.

use std::borrow::Cow;
use std::rc::Rc;

use super::commons::Commons;
use super::error::ProtocolError;
use super::frame::{Chunk, FrameHeader, Opcode};
use super::limits::{CONTROL_PAYLOAD_BYTES_MAX, Limits};
use super::payload_buffer::PayloadBuffer;
use super::utf8::{Utf8Validator, parse};

/// A whole data message (§5.6). Borrowed when it lay whole in one read, owned when it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'b> {
    /// Text, which is valid UTF-8.
    Text(Cow<'b, str>),
    /// Any bytes.
    Binary(Cow<'b, [u8]>),
}

impl<'b> Message<'b> {
    /// A text message that borrows `text`.
    pub fn text(text: &'b str) -> Message<'b> {
        Message::Text(Cow::Borrowed(text))
    }

    /// A binary message that borrows `payload`.
    pub fn binary(payload: &'b [u8]) -> Message<'b> {
        Message::Binary(Cow::Borrowed(payload))
    }

    /// The payload.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// The opcode of its first frame, and the payload.
    #[inline]
    pub(super) fn into_parts(self) -> (Opcode, Cow<'b, [u8]>) {
        match self {
            Message::Text(Cow::Borrowed(text)) => (Opcode::Text, Cow::Borrowed(text.as_bytes())),
            Message::Text(Cow::Owned(text)) => (Opcode::Text, Cow::Owned(text.into_bytes())),
            Message::Binary(bytes) => (Opcode::Binary, bytes),
        }
    }
}

/// A whole control frame (§5.5) with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlFrame<'b> {
    /// §5.5.1.
    Close(Cow<'b, [u8]>),
    /// §5.5.2.
    Ping(Cow<'b, [u8]>),
    /// §5.5.3.
    Pong(Cow<'b, [u8]>),
}

/// What the assembler made of the chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assembled<'b> {
    /// A message.
    Message(Message<'b>),
    /// The payload of a message that is compressed (RFC 7692).
    Compressed(Opcode, Cow<'b, [u8]>),
    /// A control frame.
    Control(ControlFrame<'b>),
}

/// Makes whole messages and control frames of the chunks of frames.
///
/// For each frame: [`begin_frame`](MessageAssembler::begin_frame) with its header, then
/// [`push`](MessageAssembler::push) with each chunk. Between messages it owns no memory.
#[derive(Debug, Default)]
pub struct MessageAssembler {
    partial: Option<Box<Partial>>,
}

/// What is not whole: one message and one control frame can be so at the same time.
#[derive(Debug, Default)]
struct Partial {
    message: Option<PartialMessage>,
    control: Option<Vec<u8>>,
}

#[derive(Debug)]
struct PartialMessage {
    payload: PartialPayload,
    /// The opcode of a message that is compressed: its payload is collected as it is.
    compressed: Option<Opcode>,
    frames: u32,
}

#[derive(Debug)]
pub(super) enum PartialPayload {
    Text { text: String, validator: Utf8Validator, bytes: usize },
    Binary(PayloadBuffer),
}

impl MessageAssembler {
    /// Checks the header of the next frame against the rules of §5.4 and the bounds of a message.
    ///
    /// # Errors
    /// Decided from the header alone, before a byte of the payload is looked at or stored.
    #[inline]
    pub fn begin_frame(&mut self, header: &FrameHeader, limits: &Limits) -> Result<(), ProtocolError> {
        if header.opcode.is_control() {
            return Ok(()); // §5.4: control frames MAY be injected in the middle of a fragmented message
        }
        let message = self.partial.as_mut().and_then(|partial| partial.message.as_mut());
        let mut is_compressed = header.rsv1;
        let received = match (message, header.opcode) {
            (None, Opcode::Continuation) => return Err(ProtocolError::UnexpectedContinuation),
            (Some(message), Opcode::Continuation) => {
                if message.frames == limits.message_frames_max {
                    return Err(ProtocolError::TooManyFrames(limits.message_frames_max));
                }
                message.frames += 1;
                is_compressed = message.compressed.is_some();
                message.payload.len()
            }
            (None, _) => 0,
            (Some(_), _) => return Err(ProtocolError::ExpectedContinuation),
        };
        // Subtract before comparing: a sum could wrap.
        let limit = if is_compressed { limits.compressed_bytes_max() } else { limits.message_bytes_max };
        if header.payload_len > limit.saturating_sub(received) as u64 {
            let announced = (received as u64).saturating_add(header.payload_len);
            return Err(ProtocolError::MessageTooBig { announced, limit: limit as u64 });
        }
        Ok(())
    }

    /// Takes the next chunk, and returns what became whole with it.
    ///
    /// # Errors
    /// [`ProtocolError::InvalidUtf8`] at the first bad byte of a text, whether or not the message is complete.
    #[inline]
    pub fn push<'b>(&mut self, chunk: Chunk<'b>) -> Result<Option<Assembled<'b>>, ProtocolError> {
        let Chunk { opcode, fin, rsv1, bytes, is_first, is_last } = chunk;
        let is_whole_frame = is_first && is_last;
        if opcode.is_control() {
            return Ok(self.push_control(opcode, bytes, is_whole_frame, is_last).map(Assembled::Control));
        }
        if is_whole_frame && fin && self.partial.as_ref().is_none_or(|partial| partial.message.is_none()) {
            if rsv1 {
                return Ok(Some(Assembled::Compressed(opcode, Cow::Borrowed(bytes))));
            }
            let message = match opcode {
                Opcode::Text => Message::text(parse(bytes)?),
                _ => Message::binary(bytes),
            };
            return Ok(Some(Assembled::Message(message)));
        }
        let partial = self.partial.get_or_insert_default();
        let message = partial.message.get_or_insert_with(|| PartialMessage::new(opcode, rsv1));
        message.payload.append(bytes)?;
        if !(is_last && fin) {
            return Ok(None);
        }
        self.finish().map(Some)
    }

    /// Room for the next `left` bytes of a long binary message that has begun, to be read straight into; `None` where
    /// that does not pay or is too much.
    pub(super) fn room(&mut self, left: u64, commons: &Rc<Commons>) -> Option<&mut [u8]> {
        let message = self.partial.as_mut()?.message.as_mut()?;
        match &mut message.payload {
            _ if message.compressed.is_some() => None, // short, mostly
            PartialPayload::Binary(payload) => payload.room(usize::try_from(left).ok()?, commons),
            PartialPayload::Text { .. } => None, // it is checked and copied piece by piece
        }
    }

    /// The first `count` bytes of the room were written.
    ///
    /// # Panics
    /// If there was no room for them: a bug of the caller.
    pub(super) fn fill(&mut self, count: usize) -> &mut [u8] {
        let message = self.partial.as_mut().and_then(|partial| partial.message.as_mut());
        match message.map(|message| &mut message.payload) {
            Some(PartialPayload::Binary(payload)) => payload.fill(count),
            _ => panic!("no room was given: a bug"),
        }
    }

    /// The message, once its last frame is whole.
    pub(super) fn finish(&mut self) -> Result<Assembled<'static>, ProtocolError> {
        let message = self.partial.as_mut().and_then(|partial| partial.message.take());
        self.drop_if_whole();
        let PartialMessage { payload, compressed, .. } = message.expect("a frame of it has come");
        Ok(match (compressed, payload.finish()?) {
            (Some(opcode), message) => Assembled::Compressed(opcode, message.into_parts().1),
            (None, message) => Assembled::Message(message),
        })
    }

    /// Heap bytes that it owns.
    pub(super) fn held_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| {
            let message = partial.message.as_ref().map_or(0, |message| message.payload.capacity());
            size_of::<Partial>() + message + partial.control.as_ref().map_or(0, Vec::capacity)
        })
    }

    /// Between messages nothing is owned.
    fn drop_if_whole(&mut self) {
        if self.partial.as_ref().is_some_and(|partial| partial.message.is_none() && partial.control.is_none()) {
            self.partial = None;
        }
    }

    fn push_control<'b>(
        &mut self,
        opcode: Opcode,
        bytes: &'b mut [u8],
        is_whole_frame: bool,
        is_last: bool,
    ) -> Option<ControlFrame<'b>> {
        let payload = if is_whole_frame {
            Cow::Borrowed(&*bytes)
        } else {
            // §5.5: the header was checked, so that at most 125 bytes come.
            let partial = self.partial.get_or_insert_default();
            let payload = partial.control.get_or_insert_default();
            payload.extend_from_slice(bytes);
            assert!(payload.len() <= CONTROL_PAYLOAD_BYTES_MAX, "more than its header announced");
            if !is_last {
                return None;
            }
            let payload = partial.control.take()?;
            self.drop_if_whole();
            Cow::Owned(payload)
        };
        Some(match opcode {
            Opcode::Close => ControlFrame::Close(payload),
            Opcode::Ping => ControlFrame::Ping(payload),
            _ => ControlFrame::Pong(payload),
        })
    }
}

impl PartialMessage {
    fn new(opcode: Opcode, is_compressed: bool) -> PartialMessage {
        let collected = if is_compressed { Opcode::Binary } else { opcode };
        PartialMessage {
            payload: PartialPayload::new(collected),
            compressed: is_compressed.then_some(opcode),
            frames: 1,
        }
    }
}

impl PartialPayload {
    pub(super) fn new(opcode: Opcode) -> PartialPayload {
        match opcode {
            Opcode::Text => PartialPayload::Text { text: String::new(), validator: Utf8Validator::default(), bytes: 0 },
            _ => PartialPayload::Binary(PayloadBuffer::default()),
        }
    }

    /// Bytes received so far, those of a cut character included.
    pub(super) fn len(&self) -> usize {
        match self {
            PartialPayload::Text { bytes, .. } => *bytes,
            PartialPayload::Binary(payload) => payload.len(),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        match self {
            PartialPayload::Text { text, .. } => text.capacity(),
            PartialPayload::Binary(payload) => payload.capacity(),
        }
    }

    pub(super) fn append(&mut self, chunk: &[u8]) -> Result<(), ProtocolError> {
        match self {
            PartialPayload::Text { text, validator, bytes } => {
                *bytes += chunk.len();
                validator.append(text, chunk)?;
            }
            PartialPayload::Binary(payload) => payload.append(chunk),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Message<'static>, ProtocolError> {
        match self {
            PartialPayload::Text { text, validator, .. } => {
                validator.finish()?; // §8.1: a character must not be cut by the end of the message
                Ok(Message::Text(Cow::Owned(text)))
            }
            PartialPayload::Binary(payload) => Ok(Message::Binary(Cow::Owned(payload.into_vec()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(fin: bool, opcode: Opcode, payload_len: usize) -> FrameHeader {
        FrameHeader { fin, rsv1: false, opcode, masking_key: None, payload_len: payload_len as u64 }
    }

    fn limits(message_bytes_max: usize) -> Limits {
        Limits { message_bytes_max, message_frames_max: 4, ..Limits::default() }
    }

    /// Pushes a whole frame.
    fn frame<'b>(
        assembler: &mut MessageAssembler,
        fin: bool,
        opcode: Opcode,
        bytes: &'b mut [u8],
    ) -> Result<Option<Assembled<'b>>, ProtocolError> {
        let header = header(fin, opcode, bytes.len());
        assembler.begin_frame(&header, &limits(10))?;
        assembler.push(Chunk { opcode, fin, rsv1: false, bytes, is_first: true, is_last: true })
    }

    #[test]
    fn a_whole_message_is_lent_and_a_fragmented_one_is_owned() {
        let mut assembler = MessageAssembler::default();
        let mut bytes = *b"hello";
        let whole = frame(&mut assembler, true, Opcode::Text, &mut bytes);
        assert!(matches!(whole, Ok(Some(Assembled::Message(Message::Text(Cow::Borrowed("hello")))))));
        assert_eq!(frame(&mut assembler, false, Opcode::Binary, &mut [1, 2]), Ok(None));
        assert_eq!(frame(&mut assembler, false, Opcode::Continuation, &mut []), Ok(None));
        let mut ping = *b"p";
        assert_eq!(
            frame(&mut assembler, true, Opcode::Ping, &mut ping),
            Ok(Some(Assembled::Control(ControlFrame::Ping(Cow::Borrowed(b"p"))))),
            "§5.4: a control frame between fragments"
        );
        let mut last = [3];
        let fragmented = frame(&mut assembler, true, Opcode::Continuation, &mut last);
        let is_owned = |payload: &[u8]| payload == [1, 2, 3];
        assert!(matches!(fragmented, Ok(Some(Assembled::Message(Message::Binary(Cow::Owned(p))))) if is_owned(&p)));
    }

    #[test]
    fn the_order_of_frames_is_checked_by_the_header() {
        let mut assembler = MessageAssembler::default();
        let continuation = header(true, Opcode::Continuation, 0);
        assert_eq!(assembler.begin_frame(&continuation, &limits(10)), Err(ProtocolError::UnexpectedContinuation));
        assert_eq!(frame(&mut assembler, false, Opcode::Text, &mut []), Ok(None));
        for opcode in [Opcode::Text, Opcode::Binary] {
            let error = assembler.begin_frame(&header(true, opcode, 0), &limits(10));
            assert_eq!(error, Err(ProtocolError::ExpectedContinuation));
        }
    }

    #[test]
    fn the_announced_length_of_all_fragments_counts() {
        let mut assembler = MessageAssembler::default();
        let error = assembler.begin_frame(&header(true, Opcode::Binary, 11), &limits(10));
        assert_eq!(error, Err(ProtocolError::MessageTooBig { announced: 11, limit: 10 }));
        assert_eq!(frame(&mut assembler, false, Opcode::Text, "1234567é".as_bytes().to_vec().as_mut()), Ok(None));
        let error = assembler.begin_frame(&header(true, Opcode::Continuation, 2), &limits(10));
        assert_eq!(error, Err(ProtocolError::MessageTooBig { announced: 11, limit: 10 }));
        assert_eq!(assembler.begin_frame(&header(true, Opcode::Continuation, 1), &limits(10)), Ok(()));
    }

    #[test]
    fn fragments_are_counted() {
        let mut assembler = MessageAssembler::default();
        assert_eq!(frame(&mut assembler, false, Opcode::Binary, &mut []), Ok(None));
        for _ in 1..4 {
            assert_eq!(frame(&mut assembler, false, Opcode::Continuation, &mut []), Ok(None));
        }
        let error = frame(&mut assembler, false, Opcode::Continuation, &mut []);
        assert_eq!(error, Err(ProtocolError::TooManyFrames(4)));
    }

    #[test]
    fn bad_text_fails_before_the_message_is_complete() {
        let mut assembler = MessageAssembler::default();
        let mut bytes = [b'a', 0xff];
        let error = frame(&mut assembler, false, Opcode::Text, &mut bytes);
        assert_eq!(error, Err(ProtocolError::InvalidUtf8));
        let mut assembler = MessageAssembler::default();
        assert_eq!(frame(&mut assembler, false, Opcode::Text, &mut [0xc3]), Ok(None));
        let error = frame(&mut assembler, true, Opcode::Continuation, &mut []);
        assert_eq!(error, Err(ProtocolError::InvalidUtf8), "the end of a character is missing");
    }
}
