//! One peer, and all of them by their key.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use slab::Slab;

use super::app::{ConnId, Outbox};
use super::journal::{self, Notes};
use super::net::Transport;
use super::shrink::{Extent, is_too_large, new_list, shrink_list, shrink_map};
use crate::protocol::{CloseCode, Connection, Message, SharedFrame, State};

/// A transport, the connection that runs over it, and what the loop has to remember of both.
///
/// ```text
/// what the socket said      can_read, is_read_closed, can_write: kept, since an edge comes once
/// where the peer stands     is_reading: it gets its share of reading; is_dirty: it is settled at the end of the turn;
///                           is_paused: it must take what waits for it first
/// how far its life is       (is_refused |) is_open -> is_ended -> is_write_shut -> is_logged -> gone
/// ```
#[derive(Debug)]
pub(crate) struct Peer<T> {
    pub(crate) transport: T,
    pub(crate) connection: Connection,
    pub(crate) serial: u32,
    address: Address,
    /// Milliseconds since the server began.
    since: Count,
    pub(crate) traffic: Traffic,
    /// Bytes were read and not yet processed, since the peer used up its share of a turn.
    pub(crate) has_unread: bool,
    /// The application knows it: `on_open` was called.
    pub(crate) is_open: bool,
    /// The application knows its end. From then on nothing more is sent to it.
    pub(crate) is_ended: bool,
    /// The log has its last line.
    pub(crate) is_logged: bool,
    /// It was taken only to be told that there is no room.
    pub(crate) is_refused: bool,
    /// The socket may have bytes for us.
    pub(crate) can_read: bool,
    /// The peer has ended its side: a short read is not the last one.
    pub(crate) is_read_closed: bool,
    /// The socket may take bytes of ours.
    pub(crate) can_write: bool,
    pub(crate) is_write_shut: bool,
    /// It is not read since too much waits for it.
    pub(crate) is_paused: bool,
    /// It is on the list of those to settle at the end of the turn; or it is being read quietly, and judged when that ends.
    is_dirty: bool,
    /// It is on the list of those to read.
    pub(crate) is_reading: bool,
    /// Its last message was long: the next one may be as well.
    pub(crate) expects_long: bool,
}

/// What went over a connection.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) messages_in: Count,
    pub(crate) messages_out: Count,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
}

/// A number in 6 bytes, of each of which a connection keeps several: up to 281 TB.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count([u8; 6]);

impl Count {
    pub(crate) fn new(value: u64) -> Count {
        let [bytes @ .., _, _] = value.min(Count::MAX).to_le_bytes();
        Count(bytes)
    }

    pub(crate) fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    #[inline]
    pub(crate) fn add(&mut self, count: u64) {
        *self = Count::new(self.get().saturating_add(count));
    }

    const MAX: u64 = (1 << 48) - 1;
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// The rest of a read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) bytes: Vec<u8>,
    /// So many of them are processed.
    pub(crate) start: usize,
}

/// A socket address in 18 bytes instead of 32. It loses the zone of an IPv6 address, which nobody looks at.
#[derive(Debug, Clone, Copy)]
struct Address {
    ip: [u8; 16],
    port: [u8; 2],
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Address { ip: ip.octets(), port: address.port().to_be_bytes() }
    }
}

impl Address {
    fn to_socket_addr(self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.ip).to_canonical(), u16::from_be_bytes(self.port))
    }
}

impl<T> Peer<T> {
    pub(crate) fn id(&self, key: usize) -> ConnId {
        ConnId { key: key as u32, serial: self.serial }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.to_socket_addr()
    }
}

impl<T: Transport> Peer<T> {
    /// Writes what waits, until the socket takes no more or the share of this turn is used up. Returns whether it must
    /// go on in the next turn.
    pub(crate) fn flush(&mut self, now: Instant) -> bool {
        let mut budget = WRITE_BYTES_PER_TURN;
        while self.can_write && self.connection.queued_bytes() > 0 {
            if budget == 0 {
                return true;
            }
            let (result, offered) = self.write(budget);
            match result {
                Ok(count) => {
                    self.connection.sent(count, now);
                    budget = budget.saturating_sub(count);
                    self.note_write(Ok(count), offered, now);
                }
                Err(error) => self.note_write(Err(error), offered, now),
            }
        }
        false
    }

