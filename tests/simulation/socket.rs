//! One connection, as the wire sees it: what is on its way, what arrived, and what the server was told of it.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Socket {
    // ---- from the client to the server
    /// Sent, and not there yet.
    in_flight: VecDeque<u8>,
    /// When that arrives.
    arrives_at: Option<Instant>,
    /// The client has ended its side; the end is behind what is on its way.
    has_fin: bool,
    /// Arrived at the server and not read.
    pub(crate) inbound: VecDeque<u8>,
    /// The end of the client's side has arrived.
    pub(crate) client_eof: bool,
    pub(crate) is_reset: bool,
    /// Nobody is behind the socket any more: what the server writes is answered by a reset.
    pub(crate) is_deaf: bool,
    /// Bytes of the request head that have not arrived.
    pub(crate) head_bytes_left: usize,
    /// When the whole request head was there.
    pub(crate) head_arrived_at: Option<Instant>,
    /// Bytes up to the end of the client's Close frame that the server has not read.
    close_bytes_left: Option<usize>,
    pub(crate) last_arrival_at: Option<Instant>,

    // ---- from the server to the client
    /// Written by the server and not read by the client.
    pub(crate) outbound: VecDeque<u8>,
    /// Bytes that fit into `outbound`.
    pub(crate) capacity: usize,
    /// The server has ended its side.
    pub(crate) server_eof: bool,

    // ---- the server's end
    pub(crate) accepted_at: Option<Instant>,
    /// The key by which the server knows it, from its registration until it is dropped.
    pub(crate) key: Option<usize>,
    pub(crate) dropped_at: Option<Instant>,
    pub(crate) last_read_at: Option<Instant>,
    /// Edges that were not reported yet.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The server offered more than was taken, and waits for an edge.
    pub(crate) is_write_blocked: bool,
    /// The last write that took something, if more was offered.
    pub(crate) stuck_since: Option<Instant>,

    // ---- of this turn and those before, for the checks
    /// A readiness was reported, and the server has not yet read up to where it may stop.
    pub(crate) owes_read: bool,
    pub(crate) is_read_closed_reported: bool,
    pub(crate) turns_unread: usize,
    pub(crate) turns_cut: usize,
    pub(crate) last_read_bytes: usize,
    /// The most of a read in this turn, or the last one before it.
    pub(crate) read_bytes_most: usize,
    pub(crate) taken_in_turn: usize,
    pub(crate) was_write_blocked: bool,
    /// What the first write of this turn took.
    pub(crate) first_write: Option<usize>,
    pub(crate) was_stuck_since: Option<Instant>,
    /// The first turn in which the time for the opening handshake was over.
    pub(crate) late_since: Option<Instant>,
}

impl Socket {
    /// A socket for a client with a request head of so many bytes.
    pub(crate) fn new(capacity: usize, head_bytes: usize) -> Socket {
        Socket { capacity, head_bytes_left: head_bytes, ..Socket::default() }
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped_at.is_some()
    }

    /// The client can send nothing more.
    pub(crate) fn is_mute(&self) -> bool {
        self.has_fin || self.is_reset || self.is_dropped()
    }

    /// The client sends.
    pub(crate) fn send(&mut self, bytes: impl Iterator<Item = u8>, now: Instant, delay: Duration) {
        if !self.is_mute() {
            self.in_flight.extend(bytes);
            self.put_on_the_way(now, delay);
        }
    }

    /// So many of the bytes that the client sends from now on are up to the end of its Close frame.
    pub(crate) fn announce_close(&mut self, unsent: usize) {
        self.close_bytes_left = Some(self.inbound.len() + self.in_flight.len() + unsent);
    }

    /// The server has read all of the client's Close frame.
    pub(crate) fn is_close_read(&self) -> bool {
        self.close_bytes_left == Some(0)
    }

    /// The server has read so many bytes.
    pub(crate) fn note_read(&mut self, count: usize, now: Instant) {
        self.close_bytes_left = self.close_bytes_left.map(|left| left.saturating_sub(count));
        self.last_read_at = Some(now);
        self.last_read_bytes = count;
        self.read_bytes_most = self.read_bytes_most.max(count);
    }

