//! Encoded frames that wait for the socket, oldest first.
//!
//! Data frames stay in order. Pings and pongs overtake them at the next frame boundary (§5.4: never inside a
//! frame), so that a long queue never makes a live peer look dead. A queue that is empty owns no memory.

use std::borrow::Cow;
use std::time::Instant;

use super::commons::{Buffer, Commons};
use super::frame::{FrameHeader, Opcode, header_len};
use super::frame_row::{drop_frames, drop_sent_frames, frame_end};
use super::limits::CONTROL_QUEUE_BYTES_MAX;
use super::segments::{COPIED_FRAME_BYTES_MAX, CORKED_BYTES_MAX, OWNED_PAYLOAD_BYTES_MIN, Outgoing, Segment, Segments};
use super::shared_frame::SharedFrame;

/// The bytes for one peer that its socket has not taken yet.
///
/// The queue itself sets no bound on data: [`Connection`](super::Connection) asks for [`len`](SendQueue::len) before
/// it pushes. Pings and pongs are bounded here.
#[derive(Debug, Default)]
pub struct SendQueue {
    waiting: Waiting,
}

#[derive(Debug, Default)]
enum Waiting {
    #[default]
    Nothing,
    /// Small frames, whole, one after the other. No socket has been asked to take them.
    Corked(Buffer),
    /// The same, but only pings and pongs.
    Control(Buffer),
    /// What a broadcast leaves with each of its receivers. No socket has been asked to take it.
    Shared(SharedFrame),
    /// Everything else.
    Segments(Box<Segments>),
}