    /// Sends a message: a long one at once, so that it need not be copied, behind what waits; all others when the read
    /// is processed, or at the end of the turn. Where others go with it, it is longer messages that are worth a write.
    #[inline]
    fn send(&mut self, message: Message<'_>, is_more_to_come: bool, now: Instant) -> bool {
        let len = message.as_bytes().len();
        if len < DIRECT_BYTES_MIN
            || !self.can_write
            || (len < DIRECT_BYTES_MIN_OF_SEVERAL && (is_more_to_come || self.connection.queued_bytes() > 0))
        {
            return self.connection.send(message, now);
        }
        self.flush(now);
        let (mut written, mut offered) = (None, 0);
        let transport = &mut self.transport;
        let is_sent = self.connection.send_directly(message, now, |header, payload| {
            offered = header.len() + payload.len();
            let result = transport.write_vectored(&[IoSlice::new(header), IoSlice::new(payload)]);
            let count = *result.as_ref().unwrap_or(&0);
            written = Some(result);
            count
        });
        if let Some(result) = written {
            self.note_write(result, offered, now);
        }
        is_sent && !self.connection.is_done()
    }

    /// What the socket said to a write.
    fn note_write(&mut self, result: io::Result<usize>, offered: usize, now: Instant) {
        match result {
            Ok(count) if count == offered => self.traffic.bytes_out.add(count as u64),
            Ok(count) => {
                self.traffic.bytes_out.add(count as u64);
                // Less than was offered: the socket is full, and says so when it no longer is.
                self.connection.sent(0, now);
                self.can_write = false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.connection.sent(0, now);
                self.can_write = false;
            }
            Err(_) => self.connection.abort(now),
        }
    }

    /// Begins to read a peer that is open and for which nothing waits, without putting it on the list of those to settle:
    /// mostly it will be so again when it was read. Returns whether it is such a peer.
    pub(crate) fn begin_quiet_read(&mut self) -> bool {
        let is_quiet = !self.is_dirty && self.connection.queued_bytes() == 0 && self.connection.state() == State::Open;
        self.is_dirty |= is_quiet;
        is_quiet
    }

    /// One system call with as much of what waits as fits into it. Returns its result and how much was offered.
    fn write(&mut self, budget: usize) -> (std::io::Result<usize>, usize) {
        let is_closed = self.connection.state() == State::Closed;
        let mut outgoing = self.connection.outgoing();
        let first = outgoing.next().unwrap_or_default();
        let Some(second) = outgoing.next() else {
            let result = if is_closed { self.transport.write_last(first) } else { self.transport.write(first) };
            return (result, first.len());
        };
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
        let (mut count, mut offered) = (2, first.len() + second.len());
        (slices[0], slices[1]) = (IoSlice::new(first), IoSlice::new(second));
        while count < slices.len()
            && offered < budget
            && let Some(slice) = outgoing.next()
        {
            slices[count] = IoSlice::new(slice);
            offered += slice.len();
            count += 1;
        }
        (self.transport.write_vectored(&slices[..count]), offered)
    }
}

/// All peers, and the list of those to which something happened in this turn.
#[derive(Debug)]
pub(crate) struct Peers<T> {
    slab: Slab<Peer<T>>,
    /// Of the keys in use.
    extent: Extent,
    dirty: Vec<u32>,
    now: Instant,
    next_serial: u32,
    /// When the server began.
    epoch: Instant,
    /// About whom something was noted, by serial.
    notes: HashMap<u32, Notes>,
    /// Messages that the application sent in this turn, each receiver counted.
    deliveries: usize,
    /// Behind the message that the application has, its read brought more.
    pub(crate) is_more_to_come: bool,
}

