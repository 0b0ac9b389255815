//! One peer: what is sent to it, and what the loop remembers of it.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use super::app::ConnId;
use super::journal;
use super::net::{Behind, Transport};
use crate::protocol::{Connection, Message, State};

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
    pub(super) since: Count,
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
    /// What is known of the client's address.
    pub(crate) client: Client,
    /// It came from this machine, or to a listener that nobody else can reach.
    pub(crate) is_on_loopback: bool,
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
    pub(super) is_dirty: bool,
    /// It is on the list of those to read.
    pub(crate) is_reading: bool,
    /// Its last message was long: the next one may be as well.
    pub(crate) expects_long: bool,
    /// The application wants to hear when it is drained.
    pub(crate) is_drain_awaited: bool,
}

/// What is known of a client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// The header of a proxy says it, which comes before all else.
    Announced,
    /// It is the peer's, or that of whom its request names.
    Known,
    /// It was admitted, and counts.
    Admitted,
    /// The same, but for the proxy itself, whose header names nobody. Behind it may be anybody: what the request says of
    /// addresses and hosts is not the proxy's word.
    Unnamed,
}

impl Client {
    /// Whether the connection counts for its address.
    pub(crate) fn is_admitted(self) -> bool {
        matches!(self, Client::Admitted | Client::Unnamed)
    }
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
    /// A peer that has just come, so many milliseconds after the server began.
    pub(super) fn new(transport: T, connection: Connection, serial: u32, address: SocketAddr, since: u64) -> Peer<T> {
        Peer {
            transport,
            connection,
            serial,
            address: address.into(),
            since: Count::new(since),
            traffic: Traffic::default(),
            has_unread: false,
            is_open: false,
            is_ended: false,
            is_logged: false,
            is_refused: false,
            client: Client::Known,
            is_on_loopback: false,
            can_read: false,
            is_read_closed: false,
            can_write: true,
            is_write_shut: false,
            is_paused: false,
            is_dirty: false,
            is_reading: false,
            expects_long: false,
            is_drain_awaited: false,
        }
    }

    pub(crate) fn id(&self, key: usize) -> ConnId {
        ConnId { key: key as u32, serial: self.serial }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address.to_socket_addr()
    }

    /// It is known who speaks through the proxy that the peer is.
    pub(crate) fn set_address(&mut self, client: SocketAddr) {
        self.address = client.into();
    }
}

impl<T: Transport> Peer<T> {
    /// Writes what waits, until the socket takes no more or the share of this turn is used up. Returns whether it must
    /// go on in the next turn.
    pub(crate) fn flush(&mut self, now: Instant) -> bool {
        let mut budget = WRITE_BYTES_PER_TURN;
        while self.can_write && self.connection.queued_bytes() > 0 && self.transport.is_connected() {
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
    pub(super) fn send(&mut self, message: Message<'_>, is_more_to_come: bool, now: Instant) -> bool {
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

    /// Notes that a read with room for `size` bytes brought `count`. Returns how much of its share the peer used up.
    #[inline]
    pub(super) fn note_read(&mut self, count: usize, size: usize) -> usize {
        self.traffic.bytes_in.add(count as u64);
        let behind = self.transport.behind();
        self.is_read_closed |= behind == Behind::End;
        // A short read has taken all there was, unless the end of file is still to come.
        self.can_read = count == size || self.is_read_closed || behind == Behind::More;
        if behind == Behind::More { usize::MAX } else { count }
    }

    /// The connection is broken. What is no error of the system's has a line of its own in the log.
    pub(super) fn fail(&mut self, error: &io::Error, now: Instant) {
        if error.kind() == ErrorKind::InvalidData {
            journal::tls_failed(self, error);
        }
        self.connection.abort(now);
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
            Err(error) => self.fail(&error, now),
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

/// One peer's share of the writes of a turn. Beyond it the others come first.
const WRITE_BYTES_PER_TURN: usize = 4 * 1024 * 1024;

/// From this size on a message that is not shared is written at once: to copy it costs more than a system call.
const DIRECT_BYTES_MIN: usize = 8 * 1024;

/// The same where one system call could take several of them.
const DIRECT_BYTES_MIN_OF_SEVERAL: usize = 64 * 1024;

/// Slices in one vectored write: a broadcast of many small frames to one peer in a turn.
const SLICES_PER_WRITE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_small() {
        // Each connection takes this as long as it is open, and 17 bytes for its deadline. A transport is a descriptor. Tests
        // have the feature `deflate`, which takes 8 bytes more.
        assert!(size_of::<Peer<u32>>() <= 152 + 8, "{} bytes", size_of::<Peer<u32>>());
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
