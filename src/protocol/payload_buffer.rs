//! The payload of a message that arrives in pieces.
//!
//! It grows with the bytes received. Only for a long payload whose rest can be read straight into it is it made as long as
//! the header announced, and then the bytes that all connections take in advance are bounded together.

use std::rc::Rc;

use super::commons::Commons;

/// Bytes received so far, in a buffer that may have room for more.
#[derive(Debug, Default)]
pub(super) struct PayloadBuffer {
    /// What was received, and behind it bytes of any content.
    bytes: Vec<u8>,
    received: usize,
    advance: Option<Advance>,
}

/// Bytes that the buffer takes before they are received.
#[derive(Debug)]
struct Advance {
    bytes: usize,
    commons: Rc<Commons>,
}

impl PayloadBuffer {
    /// The number of bytes received.
    pub(super) fn len(&self) -> usize {
        self.received
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends bytes that were read elsewhere.
    pub(super) fn append(&mut self, chunk: &[u8]) {
        match self.bytes.get_mut(self.received..self.received + chunk.len()) {
            Some(room) => {
                room.copy_from_slice(chunk);
                self.catch_up(chunk.len());
            }
            None => {
                self.bytes.truncate(self.received);
                self.bytes.extend_from_slice(chunk);
            }
        }
        self.received += chunk.len();
    }

    /// Room for the next `left` bytes; `None` where it does not pay, or where too much would be taken in advance.
    pub(super) fn room(&mut self, left: usize, commons: &Rc<Commons>) -> Option<&mut [u8]> {
        if left < commons.room_bytes_min() {
            return None;
        }
        let end = self.received.checked_add(left)?;
        if self.bytes.len() < end {
            // What was received is copied into the longer buffer. At least as much must follow, so that however many
            // fragments come, each byte is copied twice at most.
            if left < self.received {
                return None;
            }
            let mut longer = commons.take_payload(end, self.received)?;
            longer[..self.received].copy_from_slice(&self.bytes[..self.received]);
            self.advance = Some(Advance { bytes: longer.len() - self.received, commons: commons.clone() });
            self.bytes = longer;
        }
        Some(&mut self.bytes[self.received..end])
    }

    /// Counts the first `count` bytes of the room as received, and returns them.
    pub(super) fn fill(&mut self, count: usize) -> &mut [u8] {
        let start = self.received;
        self.received += count;
        self.catch_up(count);
        &mut self.bytes[start..self.received]
    }

    /// Bytes have come that were taken in advance.
    fn catch_up(&mut self, count: usize) {
        if let Some(advance) = &mut self.advance {
            let count = count.min(advance.bytes);
            advance.bytes -= count;
            advance.commons.end_advance(count);
        }
    }

    /// What was received.
    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.bytes.truncate(self.received);
        self.bytes
    }
}

impl From<Vec<u8>> for PayloadBuffer {
    /// A payload that begins with these bytes.
    fn from(bytes: Vec<u8>) -> PayloadBuffer {
        PayloadBuffer { received: bytes.len(), bytes, advance: None }
    }
}

impl Drop for Advance {
    fn drop(&mut self) {
        self.commons.end_advance(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Limits;
    use crate::protocol::limits::ROOM_BYTES_MIN;

    #[test]
    fn pieces_from_elsewhere_and_pieces_read_into_the_room_are_the_whole() {
        let commons = Commons::new(Limits::default());
        for size in [100_000, 80_000] {
            let whole: Vec<u8> = (0..size).map(|i| (i / 3) as u8).collect();
            let mut buffer = PayloadBuffer::default();
            buffer.append(&whole[..100]);
            assert!(buffer.capacity() < 1000, "it has grown with what was received");
            assert!(buffer.room(ROOM_BYTES_MIN - 1, &commons).is_none());
            buffer.room(size - 100, &commons).unwrap()[..50_000].copy_from_slice(&whole[100..50_100]);
            assert_eq!(buffer.fill(50_000), &whole[100..50_100]);
            buffer.append(&whole[50_100..50_200]);
            let room = buffer.room(size - 50_200, &commons).unwrap();
            room.copy_from_slice(&whole[50_200..]);
            buffer.fill(size - 50_200);
            assert_eq!(buffer.len(), size);
            let bytes = buffer.into_vec();
            assert_eq!(bytes, whole);
            commons.give_back_payload(bytes); // the next one is made in it
        }
    }

    #[test]
    fn however_many_fragments_come_each_byte_is_copied_twice_at_most() {
        let commons = Commons::new(Limits::default());
        let mut buffer = PayloadBuffer::default();
        let mut grown = 0;
        for _ in 0..64 {
            let before = buffer.bytes.as_ptr();
            if let Some(room) = buffer.room(ROOM_BYTES_MIN, &commons) {
                room.fill(7);
                buffer.fill(ROOM_BYTES_MIN);
            } else {
                buffer.append(&[7; ROOM_BYTES_MIN]);
            }
            grown += usize::from(buffer.bytes.as_ptr() != before);
        }
        assert!(grown <= 10, "it moved {grown} times");
        assert_eq!(buffer.into_vec(), vec![7; 64 * ROOM_BYTES_MIN]);
    }

    #[test]
    fn what_was_taken_in_advance_is_given_back_with_the_buffer() {
        let commons = Commons::with_lending(Limits::default(), 100_000, ROOM_BYTES_MIN);
        let mut buffer = PayloadBuffer::default();
        assert!(buffer.room(80_000, &commons).is_some());
        assert!(PayloadBuffer::default().room(80_000, &commons).is_none(), "another one has to grow");
        drop(buffer);
        assert!(PayloadBuffer::default().room(80_000, &commons).is_some());
    }
}
