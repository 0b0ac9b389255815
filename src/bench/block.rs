//! The messages of the load `echo`: a few dozen that are made once and lie in one block, one behind the other, for all
//! connections. Each has its place in the block as a mark.

use frameloop::protocol::compression::MessageCodec;
use frameloop::protocol::frame::FrameHeader;

use super::content::Content;
use super::frames::push_message;
use super::options::Options;

/// The messages, in the order in which each connection sends them, over and over.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) content: Content,
    pub(crate) size: usize,
    /// How many differ.
    pub(crate) count: u32,
    /// The frames; some of the first again at the end, so that a refill need not stop there.
    pub(crate) frames: Vec<u8>,
    /// Where each message begins in them, and where the last ends. They are equally long unless they are compressed.
    starts: Vec<usize>,
    /// Bytes of payload, as they are sent, of those that differ.
    payload_bytes: usize,
    /// The payload, but for the mark.
    pub(crate) payload: Vec<u8>,
}

impl Block {
    /// With a codec they are compressed: once, and the same bytes are sent all the time, so that it costs the client nothing.
    pub(crate) fn new(options: &Options, masking_key: [u8; 4], mut codec: Option<&mut MessageCodec>) -> Block {
        let &Options { size, content, fragments, in_flight, .. } = options;
        let of_mark = size.min(MARK_BYTES);
        // Where a mark comes, and what follows it, each of whole characters.
        let mut payload = [Content::Ascii.bytes(of_mark), content.bytes(size - of_mark)].concat();
        // Twice what is in flight, so that no two messages on their way are the same; if that is not too much.
        let count_max = BLOCK_BYTES_MAX / (size + fragments * FrameHeader::BYTES_MAX);
        let marks_max = MARKS.pow(size.min(MARK_BYTES) as u32);
        let count = (2 * in_flight).clamp(2, count_max.max(2)).min(marks_max);
        let again = in_flight.min(count_max);
        let (mut frames, mut starts, mut payload_bytes) = (Vec::new(), vec![0], 0);
        for place in 0..count + again {
            for (byte, mark) in payload.iter_mut().zip(mark((place % count) as u32)) {
                *byte = mark;
            }
            let compressed = codec.as_mut().map(|codec| codec.compress(&payload));
            let (rsv1, sent) = (compressed.is_some(), compressed.as_ref().unwrap_or(&payload));
            payload_bytes += if place < count { sent.len() } else { 0 };
            push_message(&mut frames, content.opcode(), rsv1, sent, fragments, masking_key);
            starts.push(frames.len());
        }
        Block { content, size, count: count as u32, frames, starts, payload_bytes, payload }
    }

    /// Bytes of the messages that differ.
    pub(crate) fn cycle_len(&self) -> usize {
        self.starts[self.count as usize]
    }

    /// Bytes of the first so many messages of a connection.
    #[inline]
    pub(crate) fn bytes_of(&self, messages: u64) -> u64 {
        let count = u64::from(self.count);
        messages / count * self.cycle_len() as u64 + self.starts[(messages % count) as usize] as u64
    }

    /// Bytes from here to the end of the message that was begun; 0 between two messages.
    pub(crate) fn begun_left(&self, at: usize) -> usize {
        self.starts[self.starts.partition_point(|start| *start < at)] - at
    }

    /// Bytes of a payload, as it is sent, in the mean.
    pub(crate) fn payload_bytes_mean(&self) -> f64 {
        self.payload_bytes as f64 / f64::from(self.count)
    }
}

/// The first bytes of the message at this place: two characters that text may have too.
#[inline]
pub(crate) fn mark(place: u32) -> [u8; MARK_BYTES] {
    let [low, high] = [place as usize % MARKS, place as usize / MARKS];
    [b'0' + low as u8, b'0' + high as u8]
}

/// Bytes of the frames in a block, unless two of them are more: what the caches of a core hold.
const BLOCK_BYTES_MAX: usize = 256 * 1024;
pub(crate) const MARK_BYTES: usize = 2;
/// The values of one byte of a mark.
const MARKS: usize = 64;
