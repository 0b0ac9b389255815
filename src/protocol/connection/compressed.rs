//! Messages that are compressed (RFC 7692), once the peer has agreed to it.

use std::time::Instant;

use super::{Connection, State};
use crate::protocol::frame::{Opcode, header_len};
use crate::protocol::message::Message;
use crate::protocol::shared_frame::SharedFrame;

impl Connection {
    /// The message whose compressed payload has come. Without one the connection has failed, or hears nothing more.
    #[cold]
    pub(super) fn decompress(&mut self, opcode: Opcode, payload: &[u8], now: Instant) -> Option<Message<'static>> {
        if self.state != State::Open {
            return None;
        }
        let message_bytes_max = self.commons.limits_of(self.is_restricted).message_bytes_max;
        match self.extension.decompress(opcode, payload, message_bytes_max, self.commons.deflate()) {
            Ok(message) => Some(message),
            Err(error) => {
                self.fail(error, now);
                None
            }
        }
    }

    /// The compressed form of a payload, if it is to be sent so.
    #[cold]
    pub(super) fn compress(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if self.state != State::Open {
            return None; // nor is it sent
        }
        self.extension.compress(payload, self.commons.deflate())
    }

    #[cold]
    pub(super) fn send_compressed(&mut self, opcode: Opcode, compressed: Vec<u8>, now: Instant) -> bool {
        let has_room = self.has_room(header_len(compressed.len() as u64) + compressed.len(), now);
        if has_room {
            self.queue.push_compressed(opcode, compressed, &self.commons);
        }
        has_room
    }

    /// Queues what this connection sends in place of a frame that many receive.
    #[cold]
    pub(super) fn send_variant(&mut self, frame: &SharedFrame, now: Instant) -> bool {
        if self.state != State::Open {
            return false;
        }
        if self.extension.has_own_compressor() {
            return match self.compress(frame.payload()) {
                Some(compressed) => self.send_compressed(frame.opcode(), compressed, now),
                None => self.send_frame(frame, now),
            };
        }
        // It is compressed once for all who can be sent the same.
        let variant = frame.variants().get_or_insert_with(self.extension.window_bits(), || {
            self.compress(frame.payload()).map(|compressed| SharedFrame::compressed(frame.opcode(), &compressed))
        });
        self.send_frame(variant.as_ref().unwrap_or(frame), now)
    }
}