impl<T: Transport> Peers<T> {
    pub(crate) fn new(now: Instant) -> Peers<T> {
        Peers {
            slab: Slab::new(),
            extent: Extent::new(),
            dirty: new_list(),
            now,
            next_serial: 1,
            epoch: now,
            notes: HashMap::new(),
            deliveries: 0,
            is_more_to_come: false,
        }
    }

    /// Begins a turn.
    pub(crate) fn begin_turn(&mut self, now: Instant) {
        self.now = now;
        self.deliveries = 0;
    }

    /// Whether this turn has made enough work for the sockets: then they get it before more is read.
    #[inline]
    pub(crate) fn has_delivered_enough(&self) -> bool {
        self.deliveries >= DELIVERIES_PER_TURN
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// The key that the next peer gets.
    pub(crate) fn next_key(&self) -> usize {
        self.slab.vacant_key()
    }

    pub(crate) fn insert(&mut self, transport: T, connection: Connection, address: SocketAddr) -> &mut Peer<T> {
        let key = self.slab.vacant_key();
        let serial = self.next_serial;
        self.next_serial = serial.checked_add(1).unwrap_or(1);
        self.extent.add(key as u32);
        self.slab.insert(Peer {
            transport,
            connection,
            serial,
            address: address.into(),
            since: Count::new(self.age(self.now).as_millis() as u64),
            traffic: Traffic::default(),
            has_unread: false,
            is_open: false,
            is_ended: false,
            is_logged: false,
            is_refused: false,
            can_read: false,
            is_read_closed: false,
            can_write: true,
            is_write_shut: false,
            is_paused: false,
            is_dirty: false,
            is_reading: false,
            expects_long: false,
        });
        &mut self.slab[key]
    }

    pub(crate) fn get_mut(&mut self, key: usize) -> Option<&mut Peer<T>> {
        self.slab.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: usize) -> Peer<T> {
        self.extent.remove(key as u32);
        let peer = self.slab.remove(key);
        if !self.notes.is_empty() {
            self.notes.remove(&peer.serial);
            shrink_map(&mut self.notes);
        }
        peer
    }

    /// After a crowd has gone: gives back its room, and returns whether it did. A peer that stays keeps the room of all
    /// keys below its own.
    pub(crate) fn shrink(&mut self) -> bool {
        let is_too_large = is_too_large::<Peer<T>>(self.extent.end(), self.slab.capacity());
        if is_too_large {
            self.slab.shrink_to_fit();
            shrink_list(&mut self.dirty);
        }
        is_too_large
    }

    /// How long the server has been running.
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }

    /// The last line of the log about a peer, once: when all that will go out is out.
    pub(crate) fn log_end(&mut self, key: usize, now: Instant) {
        let age = self.age(now);
        let Some(peer) = self.slab.get_mut(key) else { return };
        if !peer.is_logged && (peer.connection.queued_bytes() == 0 || peer.connection.is_done()) {
            peer.is_logged = true;
            let age = Duration::from_millis((age.as_millis() as u64).saturating_sub(peer.since.get()));
            journal::ended(peer, age, self.notes.get(&peer.serial));
        }
    }

    pub(crate) fn keys(&self) -> Vec<usize> {
        self.slab.iter().map(|(key, _)| key).collect()
    }

    /// Notes that the peer has to be settled at the end of the turn.
    #[inline]
    pub(crate) fn mark_dirty(&mut self, key: usize) {
        let peer = &mut self.slab[key];
        if !peer.is_dirty {
            peer.is_dirty = true;
            self.dirty.push(key as u32);
        }
    }

    /// Its reading ended. What it made for the peer itself is written while it is still in the cache; if all is then as it
    /// was, nothing is left to settle.
    pub(crate) fn end_quiet_read(&mut self, key: usize, now: Instant) {
        let peer = &mut self.slab[key];
        peer.flush(now);
        peer.is_dirty = false;
        // One that is paused is read on by settle().
        if peer.is_paused || peer.connection.state() != State::Open || peer.connection.queued_bytes() > 0 {
            self.mark_dirty(key);
        }
    }

