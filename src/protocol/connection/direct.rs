//! Long payloads without a copy: read straight into the message that they are part of, and written from where they lie.
//!
//! ```text
//!   read buffer   [ header | payload... ]          poll_event: the front of the payload is copied
//!   message       [ payload...............room ]   payload_room, a read into it, poll_payload: the rest is not
//!   socket        [ header ] [ payload ]           send_directly: both in one write, and only what is left over waits
//! ```
//!
//! For short payloads a copy costs less than a system call more, so nobody has to use this.

use std::borrow::Cow;
use std::time::Instant;

use super::{Connection, Event, State};
use crate::protocol::frame::{FrameHeader, header_len};
use crate::protocol::message::{Assembled, Message};

impl Connection {
    /// Room for what comes next, if that is the rest of a long binary payload: whoever reads the transport into the
    /// front of it, and then calls [`poll_payload`](Connection::poll_payload), saves a copy. Otherwise, and in any case
    /// if one likes, there is [`poll_event`](Connection::poll_event).
    #[inline]
    pub fn payload_room(&mut self) -> Option<&mut [u8]> {
        if self.state != State::Open {
            return None;
        }
        let (opcode, left) = self.decoder.payload_left()?;
        if opcode.is_control() {
            return None;
        }
        self.assembler.room(left, &self.commons)
    }

    /// The first `count` bytes of [`payload_room`](Connection::payload_room) were read. Returns the message that is whole
    /// with them.
    ///
    /// # Panics
    /// If there was no room, or less: a bug of the caller.
    pub fn poll_payload(&mut self, count: usize) -> Option<Event<'static>> {
        assert!(self.state == State::Open, "no room was given");
        self.unanswered_pings = 0; // as in poll_event()
        let chunk = self.decoder.take_chunk(self.assembler.fill(count));
        if !(chunk.is_last && chunk.fin) {
            return None;
        }
        match self.assembler.finish() {
            Ok(Assembled::Message(message)) => Some(Event::Message(message)),
            other => panic!("only binary messages have room, and they are always valid: {other:?}"),
        }
    }

    /// As [`send`](Connection::send), but if nothing waits the socket is asked first: `write` gets the header and the
    /// payload, and returns how many bytes of both the socket took. Only what it did not take waits.
    #[inline]
    pub fn send_directly(
        &mut self,
        message: Message<'_>,
        now: Instant,
        write: impl FnOnce(&[u8], &[u8]) -> usize,
    ) -> bool {
        let (opcode, payload) = message.into_parts();
        if self.extension.is_agreed()
            && let Some(compressed) = self.compress(&payload)
        {
            return self.send_compressed(opcode, compressed, now);
        }
        let header_len = header_len(payload.len() as u64);
        if !self.has_room(header_len + payload.len(), now) {
            return false;
        }
        if !self.queue.is_empty() {
            self.queue.push_frame(opcode, payload, &self.commons);
            return true;
        }
        let header = FrameHeader::of_server(opcode, payload.len());
        let count = write(&header.to_bytes()[..header_len], &payload);
        assert!(count <= header_len + payload.len(), "the socket took more than there was");
        if count < header_len + payload.len() {
            self.queue.push_rest(header, payload, count, &self.commons);
        } else if let Cow::Owned(payload) = payload {
            self.commons.give_back_payload(payload);
        }
        true
    }
}
