//! What the connections of one server have in common: their bounds, and spare buffers that they lend each other.
//!
//! A connection owns a buffer only while something is in it. Under load that would be a hundred thousand allocations a
//! second, each of memory that is no longer in the processor's cache. So what one connection has emptied the next one
//! fills: the last one in is the first one out.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Instant;

use super::compression::Compression;
use super::deflate::Deflate;
use super::limits::{ADVANCE_BYTES_MAX, Limits, RESTRICTED_MESSAGE_BYTES_MAX, ROOM_BYTES_MIN, SPARE_PAYLOAD_BYTES_MAX};
use super::moment::{Epoch, Moment};
use super::shared_frame::SharedFrame;

/// The bounds of each connection, and the buffers that none of them needs now.
///
/// ```
/// use frameloop::protocol::{Commons, Connection, Limits};
/// # let now = std::time::Instant::now();
/// let commons = Commons::new(Limits::default());
/// let connections = [Connection::new(commons.clone(), now), Connection::new(commons, now)];
/// ```
pub struct Commons {
    limits: Limits,
    /// Those of a peer that is not known yet.
    restricted: Limits,
    /// The time of the first connection.
    epoch: OnceCell<Epoch>,
    /// Empty buffers for small frames.
    buffers: RefCell<Vec<Buffer>>,
    /// Buffers of long messages. All bytes up to their length can be written over.
    payloads: RefCell<Vec<Vec<u8>>>,
    spare_payload_bytes: Cell<usize>,
    /// Bytes of buffers that are lent for what is still to come.
    advance_bytes: Cell<usize>,
    advance_bytes_max: usize,
    room_bytes_min: usize,
    joined: RefCell<Option<Joined>>,
    deflate: Deflate,
}

/// Bytes that are held by one pointer: a queue is a part of every connection, and most are empty.
#[derive(Debug)]
pub(super) struct Buffer(Box<Bytes>);

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Buffer {
    pub(super) fn new(bytes: Vec<u8>) -> Buffer {
        Buffer(Box::new(Bytes(bytes)))
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        self.0.0
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.0.0
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0.0
    }
}

/// Two frames of which the second followed the first, and both as one.
#[derive(Debug)]
struct Joined {
    first: SharedFrame,
    second: SharedFrame,
    both: SharedFrame,
}

impl Commons {
    /// Bounds for connections, without a spare buffer yet.
    pub fn new(limits: Limits) -> Rc<Commons> {
        Commons::with_compression(limits, Compression::Off)
    }

    /// The same, for connections that compress their messages (RFC 7692) if their peers can. In builds without the feature
    /// `deflate` none do.
    pub fn with_compression(limits: Limits, compression: Compression) -> Rc<Commons> {
        Commons::with(limits, compression, ADVANCE_BYTES_MAX, ROOM_BYTES_MIN)
    }

    /// The same, with another bound than [`ADVANCE_BYTES_MAX`] on what all connections together may take in advance (with 0
    /// each owns no more than twice what it has received), and with room for payloads of which at least so many bytes are
    /// to come, instead of [`ROOM_BYTES_MIN`].
    pub fn with_lending(limits: Limits, advance_bytes_max: usize, room_bytes_min: usize) -> Rc<Commons> {
        Commons::with(limits, Compression::Off, advance_bytes_max, room_bytes_min)
    }

    fn with(limits: Limits, compression: Compression, advance_bytes_max: usize, room_bytes_min: usize) -> Rc<Commons> {
        let message_bytes_max = limits.message_bytes_max.min(RESTRICTED_MESSAGE_BYTES_MAX);
        Rc::new(Commons {
            restricted: Limits { message_bytes_max, ..limits.clone() },
            limits,
            epoch: OnceCell::new(),
            buffers: RefCell::default(),
            payloads: RefCell::default(),
            spare_payload_bytes: Cell::new(0),
            advance_bytes: Cell::new(0),
            advance_bytes_max,
            room_bytes_min,
            joined: RefCell::default(),
            deflate: Deflate::new(compression),
        })
    }

    /// The bounds on what a peer sends, other ones if it is not known yet who it is.
    #[inline]
    pub(super) fn limits_of(&self, is_restricted: bool) -> &Limits {
        if is_restricted { &self.restricted } else { &self.limits }
    }

    /// The bounds.
    #[inline]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Heap bytes of the buffers that nobody needs now, about.
    pub fn spare_bytes(&self) -> usize {
        let buffers: usize = self.buffers.borrow().iter().map(|buffer| buffer.capacity()).sum();
        buffers + self.spare_payload_bytes.get()
    }