    /// The dirty key at this position of the list, which is dirty no more. Positions go on until the list ends, and
    /// it may grow meanwhile.
    pub(crate) fn dirty_at(&mut self, position: usize) -> Option<usize> {
        let key = *self.dirty.get(position)? as usize;
        self.slab[key].is_dirty = false;
        Some(key)
    }

    /// Whether anything is to be settled.
    pub(crate) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    pub(crate) fn clear_dirty(&mut self) {
        self.dirty.clear();
    }

    /// The peer, if the application has not been told of its end.
    #[inline]
    fn peer(&mut self, id: ConnId) -> Option<&mut Peer<T>> {
        self.slab.get_mut(id.key as usize).filter(|peer| peer.serial == id.serial && !peer.is_ended)
    }
}

impl<T: Transport> Outbox for Peers<T> {
    #[inline]
    fn send(&mut self, to: ConnId, message: Message<'_>) {
        let (now, is_more_to_come) = (self.now, self.is_more_to_come);
        self.deliveries += 1;
        let Some(peer) = self.peer(to) else { return };
        let is_sent = peer.send(message, is_more_to_come, now);
        peer.traffic.messages_out.add(is_sent.into());
        self.mark_dirty(to.key as usize);
    }

    #[inline]
    fn send_shared(&mut self, to: ConnId, frame: &SharedFrame) {
        let now = self.now;
        self.deliveries += 1;
        let Some(peer) = self.peer(to) else { return };
        let is_sent = peer.connection.send_shared(frame, now);
        peer.traffic.messages_out.add(is_sent.into());
        self.mark_dirty(to.key as usize);
    }

    fn close(&mut self, to: ConnId, code: CloseCode, reason: &str) {
        let now = self.now;
        let Some(peer) = self.peer(to) else { return };
        peer.connection.close(code, reason, now);
        self.mark_dirty(to.key as usize);
    }

    fn note(&mut self, about: ConnId, what: &'static str, detail: &dyn fmt::Display) {
        let now = self.now;
        let Some(peer) = self.peer(about) else { return };
        let address = peer.address();
        let notes = self.notes.entry(about.serial).or_default();
        if let Some(left_out) = notes.admit(now, NOTE_INTERVAL) {
            journal::note(about, address, what, detail, left_out);
        }
    }

    fn now(&self) -> Instant {
        self.now
    }
}

/// One peer's share of the writes of a turn. Beyond it the others come first.
const WRITE_BYTES_PER_TURN: usize = 4 * 1024 * 1024;

/// From this size on a message that is not shared is written at once: to copy it costs more than a system call.
const DIRECT_BYTES_MIN: usize = 8 * 1024;

/// The same where one system call could take several of them.
const DIRECT_BYTES_MIN_OF_SEVERAL: usize = 64 * 1024;

/// Messages sent in a turn, each receiver counted: about 10 ms of writes. A flood of messages to many receivers is cut
/// into turns of this size, so that everything else gets its turn in between.
const DELIVERIES_PER_TURN: usize = 16 * 1024;

/// Slices in one vectored write: a broadcast of many small frames to one peer in a turn.
const SLICES_PER_WRITE: usize = 64;

/// The least time between two log lines about the same peer's mistakes.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_small() {
        // Each connection takes this as long as it is open, and 17 bytes for its deadline. A transport is a descriptor.
        assert!(size_of::<Peer<u32>>() <= 152, "{} bytes", size_of::<Peer<u32>>());
    }

    #[test]
    fn a_count_goes_as_far_as_six_bytes() {
        let mut count = Count::default();
        count.add(Count::MAX - 1);
        assert_eq!(count.get(), Count::MAX - 1);
        count.add(1);
        count.add(1);
        assert_eq!(count.get(), 281_474_976_710_655);
    }

    #[test]
    fn an_address_is_the_one_that_it_was_made_of() {
        for text in ["127.0.0.1:80", "[::1]:65535", "[2001:db8::7]:1", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            let Address { ip, port } = address.into();
            assert_eq!((Address { ip, port }).to_socket_addr(), address);
        }
    }
}
