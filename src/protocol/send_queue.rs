//! Encoded frames that wait for the socket, oldest first.
//!
//! Data frames stay in order. Pings and pongs overtake them at the next frame boundary (§5.4: never inside a
//! frame), so that a long queue never makes a live peer look dead. A queue that is empty owns no memory.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;

use super::frame::{FrameHeader, Opcode, SharedFrame, header_len};
use super::frame_row::{drop_frames, drop_sent_frames, frame_end};
use super::limits::CONTROL_QUEUE_BYTES_MAX;

/// The bytes for one peer that its socket has not taken yet.
///
/// The queue itself sets no bound on data: [`Connection`](super::Connection) asks for [`len`](SendQueue::len) before
/// it pushes. Pings and pongs are bounded here.
#[derive(Debug, Default)]
pub struct SendQueue {
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that the socket has taken.
    front_sent: usize,
    /// Bytes that it has not taken, of all segments.
    bytes: usize,
    /// The socket took less than there was; its last progress was then.
    stuck_since: Option<Instant>,
}

#[derive(Debug)]
enum Segment {
    /// The response to the opening handshake. Always first, and nothing goes before it.
    Response(Vec<u8>),
    /// Pings and pongs, whole frames one after the other.
    Control(Vec<u8>),
    /// Small data frames and the Close frame, whole frames one after the other: one slice for one write.
    Corked(Vec<u8>),
    /// A frame that other peers get as well.
    Shared(SharedFrame),
    /// A frame around a payload that is not copied again.
    Owned(Box<OwnedFrame>),
}

#[derive(Debug)]
struct OwnedFrame {
    header: Vec<u8>,
    payload: Vec<u8>,
}

impl SendQueue {
    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }

    /// Bytes that wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.bytes)
    }

    /// Heap bytes that it owns. Frames that are shared do not count.
    pub(super) fn held_bytes(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| {
            let segments = waiting.segments.capacity() * size_of::<Segment>();
            size_of_val(&**waiting) + segments + waiting.segments.iter().map(Segment::held_bytes).sum::<usize>()
        })
    }

    /// Since when the socket has taken nothing of what waits; `None` while it keeps up.
    pub fn stuck_since(&self) -> Option<Instant> {
        self.waiting.as_ref()?.stuck_since
    }

    /// The response to the opening handshake. It must be the first thing that is pushed.
    pub(super) fn push_response(&mut self, response: Vec<u8>) {
        assert!(self.is_empty(), "nothing goes before the response");
        let waiting = self.waiting();
        waiting.bytes += response.len();
        waiting.segments.push_back(Segment::Response(response));
    }

    /// A data frame, or the Close frame, behind all others.
    #[inline]
    pub(super) fn push_frame(&mut self, opcode: Opcode, payload: Cow<'_, [u8]>) {
        let waiting = self.waiting();
        let frame_len = header_len(payload.len() as u64) + payload.len();
        waiting.bytes += frame_len;
        match payload {
            Cow::Owned(payload) if payload.len() >= OWNED_PAYLOAD_BYTES_MIN => {
                let mut header = Vec::with_capacity(FrameHeader::BYTES_MAX);
                FrameHeader::of_server(opcode, payload.len()).encode(&mut header);
                waiting.segments.push_back(Segment::Owned(Box::new(OwnedFrame { header, payload })));
            }
            payload => {
                let corked = waiting.corked(frame_len);
                FrameHeader::of_server(opcode, payload.len()).encode(corked);
                corked.extend_from_slice(&payload);
            }
        }
    }

    /// A frame that is shared with other peers, behind all others.
    #[inline]
    pub(super) fn push_shared(&mut self, frame: &SharedFrame) {
        let waiting = self.waiting();
        let bytes = frame.as_bytes();
        waiting.bytes += bytes.len();
        if bytes.len() <= COPIED_FRAME_BYTES_MAX {
            waiting.corked(bytes.len()).extend_from_slice(bytes);
        } else {
            waiting.segments.push_back(Segment::Shared(frame.clone()));
        }
    }

    /// A ping or a pong, at the next frame boundary.
    ///
    /// §5.5.3: where several pings wait for their pong, only the newest is answered. They wait when the socket takes
    /// no more, or when more pongs are queued than [`CONTROL_QUEUE_BYTES_MAX`].
    pub(super) fn push_control(&mut self, opcode: Opcode, payload: &[u8]) {
        let waiting = self.waiting();
        let is_stuck = waiting.stuck_since.is_some();
        let at = waiting.next_frame_boundary();
        if !matches!(waiting.segments.get(at), Some(Segment::Control(_))) {
            waiting.segments.insert(at, Segment::Control(Vec::new()));
        }
        let Some(Segment::Control(frames)) = waiting.segments.get_mut(at) else { return };
        if at == 0 {
            waiting.front_sent -= drop_sent_frames(frames, waiting.front_sent);
        }
        if is_stuck || frames.len() > CONTROL_QUEUE_BYTES_MAX {
            let begun = if at == 0 { waiting.front_sent } else { 0 };
            let before = frames.len();
            drop_frames(frames, begun, opcode);
            waiting.bytes -= before - frames.len();
        }
        let before = frames.len();
        FrameHeader::of_server(opcode, payload.len()).encode(frames);
        frames.extend_from_slice(payload);
        waiting.bytes += frames.len() - before;
    }

    /// Drops all that waits, but for the rest of a frame of which a part was sent, and the response.
    pub(super) fn drop_unsent(&mut self) {
        let Some(waiting) = &mut self.waiting else { return };
        let boundary = waiting.next_frame_boundary();
        if boundary == 0
            && let Some(Segment::Control(frames)) = waiting.segments.front_mut()
            && waiting.front_sent > 0
        {
            frames.truncate(frame_end(frames, waiting.front_sent));
            waiting.segments.truncate(1);
        } else {
            waiting.segments.truncate(boundary);
        }
        waiting.bytes = waiting.segments.iter().map(Segment::len).sum::<usize>() - waiting.front_sent;
        if waiting.bytes == 0 {
            self.waiting = None;
        }
    }

    /// What waits, in the order in which it goes out; no slice is empty.
    #[inline]
    pub fn outgoing(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.waiting.as_ref().map_or(0, |waiting| waiting.front_sent);
        let segments = self.waiting.as_ref().map(|waiting| waiting.segments.iter());
        segments.into_iter().flatten().flat_map(Segment::slices).filter_map(move |slice| {
            let skipped = skip.min(slice.len());
            skip -= skipped;
            let rest = &slice[skipped..];
            (!rest.is_empty()).then_some(rest)
        })
    }

    /// The socket took the first `count` bytes of what waits; 0 means that it takes none now.
    ///
    /// # Panics
    /// If `count` is more than waits: a bug of the caller.
    #[inline]
    pub fn sent(&mut self, mut count: usize, now: Instant) {
        let Some(waiting) = &mut self.waiting else {
            assert!(count == 0, "more was sent than waited");
            return;
        };
        assert!(count <= waiting.bytes, "more was sent than waited");
        waiting.bytes -= count;
        if waiting.bytes == 0 {
            self.waiting = None;
            return;
        }
        if count > 0 || waiting.stuck_since.is_none() {
            waiting.stuck_since = Some(now);
        }
        while let Some(front) = waiting.segments.front() {
            let left = front.len() - waiting.front_sent;
            if count < left {
                waiting.front_sent += count;
                return;
            }
            count -= left;
            waiting.front_sent = 0;
            waiting.segments.pop_front();
        }
    }

    #[inline]
    fn waiting(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }
}