    /// Whether so many buffers are kept that a server without work should [`release`](Commons::release) them.
    pub fn has_much_to_spare(&self) -> bool {
        self.spare_payload_bytes.get() > 0 || self.buffers.borrow().len() > SPARE_BUFFERS_FEW
    }

    /// Gives back to the system what nobody needs now, for a server that has nothing to do.
    pub fn release(&self) {
        self.buffers.take();
        self.payloads.take();
        self.spare_payload_bytes.set(0);
        self.joined.take();
    }

    /// From when its connections count their deadlines.
    #[inline]
    pub(crate) fn epoch(&self, now: Instant) -> Epoch {
        *self.epoch.get_or_init(|| Epoch::new(now))
    }

    /// The time of a deadline.
    #[inline]
    pub(super) fn instant(&self, moment: Moment) -> Instant {
        self.epoch.get().expect("whoever has a deadline has asked for the epoch").instant(moment)
    }

    /// What they share to compress messages.
    #[inline]
    pub(super) fn deflate(&self) -> &Deflate {
        &self.deflate
    }

    /// Heap bytes that compressing takes for all connections together, about, beside what each of them owns.
    pub fn compression_bytes(&self) -> usize {
        self.deflate.held_bytes()
    }

    // ---- send queues

    /// An empty buffer, of those that were used the one that was used last.
    #[inline]
    pub(super) fn take_buffer(&self) -> Buffer {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| Buffer::new(Vec::with_capacity(SPARE_BUFFER_BYTES_MIN)))
    }

    /// Keeps a buffer that nobody needs any more.
    #[inline]
    pub(super) fn give_back_buffer(&self, mut buffer: Buffer) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < SPARE_BUFFERS_MAX && buffer.capacity() <= SPARE_BUFFER_BYTES_MAX {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// Both frames as one, if so many hold the first that it pays, or if it was done for the queue before.
    ///
    /// A broadcast goes over all receivers before the next one does. So for most of them the same two frames follow
    /// each other: they are put together for one, and then are one slice in the write of each.
    #[inline]
    pub(super) fn join(&self, first: &SharedFrame, second: &SharedFrame) -> Option<SharedFrame> {
        let mut joined = self.joined.borrow_mut();
        if let Some(joined) = &*joined
            && joined.first.is_same(first)
            && joined.second.is_same(second)
        {
            return Some(joined.both.clone());
        }
        if first.as_bytes().len() + second.as_bytes().len() > JOINED_BYTES_MAX || first.holders() < JOINED_HOLDERS_MIN {
            return None;
        }
        let both = first.followed_by(second);
        *joined = Some(Joined { first: first.clone(), second: second.clone(), both: both.clone() });
        Some(both)
    }

    // ---- payloads of long messages

    /// From so many bytes on a payload is read to where it stays.
    pub(super) fn room_bytes_min(&self) -> usize {
        self.room_bytes_min
    }

    /// A buffer of at least `len` bytes, of any content, for a message of which `received` bytes are there, if that is
    /// not too far ahead of what all connections have received. What is taken in advance is to be
    /// [returned](Commons::end_advance).
    pub(super) fn take_payload(&self, len: usize, received: usize) -> Option<Vec<u8>> {
        let mut payloads = self.payloads.borrow_mut();
        // A longer one would make a short message that waits hold more than it counts.
        let is_fit = |payload: &Vec<u8>| payload.len() >= len && payload.capacity() <= 2 * len;
        let spare = payloads.iter().rposition(is_fit);
        let advance = spare.map_or(len, |at| payloads[at].len()) - received;
        if self.advance_bytes.get() + advance > self.advance_bytes_max {
            return None;
        }
        self.advance_bytes.set(self.advance_bytes.get() + advance);
        Some(match spare {
            Some(at) => {
                let payload = payloads.remove(at);
                self.spare_payload_bytes.set(self.spare_payload_bytes.get() - payload.capacity());
                payload
            }
            None => vec![0; len],
        })
    }

    /// What was taken in advance was received, or will not be.
    pub(super) fn end_advance(&self, advance: usize) {
        self.advance_bytes.set(self.advance_bytes.get() - advance);
    }

    /// Keeps the buffer of a long message that nobody needs any more.
    pub(super) fn give_back_payload(&self, payload: Vec<u8>) {
        let spare = self.spare_payload_bytes.get() + payload.capacity();
        let mut payloads = self.payloads.borrow_mut();
        let is_long = payload.len() >= SPARE_PAYLOAD_BYTES_MIN && payload.capacity() <= 2 * payload.len();
        if is_long && payloads.len() < SPARE_PAYLOADS_MAX && spare <= SPARE_PAYLOAD_BYTES_MAX {
            self.spare_payload_bytes.set(spare);
            payloads.push(payload);
        }
    }
}

