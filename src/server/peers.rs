//! All peers by their key, and the outbox through which the application reaches them.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use slab::Slab;

use super::app::{ConnId, Outbox};
use super::journal::{self, Notes};
use super::net::Transport;
use super::peer::Peer;
use super::shrink::{Extent, is_too_large, new_list, shrink_list, shrink_map};
use crate::protocol::{CloseCode, Connection, Message, SharedFrame, State};

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

    /// Begins to look at one peer, whatever the turn has made already, which is returned.
    pub(crate) fn begin_look(&mut self) -> usize {
        std::mem::take(&mut self.deliveries)
    }

    /// Ends it.
    pub(crate) fn end_look(&mut self, made_before: usize) {
        self.deliveries += made_before;
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
        let since = self.age(self.now).as_millis() as u64;
        self.slab.insert(Peer::new(transport, connection, serial, address, since));
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

    /// Keeps what the last line of the log about a peer will say in more words than its end does.
    pub(crate) fn explain(&mut self, key: usize, explanation: String) {
        if let Some(peer) = self.slab.get(key) {
            self.notes.entry(peer.serial).or_default().explain(explanation);
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
        let is_settled = !peer.is_paused
            && !peer.is_drain_awaited
            && peer.connection.state() == State::Open
            && peer.connection.queued_bytes() == 0;
        if !is_settled {
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

    /// Whether the application knows it, and not yet its end.
    pub(crate) fn is_there(&self, id: ConnId) -> bool {
        self.slab.get(id.key as usize).is_some_and(|peer| peer.serial == id.serial && peer.is_open && !peer.is_ended)
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

    fn queued_bytes(&self, to: ConnId) -> usize {
        let peer = self.slab.get(to.key as usize).filter(|peer| peer.serial == to.serial);
        peer.map_or(0, |peer| peer.connection.queued_bytes())
    }

    fn notify_drained(&mut self, to: ConnId) {
        if let Some(peer) = self.peer(to) {
            peer.is_drain_awaited = true;
            self.mark_dirty(to.key as usize);
        }
    }

    fn set_overload_code(&mut self, to: ConnId, code: CloseCode) {
        if let Some(peer) = self.peer(to) {
            peer.connection.set_overload_code(code);
        }
    }

    fn restrict(&mut self, to: ConnId, is_restricted: bool) {
        if let Some(peer) = self.peer(to) {
            peer.connection.restrict(is_restricted);
        }
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

    fn unix_ms(&self) -> u64 {
        // A clock that was set before 1970 is wrong in any case.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
    }
}

/// Messages sent in a turn, each receiver counted: about 10 ms of writes. A flood of messages to many receivers is cut
/// into turns of this size, so that everything else gets its turn in between.
const DELIVERIES_PER_TURN: usize = 16 * 1024;

/// The least time between two log lines about the same peer's mistakes.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);