impl Waiting {
    /// The index at which a control frame can be put in without cutting a frame. Splits a segment of several frames
    /// where need be. Where the first segment is `Control`, it is 0 even if a part of it was sent: it is appended to.
    fn next_frame_boundary(&mut self) -> usize {
        match self.segments.front_mut() {
            Some(Segment::Response(_)) => 1,
            Some(Segment::Control(_)) | None => 0,
            Some(_) if self.front_sent == 0 => 0,
            Some(Segment::Corked(frames)) => {
                // Each frame is walked over once: the next time this segment begins with the one that was begun.
                self.front_sent -= drop_sent_frames(frames, self.front_sent);
                if self.front_sent == 0 {
                    return 0;
                }
                let rest = frames.split_off(frame_end(frames, self.front_sent));
                if !rest.is_empty() {
                    self.segments.insert(1, Segment::Corked(rest));
                }
                1
            }
            Some(Segment::Shared(_) | Segment::Owned(_)) => 1,
        }
    }

    /// The buffer at the end of the queue with room for a frame of `frame_len` bytes.
    #[inline]
    fn corked(&mut self, frame_len: usize) -> &mut Vec<u8> {
        let has_room = match self.segments.back() {
            Some(Segment::Corked(frames)) => frames.len() + frame_len <= CORKED_BYTES_MAX,
            _ => false,
        };
        if !has_room {
            // Replies mostly come several in a turn, and to a queue that was empty.
            let capacity = if self.segments.is_empty() { frame_len.max(CORKED_BYTES_MIN) } else { frame_len };
            self.segments.push_back(Segment::Corked(Vec::with_capacity(capacity)));
        }
        let Some(Segment::Corked(frames)) = self.segments.back_mut() else { unreachable!("pushed just above") };
        frames
    }
}

