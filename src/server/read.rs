//! Each peer's share of reading, and what it makes: requests and messages for the application.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Instant;

use super::app::App;
use super::net::{Net, Transport as _};
use super::peer::{Client, Unread};
use super::shrink::shrink_map;
use super::{Server, first_ping_wait, journal};
use crate::protocol::handshake::origin::{Channel, Provenance};
use crate::protocol::{DocumentRequest, Event, HandshakeError, Input, Request, State};

impl<A: App, N: Net> Server<A, N> {
    /// Reads the peers that may have something, in turn.
    pub(super) fn read(&mut self, now: Instant) {
        for _ in 0..self.reading.len() {
            if self.peers.has_delivered_enough() {
                return; // those who did not get their turn are the first in the next one
            }
            let Some(key) = self.reading.pop_front().map(|key| key as usize) else { return };
            let Some(peer) = self.peers.get_mut(key) else { continue };
            peer.is_reading = false;
            let is_quiet = peer.begin_quiet_read();
            if self.read_peer(key, EVENTS_PER_PEER_AND_TURN, now) {
                self.start_reading(key);
            }
            if is_quiet {
                self.peers.end_quiet_read(key, now);
            } else {
                self.peers.mark_dirty(key);
            }
        }
    }

    /// Reads one peer's share of a turn, with at most so many messages. Returns whether there may be more.
    pub(super) fn read_peer(&mut self, key: usize, events_max: usize, now: Instant) -> bool {
        let mut bytes_left = READ_BYTES_PER_TURN;
        let mut events_left = events_max;
        loop {
            let is_cut = events_left == 0 || bytes_left == 0 || self.peers.has_delivered_enough();
            let Some(peer) = self.peers.get_mut(key) else { return false };
            if peer.connection.is_done() || (!peer.has_unread && !peer.can_read) {
                return false;
            }
            // A peer that does not take what waits for it is not read either: what it has to say waits with it, not
            // with us. settle() begins again. But if only this turn has made so much, it may take it now: otherwise a
            // flood of others, who come first in each turn, would keep it from being read.
            if peer.connection.queued_bytes() > self.commons.limits().queue_bytes_paused() {
                peer.flush(now); // what is left over is for settle()
            }
            peer.is_paused = peer.connection.queued_bytes() > self.commons.limits().queue_bytes_paused();
            if peer.is_paused {
                return false;
            }
            if is_cut {
                return true;
            }
            if peer.client == Client::Announced {
                self.read_proxy_header(key, now);
                continue;
            }
            if peer.has_unread {
                self.process_unread(key, &mut events_left, now);
                continue;
            }
            if let Some(count) = self.read_payload(key, now) {
                bytes_left = bytes_left.saturating_sub(count);
                events_left -= 1;
                continue;
            }
            let Some(peer) = self.peers.get_mut(key) else { return false };
            let is_small = peer.expects_long || self.unread_bytes > UNREAD_BYTES_MAX;
            let size = if is_small { SMALL_READ_BYTES } else { READ_BYTES_PER_TURN };
            let size = size.min(bytes_left);
            let mut buffer = std::mem::take(&mut self.read_buffer);
            match peer.transport.read(&mut buffer[..size]) {
                Ok(0) => {
                    peer.can_read = false;
                    peer.connection.receive_eof(now);
                }
                Ok(count) => {
                    bytes_left = bytes_left.saturating_sub(peer.note_read(count, size));
                    let left = self.process(key, &mut buffer[..count], &mut events_left, now);
                    if !left.is_empty() {
                        let unread = Unread { bytes: left.to_vec(), start: 0 };
                        self.set_unread(key, Some(unread));
                    }
                    if let Some(peer) = self.peers.get_mut(key)
                        && peer.expects_long
                    {
                        peer.expects_long = peer.connection.payload_room().is_some();
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => bytes_left -= 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => peer.can_read = false,
                Err(error) => peer.fail(&error, now),
            }
            self.read_buffer = buffer;
        }
    }

    /// Reads the header in which a proxy says for whom it speaks. From here on the peer has that address, and counts for it.
    fn read_proxy_header(&mut self, key: usize, now: Instant) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let header = match peer.transport.take_proxy_header() {
            Ok(header) => header,
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            Err(error) if error.kind() == ErrorKind::WouldBlock && !peer.is_read_closed => {
                peer.can_read = false;
                return;
            }
            Err(error) => {
                journal::no_proxy_header(peer, &error);
                return peer.connection.abort(now);
            }
        };
        peer.client = Client::Known;
        let proxy = peer.address();
        peer.set_address(header.source.unwrap_or(proxy));
        match self.admission.introduce(proxy.ip(), header.source.map(|client| client.ip()), now) {
            Ok(client) => peer.client = client,
            Err(error) if peer.connection.state() == State::Connecting => peer.connection.reject(error, now),
            Err(_) => {}
        }
    }

    /// Reads the rest of a long payload straight into its message. Returns how much of its share that took, at least 1, or
    /// `None` if something else comes next.
    fn read_payload(&mut self, key: usize, now: Instant) -> Option<usize> {
        let peer = self.peers.get_mut(key)?;
        let room = peer.connection.payload_room()?;
        let size = room.len().min(PAYLOAD_READ_BYTES_MAX);
        peer.expects_long |= room.len() >= LONG_PAYLOAD_BYTES_MIN;
        let count = match peer.transport.read(&mut room[..size]) {
            Ok(count @ 1..) => count,
            Ok(_) => {
                peer.can_read = false;
                peer.connection.receive_eof(now);
                return Some(1);
            }
            Err(error) => {
                match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => peer.can_read = false,
                    _ => peer.fail(&error, now),
                }
                return Some(1);
            }
        };
        let used = peer.note_read(count, size);
        if let Some(Event::Message(message)) = peer.connection.poll_payload(count) {
            peer.traffic.messages_in.add(1);
            let id = peer.id(key);
            self.app.on_message(id, message, &mut self.peers);
        }
        Some(used)
    }