impl fmt::Debug for Commons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commons").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Spare buffers for small frames.
const SPARE_BUFFERS_MAX: usize = 64;

/// The largest of them.
const SPARE_BUFFER_BYTES_MAX: usize = 16 * 1024;

/// The smallest. Replies mostly come several in a turn.
const SPARE_BUFFER_BYTES_MIN: usize = 1024;

/// As many as a server may keep for good.
const SPARE_BUFFERS_FEW: usize = 8;

/// Spare buffers of long messages: as many as are likely to be on their way at a time.
const SPARE_PAYLOADS_MAX: usize = 8;

/// Shorter messages are copied: they are made in the cache and gone at once.
const SPARE_PAYLOAD_BYTES_MIN: usize = 64 * 1024;

/// Frames are joined up to this size: a copy of it costs less than a slice more in each write.
const JOINED_BYTES_MAX: usize = 4 * 1024;

/// So many must hold a frame before another is joined to it.
const JOINED_HOLDERS_MIN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_that_was_given_back_last_is_the_next_one() {
        let commons = Commons::new(Limits::default());
        for fill in [1, 2] {
            commons.give_back_payload(vec![fill; 100_000]);
        }
        commons.give_back_payload(vec![3; 65_536]);
        assert_eq!(commons.spare_bytes(), 265_536);
        let payload = commons.take_payload(80_000, 0).unwrap();
        assert_eq!((payload.len(), payload[0]), (100_000, 2), "it is large enough, and nobody cleared it");
        commons.release();
        assert_eq!(commons.spare_bytes(), 0);
        assert_eq!(commons.take_payload(80_000, 0), Some(vec![0; 80_000]));
    }

    #[test]
    fn what_is_taken_in_advance_is_bounded_for_all_together() {
        let commons = Commons::with_lending(Limits::default(), 1_000_000, ROOM_BYTES_MIN);
        assert!(commons.take_payload(700_000, 0).is_some());
        assert_eq!(commons.take_payload(700_000, 100_000), None);
        assert!(commons.take_payload(700_000, 400_000).is_some());
        commons.end_advance(700_000);
        assert!(commons.take_payload(700_000, 0).is_some());
        commons.end_advance(400_000);
        commons.give_back_payload(vec![0; 500_000]);
        assert_eq!(commons.take_payload(301_000, 0), None, "a spare buffer counts as a whole");
        assert!(
            commons.take_payload(200_000, 0).is_some_and(|payload| payload.capacity() == 200_000),
            "it is too long"
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let commons = Commons::new(Limits::default());
        for _ in 0..1000 {
            commons.give_back_payload(vec![0; 1024 * 1024]);
            commons.give_back_payload(vec![0; 1024]);
            commons.give_back_buffer(Buffer::new(vec![0; SPARE_BUFFER_BYTES_MAX]));
            commons.give_back_buffer(Buffer::new(vec![0; SPARE_BUFFER_BYTES_MAX + 1]));
        }
        assert_eq!(commons.spare_bytes(), SPARE_PAYLOAD_BYTES_MAX + SPARE_BUFFERS_MAX * SPARE_BUFFER_BYTES_MAX);
    }

    #[test]
    fn frames_that_follow_each_other_in_many_queues_are_joined_once() {
        let commons = Commons::new(Limits::default());
        let (first, second) = (SharedFrame::text("one"), SharedFrame::text("two"));
        assert!(commons.join(&first, &second).is_none(), "nobody else would get them");
        let others = vec![first.clone(); JOINED_HOLDERS_MIN];
        let both = commons.join(&first, &second).unwrap();
        assert_eq!(both.as_bytes(), b"\x81\x03one\x81\x03two");
        drop(others);
        assert!(commons.join(&first, &second).unwrap().is_same(&both), "for the next one it is there already");
        let long = SharedFrame::binary(&[0; JOINED_BYTES_MAX]);
        let _others = vec![long.clone(); JOINED_HOLDERS_MIN];
        assert!(commons.join(&long, &second).is_none());
    }
}
