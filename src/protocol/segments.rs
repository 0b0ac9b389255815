//! What waits in a [send queue](super::send_queue), piece by piece: small frames gathered in one buffer, large ones where
//! they lie.

use std::collections::{VecDeque, vec_deque};
use std::time::Instant;

use super::commons::{Buffer, Commons};
use super::frame::{FrameHeader, header_len};
use super::frame_row::{drop_sent_frames, frame_end};
use super::shared_frame::SharedFrame;

/// Bytes of several kinds that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) segments: VecDeque<Segment>,
    /// Bytes of the first segment that the socket has taken.
    pub(super) front_sent: usize,
    /// Bytes that it has not taken, of all segments.
    pub(super) bytes: usize,
    /// The socket took less than there was; its last progress was then.
    pub(super) stuck_since: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Segment {
    /// The response to the opening handshake, or the rest of a frame that was begun. Always first, and nothing goes
    /// before it.
    Begun(Vec<u8>),
    /// Pings and pongs, whole frames one after the other.
    Control(Vec<u8>),
    /// Small data frames and the Close frame, whole frames one after the other: one slice for one write.
    Corked(Vec<u8>),
    /// A frame that other peers get as well, or several.
    Shared(SharedFrame),
    /// A frame around a payload that is not copied again.
    Owned(Box<OwnedFrame>),
}

#[derive(Debug)]
pub(super) struct OwnedFrame {
    header: [u8; FrameHeader::BYTES_MAX],
    header_len: usize,
    payload: Vec<u8>,
}

impl Segments {
    pub(super) fn push_shared(&mut self, frame: &SharedFrame) {
        self.push_whole(Segment::Shared(frame.clone()));
    }

    /// A segment of which no socket has taken anything.
    pub(super) fn push_whole(&mut self, segment: Segment) {
        self.bytes += segment.len();
        self.segments.push_back(segment);
    }

    /// A frame of the server around this payload.
    pub(super) fn push_owned(&mut self, header: FrameHeader, payload: Vec<u8>) {
        let header_len = header_len(header.payload_len);
        let frame = OwnedFrame { header: header.to_bytes(), header_len, payload };
        self.push_whole(Segment::Owned(Box::new(frame)));
    }

    /// The socket took fewer bytes than there are.
    pub(super) fn sent(&mut self, mut count: usize, now: Instant, commons: &Commons) {
        self.bytes -= count;
        if count > 0 || self.stuck_since.is_none() {
            self.stuck_since = Some(now);
        }
        while let Some(front) = self.segments.front() {
            let left = front.len() - self.front_sent;
            if count < left {
                self.front_sent += count;
                return;
            }
            count -= left;
            self.front_sent = 0;
            if let Some(Segment::Owned(frame)) = self.segments.pop_front() {
                commons.give_back_payload(frame.payload);
            }
        }
    }

    pub(super) fn outgoing(&self) -> Outgoing<'_> {
        Outgoing { next: &[], segments: self.segments.iter(), sent: self.front_sent }
    }

    /// All is sent. Buffers are kept for the next frames.
    pub(super) fn give_back(self, commons: &Commons) {
        for segment in self.segments {
            match segment {
                Segment::Corked(frames) | Segment::Control(frames) => commons.give_back_buffer(Buffer::new(frames)),
                Segment::Owned(frame) => commons.give_back_payload(frame.payload),
                _ => {}
            }
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        let segments = self.segments.capacity() * size_of::<Segment>();
        size_of::<Segments>() + segments + self.segments.iter().map(Segment::held_bytes).sum::<usize>()
    }

    /// The index at which a control frame can be put in without cutting a frame. Splits a segment of several frames
    /// where need be. Where the first segment is `Control`, it is 0 even if a part of it was sent: it is appended to.
    pub(super) fn next_frame_boundary(&mut self) -> usize {
        match self.segments.front_mut() {
            Some(Segment::Begun(_)) => 1,
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
    pub(super) fn corked(&mut self, frame_len: usize) -> &mut Vec<u8> {
        let has_room = match self.segments.back() {
            Some(Segment::Corked(frames)) => frames.len() + frame_len <= CORKED_BYTES_MAX,
            _ => false,
        };
        if !has_room {
            self.segments.push_back(Segment::Corked(Vec::with_capacity(frame_len)));
        }
        let Some(Segment::Corked(frames)) = self.segments.back_mut() else { unreachable!("pushed just above") };
        frames
    }
}

/// Goes over the slices of what waits.
#[derive(Default)]
pub(super) struct Outgoing<'q> {
    /// The rest of the segment before.
    next: &'q [u8],
    segments: vec_deque::Iter<'q, Segment>,
    /// Bytes to leave out.
    sent: usize,
}

impl<'q> Outgoing<'q> {
    #[inline]
    pub(super) fn of_slice(slice: &'q [u8]) -> Outgoing<'q> {
        Outgoing { next: slice, ..Outgoing::default() }
    }
}

impl<'q> Iterator for Outgoing<'q> {
    type Item = &'q [u8];

    #[inline]
    fn next(&mut self) -> Option<&'q [u8]> {
        loop {
            let slice = match std::mem::take(&mut self.next) {
                [] => {
                    let [first, second] = self.segments.next()?.slices();
                    self.next = second;
                    first
                }
                slice => slice,
            };
            let skipped = self.sent.min(slice.len());
            self.sent -= skipped;
            if skipped < slice.len() {
                return Some(&slice[skipped..]);
            }
        }
    }
}

impl Segment {
    #[inline]
    pub(super) fn slices(&self) -> [&[u8]; 2] {
        match self {
            Segment::Begun(bytes) | Segment::Control(bytes) | Segment::Corked(bytes) => [bytes, &[]],
            Segment::Shared(frame) => [frame.as_bytes(), &[]],
            Segment::Owned(frame) => [&frame.header[..frame.header_len], &frame.payload],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slices().iter().map(|slice| slice.len()).sum()
    }

    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Segment::Begun(bytes) | Segment::Control(bytes) | Segment::Corked(bytes) => bytes.capacity(),
            Segment::Shared(_) => 0,
            Segment::Owned(frame) => size_of_val(&**frame) + frame.payload.capacity(),
        }
    }
}

/// Frames are gathered in one buffer up to this size; a larger frame has a buffer of its own.
pub(super) const CORKED_BYTES_MAX: usize = 64 * 1024;

/// Up to this size a shared frame that follows another is copied: it costs less than a slice of its own in the write.
pub(super) const COPIED_FRAME_BYTES_MAX: usize = 128;

/// From this size on a payload that we own is sent from where it lies; below it a copy costs less than a slice more.
pub(super) const OWNED_PAYLOAD_BYTES_MIN: usize = 4 * 1024;