impl Segment {
    fn slices(&self) -> [&[u8]; 2] {
        match self {
            Segment::Response(bytes) | Segment::Control(bytes) | Segment::Corked(bytes) => [bytes, &[]],
            Segment::Shared(frame) => [frame.as_bytes(), &[]],
            Segment::Owned(frame) => [&frame.header, &frame.payload],
        }
    }

    fn len(&self) -> usize {
        self.slices().iter().map(|slice| slice.len()).sum()
    }

    fn held_bytes(&self) -> usize {
        match self {
            Segment::Response(bytes) | Segment::Control(bytes) | Segment::Corked(bytes) => bytes.capacity(),
            Segment::Shared(_) => 0,
            Segment::Owned(frame) => size_of_val(&**frame) + frame.header.capacity() + frame.payload.capacity(),
        }
    }
}

/// Frames are gathered in one buffer up to this size; a larger frame has a buffer of its own.
const CORKED_BYTES_MAX: usize = 64 * 1024;

/// Room for the first frames of a queue.
const CORKED_BYTES_MIN: usize = 1024;

/// Up to this size a shared frame is copied: a reference would take as much room, and a slice of its own in the write.
const COPIED_FRAME_BYTES_MAX: usize = 64;

/// From this size on a payload that we own is sent from where it lies; below it a copy costs less than a slice more.
const OWNED_PAYLOAD_BYTES_MIN: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(queue: &SendQueue) -> Vec<u8> {
        let bytes = queue.outgoing().collect::<Vec<_>>().concat();
        assert_eq!(bytes.len(), queue.len());
        bytes
    }

    fn push(queue: &mut SendQueue, text: &str) {
        queue.push_frame(Opcode::Text, Cow::Borrowed(text.as_bytes()));
    }

    /// A queue with every kind of segment, and the bytes of its frames one by one.
    fn sample() -> (SendQueue, Vec<Vec<u8>>) {
        let mut queue = SendQueue::default();
        push(&mut queue, "one");
        push(&mut queue, "second");
        queue.push_shared(&SharedFrame::text("shared"));
        queue.push_shared(&SharedFrame::text(&"s".repeat(COPIED_FRAME_BYTES_MAX)));
        queue.push_frame(Opcode::Binary, Cow::Owned(vec![7; OWNED_PAYLOAD_BYTES_MIN]));
        push(&mut queue, "last");
        let owned = [&[0x82, 0x7e, 0x10, 0x00][..], &[7; OWNED_PAYLOAD_BYTES_MIN]].concat();
        let frames = vec![
            b"\x81\x03one".to_vec(),
            b"\x81\x06second".to_vec(),
            b"\x81\x06shared".to_vec(),
            [b"\x81\x40".to_vec(), b"s".repeat(COPIED_FRAME_BYTES_MAX)].concat(),
            owned,
            b"\x81\x04last".to_vec(),
        ];
        assert_eq!(bytes_of(&queue), frames.concat());
        (queue, frames)
    }

    #[test]
    fn what_is_held_is_counted_by_its_capacity_without_what_is_shared() {
        assert_eq!(SendQueue::default().held_bytes(), 0);
        let (mut queue, frames) = sample();
        queue.push_shared(&SharedFrame::text(&"s".repeat(100_000)));
        let own = frames.concat().len();
        assert!((own..own + 4096).contains(&queue.held_bytes()), "{} of {own}", queue.held_bytes());
        queue.sent(queue.len(), Instant::now());
        assert_eq!(queue.held_bytes(), 0, "a queue that is empty owns no memory");
    }

    #[test]
    fn what_is_sent_in_any_parts_is_the_whole_in_order() {
        let expected = sample().1.concat();
        for part in [1, 2, 3, 7, 100, 4099, 5000] {
            let (mut queue, _) = sample();
            let mut sent = Vec::new();
            while !queue.is_empty() {
                let mut out = bytes_of(&queue);
                out.truncate(part);
                sent.extend_from_slice(&out);
                queue.sent(out.len(), Instant::now());
            }
            assert_eq!(sent, expected, "{part} bytes at a time");
        }
    }

    #[test]
    fn a_pong_goes_out_at_the_next_frame_boundary_wherever_the_socket_stopped() {
        let (_, frames) = sample();
        let whole = frames.concat();
        let boundaries: Vec<usize> = frames
            .iter()
            .scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            })
            .collect();
        for cut in 0..whole.len() {
            let (mut queue, _) = sample();
            queue.sent(cut, Instant::now());
            queue.push_control(Opcode::Pong, b"p");
            let boundary = boundaries.iter().copied().find(|&end| end >= cut).filter(|_| cut > 0).unwrap_or(0);
            let expected = [&whole[cut..boundary], b"\x8a\x01p", &whole[boundary..]].concat();
            assert_eq!(bytes_of(&queue), expected, "after {cut} bytes");
        }
    }

    #[test]
    fn while_the_socket_keeps_up_each_ping_is_answered() {
        let mut queue = SendQueue::default();
        queue.push_control(Opcode::Pong, b"a");
        queue.push_control(Opcode::Pong, b"b");
        assert_eq!(bytes_of(&queue), b"\x8a\x01a\x8a\x01b");
    }

    #[test]
    fn when_the_socket_is_stuck_the_newest_pong_replaces_the_waiting_ones() {
        let mut queue = SendQueue::default();
        push(&mut queue, "data");
        queue.sent(1, Instant::now());
        for payload in [b"a", b"b", b"c"] {
            queue.push_control(Opcode::Pong, payload);
        }
        queue.push_control(Opcode::Ping, b"");
        queue.push_control(Opcode::Pong, b"d");
        assert_eq!(bytes_of(&queue), b"\x04data\x89\x00\x8a\x01d", "our own ping is kept");
        queue.sent(8, Instant::now());
        queue.push_control(Opcode::Pong, b"e");
        assert_eq!(bytes_of(&queue), b"\x01d\x8a\x01e", "a pong of which a part was sent goes on");
    }

    #[test]
    fn pongs_that_wait_are_bounded_even_before_the_first_write() {
        let mut queue = SendQueue::default();
        for _ in 0..100_000 {
            queue.push_control(Opcode::Pong, &[0; 125]);
            assert!(queue.len() <= CONTROL_QUEUE_BYTES_MAX + 2 * 127);
        }
    }

    #[test]
    fn frames_that_were_sent_are_not_walked_over_again_for_each_pong() {
        let mut queue = SendQueue::default();
        for _ in 0..30_000 {
            push(&mut queue, "");
        }
        queue.sent(2 * 30_000 - 1, Instant::now());
        queue.push_control(Opcode::Pong, b"a");
        let front = queue.waiting.as_ref().unwrap().segments.front().map(Segment::len);
        assert_eq!(front, Some(2), "what is left to walk over is the frame that was begun");
        assert_eq!(bytes_of(&queue), b"\x00\x8a\x01a");
    }

    #[test]
    fn pongs_that_were_sent_are_not_kept() {
        let mut queue = SendQueue::default();
        for _ in 0..10_000 {
            queue.push_control(Opcode::Pong, &[0; 125]);
            queue.sent(100, Instant::now()); // never all of it
            let kept: usize = queue.waiting.as_ref().unwrap().segments.iter().map(Segment::len).sum();
            assert!(kept <= 3 * 127, "{kept} bytes are kept");
        }
    }

    #[test]
    fn nothing_goes_before_the_response_to_the_handshake() {
        let mut queue = SendQueue::default();
        queue.push_response(b"HTTP/1.1 101".to_vec());
        push(&mut queue, "data");
        queue.push_control(Opcode::Pong, b"");
        assert_eq!(bytes_of(&queue), b"HTTP/1.1 101\x8a\x00\x81\x04data");
        queue.sent(4, Instant::now());
        queue.drop_unsent();
        assert_eq!(bytes_of(&queue), b"/1.1 101");
    }

    #[test]
    fn dropping_what_was_not_sent_keeps_the_frame_that_was_begun() {
        let (_, frames) = sample();
        for cut in 0..frames.concat().len() {
            let (mut queue, _) = sample();
            queue.sent(cut, Instant::now());
            queue.drop_unsent();
            let mut ends = frames.iter().scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            });
            let end = if cut == 0 { 0 } else { ends.find(|&end| end >= cut).unwrap() };
            assert_eq!(bytes_of(&queue), frames.concat()[cut..end], "after {cut} bytes");
        }
        let mut queue = SendQueue::default();
        queue.push_control(Opcode::Pong, b"a");
        queue.push_control(Opcode::Pong, b"b");
        queue.sent(1, Instant::now());
        queue.drop_unsent();
        assert_eq!(bytes_of(&queue), b"\x01a");
    }

    #[test]
    fn progress_is_what_counts_as_not_stuck() {
        let start = Instant::now();
        let later = |seconds| start + std::time::Duration::from_secs(seconds);
        let mut queue = SendQueue::default();
        push(&mut queue, "data");
        assert_eq!(queue.stuck_since(), None, "nothing was tried yet");
        queue.sent(0, later(1));
        queue.sent(0, later(2));
        assert_eq!(queue.stuck_since(), Some(later(1)));
        queue.sent(1, later(3));
        assert_eq!(queue.stuck_since(), Some(later(3)));
        queue.sent(5, later(4));
        assert_eq!(queue.stuck_since(), None);
    }
}