    /// Goes on with what was read in an earlier turn.
    fn process_unread(&mut self, key: usize, events_left: &mut usize, now: Instant) {
        let Some(mut unread) = self.take_unread(key) else { return };
        let end = unread.bytes.len();
        let left = self.process(key, &mut unread.bytes[unread.start..], events_left, now).len();
        unread.start = end - left;
        self.set_unread(key, (left > 0).then_some(unread));
    }

    /// Keeps what a peer's share did not suffice for, or drops what was kept.
    pub(super) fn set_unread(&mut self, key: usize, unread: Option<Unread>) {
        self.take_unread(key);
        if let (Some(unread), Some(peer)) = (unread, self.peers.get_mut(key)) {
            peer.has_unread = true;
            self.unread_bytes += unread.bytes.len();
            self.unread.insert(key as u32, unread);
        }
    }

    fn take_unread(&mut self, key: usize) -> Option<Unread> {
        let peer = self.peers.get_mut(key).filter(|peer| peer.has_unread)?;
        peer.has_unread = false;
        let unread = self.unread.remove(&(key as u32))?;
        self.unread_bytes -= unread.bytes.len();
        shrink_map(&mut self.unread);
        Some(unread)
    }

    /// Gives bytes to a peer's connection, and what they make to the application. Returns what is left of them when
    /// the peer has used up its events, or has too much to take itself.
    fn process<'b>(&mut self, key: usize, bytes: &'b mut [u8], events_left: &mut usize, now: Instant) -> &'b [u8] {
        let mut input = Input::new(bytes);
        loop {
            let is_cut = *events_left == 0 || self.peers.has_delivered_enough();
            let Some(peer) = self.peers.get_mut(key) else { break };
            if is_cut || input.is_empty() || peer.connection.queued_bytes() > self.commons.limits().queue_bytes_paused()
            {
                break;
            }
            *events_left -= 1;
            match peer.connection.poll_event(&mut input, now) {
                None => break,
                Some(Event::Message(message)) => {
                    peer.traffic.messages_in.add(1);
                    let id = peer.id(key);
                    if peer.connection.extension().is_some() {
                        *events_left = events_left.saturating_sub(message.as_bytes().len() / EVENT_BYTES);
                    }
                    self.peers.is_more_to_come = !input.is_empty();
                    self.app.on_message(id, message, &mut self.peers);
                    self.peers.is_more_to_come = false;
                }
                Some(Event::Request(request)) => self.open(key, &request, now),
                Some(Event::Document(request)) => self.answer(key, &request, now),
            }
        }
        input.take_all()
    }

    fn open(&mut self, key: usize, request: &Request, now: Instant) {
        let mut from = request.provenance();
        let judged = self.judge(key, &mut from, true, now);
        let admitted = judged.and_then(|proxy| self.app.on_request(request, &self.peers).map(|()| proxy));
        let Some(peer) = self.peers.get_mut(key) else { return };
        let proxy = match admitted {
            Ok(proxy) => proxy,
            Err(error) => return peer.connection.reject(error, now),
        };
        let subprotocol = request.select_subprotocol(&self.subprotocols);
        peer.connection.accept(request, subprotocol, now);
        peer.connection.hasten_ping(first_ping_wait(key, self.commons.limits().ping_interval), now);
        peer.is_open = true;
        journal::opened(peer, request, &from, proxy, subprotocol);
        let id = peer.id(key);
        self.arm(key); // accept() counts the handshakes that go on
        self.app.on_open(id, request, &mut self.peers);
    }

    /// Judges a request by where it comes from and whom it is for. From here on the peer has the address of its client; returns the
    /// proxy's, if it had that.
    fn judge(
        &mut self,
        key: usize,
        request: &mut Provenance<'_>,
        is_upgrade: bool,
        now: Instant,
    ) -> Result<Option<SocketAddr>, HandshakeError> {
        let Some(peer) = self.peers.get_mut(key) else { return Ok(None) };
        let address = peer.address();
        let client = self.admission.client(address, peer.client, request)?;
        peer.set_address(client);
        let channel = Channel { is_loopback: peer.is_on_loopback, is_secure: peer.transport.is_secure() };
        if let Err(error) = self.admission.check_site(request, channel, is_upgrade) {
            self.peers.explain(key, journal::explanation(error, request, channel));
            return Err(error);
        }
        let Some(peer) = self.peers.get_mut(key) else { return Ok(None) };
        if !peer.client.is_admitted() {
            peer.client = self.admission.enter(client.ip(), now)?;
        }
        Ok((client != address).then_some(address))
    }

    fn answer(&mut self, key: usize, request: &DocumentRequest, now: Instant) {
        let judged = self.judge(key, &mut request.provenance(), false, now);
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Err(error) = judged {
            return peer.connection.answer(request, Err(error), now);
        }
        let answer = self.app.on_document_request(request);
        peer.connection.answer(request, answer.as_ref().map_err(|&error| error), now);
        if !matches!(answer, Err(HandshakeError::NotAnUpgrade)) {
            journal::answered(peer, request, answer.as_ref());
            peer.is_logged = true;
        }
    }
}

/// One peer's share of the reads of a turn, and the size of the read buffer. Smaller ones cost large messages dear.
pub(super) const READ_BYTES_PER_TURN: usize = 512 * 1024;

/// One peer's share of the messages of a turn: each may become thousands, in a broadcast.
const EVENTS_PER_PEER_AND_TURN: usize = 1024;

/// Where messages are compressed, one of so many bytes counts as one more: few of them are read, but many can come out.
const EVENT_BYTES: usize = 4 * 1024;

/// Bytes of all peers that were read and not processed. Beyond it reads are small, so that there is a bound:
/// this and [`SMALL_READ_BYTES`] a connection.
const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The size of a read straight into a message. It may go beyond the peer's share of the turn, which is then over: it would
/// cost more to come back for a small rest.
const PAYLOAD_READ_BYTES_MAX: usize = 2 * READ_BYTES_PER_TURN;

/// Payloads of which so much is still to come are not read through the read buffer, and where one was the next message is
/// expected to be the same: its front is read with [`SMALL_READ_BYTES`], the rest to where it stays.
const LONG_PAYLOAD_BYTES_MIN: usize = 192 * 1024;

/// The size of a read while too much waits, or of the first one of a long message.
const SMALL_READ_BYTES: usize = 4 * 1024;