    /// The client ends its side.
    pub(crate) fn finish(&mut self, now: Instant, delay: Duration) {
        if !self.is_mute() {
            self.has_fin = true;
            self.put_on_the_way(now, delay);
        }
    }

    /// The connection breaks. What had arrived can still be read, or is lost.
    pub(crate) fn reset(&mut self, keeps_inbound: bool) {
        self.is_reset = true;
        if !keeps_inbound {
            self.inbound.clear();
        }
        self.in_flight.clear();
        self.arrives_at = None;
        self.outbound.clear();
        (self.readable, self.writable) = (true, true);
    }

    fn put_on_the_way(&mut self, now: Instant, delay: Duration) {
        let at = now + delay;
        self.arrives_at = Some(self.arrives_at.map_or(at, |before| before.max(at)));
        self.arrive(now);
    }

    /// What is due arrives.
    pub(crate) fn arrive(&mut self, now: Instant) {
        if self.arrives_at.is_none_or(|at| at > now) {
            return;
        }
        self.arrives_at = None;
        if !self.in_flight.is_empty() {
            self.last_arrival_at = Some(now);
            self.head_bytes_left = self.head_bytes_left.saturating_sub(self.in_flight.len());
            if self.head_bytes_left == 0 {
                self.head_arrived_at.get_or_insert(now);
            }
            self.inbound.append(&mut self.in_flight);
        }
        self.client_eof = self.has_fin;
        self.readable = true;
    }

    /// A read did not get what is there: as if that came just after the call.
    pub(crate) fn came_just_now(&mut self, now: Instant) {
        if self.has_input() {
            self.readable = true;
            self.last_arrival_at = Some(now);
            self.head_arrived_at = self.head_arrived_at.map(|_| now);
        }
    }

    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        self.arrives_at
    }

    /// Something is there to read: bytes or an end.
    pub(crate) fn has_input(&self) -> bool {
        !self.inbound.is_empty() || self.client_eof || self.is_reset
    }

    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.outbound.len())
    }

    /// The edge that the system gives only when a good part of its buffer is free again.
    pub(crate) fn has_writable_edge(&self) -> bool {
        self.writable || (self.is_write_blocked && (self.room() * 3 >= self.capacity || self.is_reset))
    }

    /// Nothing is on its way, in neither direction.
    pub(crate) fn is_quiet(&self) -> bool {
        let is_read = self.inbound.is_empty() && self.arrives_at.is_none();
        self.outbound.is_empty() && (is_read || self.is_dropped())
    }

    /// Nothing more comes for the client.
    pub(crate) fn is_at_end(&self) -> bool {
        self.outbound.is_empty() && (self.server_eof || self.is_dropped() || self.is_reset)
    }

    /// Frees what nobody will look at again.
    pub(crate) fn forget(&mut self) {
        self.in_flight = VecDeque::new();
        self.inbound = VecDeque::new();
        self.outbound = VecDeque::new();
        self.arrives_at = None;
    }
}

impl fmt::Debug for Socket {
    /// What helps to understand a failure, without the bytes themselves.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("inbound", &self.inbound.len())
            .field("outbound", &self.outbound.len())
            .field("capacity", &self.capacity)
            .field("ends", &(self.client_eof, self.server_eof, self.is_reset, self.is_deaf))
            .field("edges", &(self.readable, self.writable, self.is_write_blocked))
            .field("accepted_at", &self.accepted_at)
            .field("head_arrived_at", &self.head_arrived_at)
            .field("last_arrival_at", &self.last_arrival_at)
            .field("last_read_at", &self.last_read_at)
            .field("stuck_since", &(self.was_stuck_since, self.stuck_since, self.first_write))
            .field("dropped_at", &self.dropped_at)
            .field("unread", &(self.owes_read, self.turns_unread, self.turns_cut, self.last_read_bytes))
            .finish_non_exhaustive()
    }
}