impl SendQueue {
    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!(self.waiting, Waiting::Nothing)
    }

    /// Bytes that wait.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.waiting {
            Waiting::Nothing => 0,
            Waiting::Corked(frames) | Waiting::Control(frames) => frames.len(),
            Waiting::Shared(frame) => frame.as_bytes().len(),
            Waiting::Segments(segments) => segments.bytes,
        }
    }

    /// Heap bytes that it owns. Frames that are shared do not count.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.waiting {
            Waiting::Nothing | Waiting::Shared(_) => 0,
            Waiting::Corked(frames) | Waiting::Control(frames) => frames.capacity(),
            Waiting::Segments(segments) => segments.held_bytes(),
        }
    }

    /// Since when the socket has taken nothing of what waits; `None` while it keeps up.
    #[inline]
    pub fn stuck_since(&self) -> Option<Instant> {
        match &self.waiting {
            Waiting::Segments(segments) => segments.stuck_since,
            _ => None, // no socket was asked
        }
    }

    /// The response to the opening handshake. It must be the first thing that is pushed.
    pub(super) fn push_response(&mut self, response: Vec<u8>) {
        self.push_begun(response);
    }

    /// The rest of a frame that the socket took in part. Nothing may wait before it.
    fn push_begun(&mut self, rest: Vec<u8>) {
        assert!(self.is_empty(), "nothing goes before it");
        let waiting = self.segments();
        waiting.bytes += rest.len();
        waiting.segments.push_back(Segment::Begun(rest));
    }

    /// A data frame, or the Close frame, behind all others.
    #[inline]
    pub(super) fn push_frame(&mut self, opcode: Opcode, payload: Cow<'_, [u8]>, commons: &Commons) {
        self.push::<false>(opcode, payload, commons);
    }

    /// A data frame whose payload is compressed (RFC 7692 §6).
    pub(super) fn push_compressed(&mut self, opcode: Opcode, compressed: Vec<u8>, commons: &Commons) {
        self.push::<true>(opcode, Cow::Owned(compressed), commons);
    }

    /// Whether a payload is compressed is known where this is called, so that the others need not ask.
    fn push<const RSV1: bool>(&mut self, opcode: Opcode, payload: Cow<'_, [u8]>, commons: &Commons) {
        let header = FrameHeader { rsv1: RSV1, ..FrameHeader::of_server(opcode, payload.len()) };
        let frame_len = header_len(header.payload_len) + payload.len();
        match payload {
            Cow::Owned(payload) if payload.len() >= OWNED_PAYLOAD_BYTES_MIN => {
                self.segments().push_owned(header, payload);
            }
            payload => {
                let corked = self.corked(frame_len, commons);
                header.encode(corked);
                corked.extend_from_slice(&payload);
            }
        }
    }

    /// The buffer at the end of the queue, for a frame of `frame_len` bytes, which are counted.
    #[inline]
    fn corked(&mut self, frame_len: usize, commons: &Commons) -> &mut Vec<u8> {
        let has_room = match &self.waiting {
            Waiting::Nothing => {
                self.waiting = Waiting::Corked(commons.take_buffer());
                true
            }
            Waiting::Corked(frames) => frames.len() + frame_len <= CORKED_BYTES_MAX,
            Waiting::Control(_) | Waiting::Shared(_) | Waiting::Segments(_) => false,
        };
        if !has_room {
            let waiting = self.segments();
            waiting.bytes += frame_len;
            return waiting.corked(frame_len);
        }
        let Waiting::Corked(frames) = &mut self.waiting else { unreachable!("looked at just above") };
        frames
    }

    /// A frame of which the socket has taken `count` bytes, but not all. Nothing may wait before it.
    pub(super) fn push_rest(&mut self, header: FrameHeader, payload: Cow<'_, [u8]>, count: usize, commons: &Commons) {
        assert!(self.is_empty(), "a frame is begun only if nothing waits");
        match payload {
            Cow::Owned(payload) => {
                let waiting = self.segments();
                waiting.push_owned(header, payload);
                waiting.front_sent = count;
                waiting.bytes -= count;
            }
            Cow::Borrowed(payload) if count == 0 => self.push_frame(header.opcode, Cow::Borrowed(payload), commons),
            Cow::Borrowed(payload) => {
                let mut rest = Vec::with_capacity(FrameHeader::BYTES_MAX);
                header.encode(&mut rest);
                let header_left = rest.split_off(count.min(rest.len()));
                self.push_begun([&header_left, &payload[count.saturating_sub(rest.len())..]].concat());
            }
        }
    }

    /// A frame that is shared with other peers, behind all others.
    #[inline]
    pub(super) fn push_shared(&mut self, frame: &SharedFrame, commons: &Commons) {
        match &mut self.waiting {
            Waiting::Nothing => self.waiting = Waiting::Shared(frame.clone()),
            Waiting::Shared(last) => match commons.join(last, frame) {
                Some(both) => *last = both,
                None => {
                    if last.as_bytes().len() <= COPIED_FRAME_BYTES_MAX {
                        let mut frames = commons.take_buffer();
                        frames.extend_from_slice(last.as_bytes());
                        self.waiting = Waiting::Corked(frames);
                    }
                    self.push_another_shared(frame, commons);
                }
            },
            Waiting::Corked(_) | Waiting::Control(_) | Waiting::Segments(_) => self.push_another_shared(frame, commons),
        }
    }

    /// Behind something else.
    fn push_another_shared(&mut self, frame: &SharedFrame, commons: &Commons) {
        let bytes = frame.as_bytes();
        if bytes.len() <= COPIED_FRAME_BYTES_MAX {
            self.corked(bytes.len(), commons).extend_from_slice(bytes);
        } else {
            self.segments().push_shared(frame);
        }
    }

    /// A ping or a pong, at the next frame boundary.
    ///
    /// §5.5.3: where several pings wait for their pong, only the newest is answered. They wait when the socket takes
    /// no more, or when more pongs are queued than [`CONTROL_QUEUE_BYTES_MAX`].
    pub(super) fn push_control(&mut self, opcode: Opcode, payload: &[u8], commons: &Commons) {
        let header = FrameHeader::of_server(opcode, payload.len());
        if self.is_empty() {
            self.waiting = Waiting::Control(commons.take_buffer());
        }
        if let Waiting::Control(frames) = &mut self.waiting
            && frames.len() <= CONTROL_QUEUE_BYTES_MAX
        {
            header.encode(frames);
            frames.extend_from_slice(payload);
            return;
        }
        let waiting = self.segments();
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
        header.encode(frames);
        frames.extend_from_slice(payload);
        waiting.bytes += frames.len() - before;
    }

    /// Drops all that waits, but for the rest of a frame of which a part was sent, and the response.
    pub(super) fn drop_unsent(&mut self) {
        let Waiting::Segments(waiting) = &mut self.waiting else {
            self.waiting = Waiting::Nothing;
            return;
        };
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
            self.waiting = Waiting::Nothing;
        }
    }

    /// What waits, in the order in which it goes out; no slice is empty.
    #[inline]
    pub fn outgoing(&self) -> impl Iterator<Item = &[u8]> {
        match &self.waiting {
            Waiting::Nothing => Outgoing::default(),
            Waiting::Corked(frames) | Waiting::Control(frames) => Outgoing::of_slice(frames),
            Waiting::Shared(frame) => Outgoing::of_slice(frame.as_bytes()),
            Waiting::Segments(waiting) => waiting.outgoing(),
        }
    }

    /// The socket took the first `count` bytes of what waits; 0 means that it takes none now.
    ///
    /// # Panics
    /// If `count` is more than waits: a bug of the caller.
    #[inline]
    pub(super) fn sent(&mut self, count: usize, now: Instant, commons: &Commons) {
        assert!(count <= self.len(), "more was sent than waited");
        if count < self.len() {
            self.segments().sent(count, now, commons);
            return;
        }
        match std::mem::take(&mut self.waiting) {
            Waiting::Nothing | Waiting::Shared(_) => {}
            Waiting::Corked(frames) | Waiting::Control(frames) => commons.give_back_buffer(frames),
            Waiting::Segments(segments) => segments.give_back(commons),
        }
    }

    fn segments(&mut self) -> &mut Segments {
        if !matches!(self.waiting, Waiting::Segments(_)) {
            let mut segments = Box::<Segments>::default();
            match std::mem::take(&mut self.waiting) {
                Waiting::Corked(frames) => segments.push_whole(Segment::Corked(frames.into_vec())),
                Waiting::Control(frames) => segments.push_whole(Segment::Control(frames.into_vec())),
                Waiting::Shared(frame) => segments.push_shared(&frame),
                Waiting::Nothing | Waiting::Segments(_) => {}
            }
            self.waiting = Waiting::Segments(segments);
        }
        let Waiting::Segments(segments) = &mut self.waiting else { unreachable!("put there just above") };
        segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Limits;
    use std::collections::VecDeque;
    use std::rc::Rc;

    fn commons() -> Rc<Commons> {
        Commons::new(Limits::default())
    }

    fn bytes_of(queue: &SendQueue) -> Vec<u8> {
        let bytes = queue.outgoing().collect::<Vec<_>>().concat();
        assert_eq!(bytes.len(), queue.len());
        bytes
    }

    fn segments_of(queue: &SendQueue) -> &VecDeque<Segment> {
        let Waiting::Segments(waiting) = &queue.waiting else { panic!("{queue:?}") };
        &waiting.segments
    }

    fn push(queue: &mut SendQueue, text: &str) {
        queue.push_frame(Opcode::Text, Cow::Borrowed(text.as_bytes()), &commons());
    }

    /// A queue with every kind of segment, and the bytes of its frames one by one.
    fn sample() -> (SendQueue, Vec<Vec<u8>>) {
        let mut queue = SendQueue::default();
        push(&mut queue, "one");
        push(&mut queue, "second");
        queue.push_shared(&SharedFrame::text("shared"), &commons());
        queue.push_shared(&SharedFrame::text(&"s".repeat(200)), &commons());
        queue.push_frame(Opcode::Binary, Cow::Owned(vec![7; OWNED_PAYLOAD_BYTES_MIN]), &commons());
        push(&mut queue, "last");
        let owned = [&[0x82, 0x7e, 0x10, 0x00][..], &[7; OWNED_PAYLOAD_BYTES_MIN]].concat();
        let frames = vec![
            b"\x81\x03one".to_vec(),
            b"\x81\x06second".to_vec(),
            b"\x81\x06shared".to_vec(),
            [b"\x81\x7e\x00\xc8".to_vec(), b"s".repeat(200)].concat(),
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
        queue.push_shared(&SharedFrame::text(&"s".repeat(100_000)), &commons());
        let own = frames.concat().len();
        assert!((own..own + 4096).contains(&queue.held_bytes()), "{} of {own}", queue.held_bytes());
        queue.sent(queue.len(), Instant::now(), &commons());
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
                queue.sent(out.len(), Instant::now(), &commons());
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
            queue.sent(cut, Instant::now(), &commons());
            queue.push_control(Opcode::Pong, b"p", &commons());
            let boundary = boundaries.iter().copied().find(|&end| end >= cut).filter(|_| cut > 0).unwrap_or(0);
            let expected = [&whole[cut..boundary], b"\x8a\x01p", &whole[boundary..]].concat();
            assert_eq!(bytes_of(&queue), expected, "after {cut} bytes");
        }
    }

    #[test]
    fn while_the_socket_keeps_up_each_ping_is_answered() {
        let mut queue = SendQueue::default();
        queue.push_control(Opcode::Pong, b"a", &commons());
        queue.push_control(Opcode::Pong, b"b", &commons());
        assert_eq!(bytes_of(&queue), b"\x8a\x01a\x8a\x01b");
    }

    #[test]
    fn when_the_socket_is_stuck_the_newest_pong_replaces_the_waiting_ones() {
        let mut queue = SendQueue::default();
        push(&mut queue, "data");
        queue.sent(1, Instant::now(), &commons());
        for payload in [b"a", b"b", b"c"] {
            queue.push_control(Opcode::Pong, payload, &commons());
        }
        queue.push_control(Opcode::Ping, b"", &commons());
        queue.push_control(Opcode::Pong, b"d", &commons());
        assert_eq!(bytes_of(&queue), b"\x04data\x89\x00\x8a\x01d", "our own ping is kept");
        queue.sent(8, Instant::now(), &commons());
        queue.push_control(Opcode::Pong, b"e", &commons());
        assert_eq!(bytes_of(&queue), b"\x01d\x8a\x01e", "a pong of which a part was sent goes on");
    }

    #[test]
    fn pongs_that_wait_are_bounded_even_before_the_first_write() {
        let mut queue = SendQueue::default();
        for _ in 0..100_000 {
            queue.push_control(Opcode::Pong, &[0; 125], &commons());
            assert!(queue.len() <= CONTROL_QUEUE_BYTES_MAX + 2 * 127);
        }
    }

    #[test]
    fn frames_that_were_sent_are_not_walked_over_again_for_each_pong() {
        let mut queue = SendQueue::default();
        for _ in 0..30_000 {
            push(&mut queue, "");
        }
        queue.sent(2 * 30_000 - 1, Instant::now(), &commons());
        queue.push_control(Opcode::Pong, b"a", &commons());
        let front = segments_of(&queue).front().map(Segment::len);
        assert_eq!(front, Some(2), "what is left to walk over is the frame that was begun");
        assert_eq!(bytes_of(&queue), b"\x00\x8a\x01a");
    }

    #[test]
    fn pongs_that_were_sent_are_not_kept() {
        let mut queue = SendQueue::default();
        for _ in 0..10_000 {
            queue.push_control(Opcode::Pong, &[0; 125], &commons());
            queue.sent(100, Instant::now(), &commons()); // never all of it
            let kept: usize = segments_of(&queue).iter().map(Segment::len).sum();
            assert!(kept <= 3 * 127, "{kept} bytes are kept");
        }
    }

    #[test]
    fn nothing_goes_before_the_response_to_the_handshake() {
        let mut queue = SendQueue::default();
        queue.push_response(b"HTTP/1.1 101".to_vec());
        push(&mut queue, "data");
        queue.push_control(Opcode::Pong, b"", &commons());
        assert_eq!(bytes_of(&queue), b"HTTP/1.1 101\x8a\x00\x81\x04data");
        queue.sent(4, Instant::now(), &commons());
        queue.drop_unsent();
        assert_eq!(bytes_of(&queue), b"/1.1 101");
    }

    #[test]
    fn dropping_what_was_not_sent_keeps_the_frame_that_was_begun() {
        let (_, frames) = sample();
        for cut in 0..frames.concat().len() {
            let (mut queue, _) = sample();
            queue.sent(cut, Instant::now(), &commons());
            queue.drop_unsent();
            let mut ends = frames.iter().scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            });
            let end = if cut == 0 { 0 } else { ends.find(|&end| end >= cut).unwrap() };
            assert_eq!(bytes_of(&queue), frames.concat()[cut..end], "after {cut} bytes");
        }
        let mut queue = SendQueue::default();
        queue.push_control(Opcode::Pong, b"a", &commons());
        queue.push_control(Opcode::Pong, b"b", &commons());
        queue.sent(1, Instant::now(), &commons());
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
        queue.sent(0, later(1), &commons());
        queue.sent(0, later(2), &commons());
        assert_eq!(queue.stuck_since(), Some(later(1)));
        queue.sent(1, later(3), &commons());
        assert_eq!(queue.stuck_since(), Some(later(3)));
        queue.sent(5, later(4), &commons());
        assert_eq!(queue.stuck_since(), None);
    }
}
