//! The event loop: one thread, one poll, and all that touches a socket.
//!
//! A turn of the loop, in this order:
//!
//! ```text
//!   poll -> now (one clock read) -> accept (budget) -> read each ready peer (budget) -> timers due
//!        -> settle the dirty: flush, tell the application of ends, arm timers, free what is gone
//! ```
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Config`], [`Server`], the turn |
//! | [`app`] | what an application and the server know of each other |
//! | [`net`] | what the loop needs of the world, as two traits |
//! | [`tcp`] | that, on mio |
//! | `peer` | a transport with its connection; all of them by key; the outbox |
//! | `timers` | deadlines, a list per kind |
//! | `journal` | the lines of the log |

pub mod app;
mod journal;
pub mod net;
mod peer;
pub mod tcp;
mod timers;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub use self::app::{App, ConnId, Outbox};
use self::net::{Net, Ready, Transport};
use self::peer::{Peers, Unread};
use self::tcp::Tcp;
pub use self::tcp::{BindError, Stopper};
use self::timers::Timers;
use crate::protocol::connection::Timer;
use crate::protocol::handshake::encode_rejection;
use crate::protocol::{CloseCode, Connection, Event, HandshakeError, Input, Limits, Request, State};

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Names and addresses to listen on, as `HOST:PORT`; port 0 picks a free one (default `localhost:8765`).
    pub listen: Vec<String>,
    /// The bounds of each connection.
    pub limits: Limits,
    /// Connections at a time (default: no bound but the limit of open files). Those above get 503.
    pub connections_max: usize,
    /// Subprotocols that are accepted, if a client offers one (default: none).
    pub subprotocols: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec!["localhost:8765".to_owned()],
            limits: Limits::default(),
            connections_max: usize::MAX,
            subprotocols: Vec::new(),
        }
    }
}

/// A WebSocket server with its application.
#[derive(Debug)]
pub struct Server<A, N: Net = Tcp> {
    net: N,
    app: A,
    peers: Peers<N::Transport>,
    limits: Rc<Limits>,
    connections_max: usize,
    subprotocols: Vec<String>,
    /// The one buffer that all reads go into.
    read_buffer: Box<[u8]>,
    ready: Vec<Ready>,
    /// Listeners with connections that were not taken yet.
    accepting: Vec<usize>,
    /// When descriptors have run out: the next attempt to accept.
    accept_again_at: Option<Instant>,
    /// Peers that may have something to read.
    reading: VecDeque<u32>,
    /// Peers that used up their share of writes.
    flushing: Vec<u32>,
    /// Handshake, ping and close deadlines: a peer has one of them, by its state.
    timers: Timers<3>,
    /// Deadlines of peers that take nothing.
    slow_timers: Timers<1>,
    /// Peers that are there only to be told that there is no room.
    refused: usize,
    /// How often the server was asked to stop.
    stops: usize,
    is_stopping: bool,
}

impl<A: App> Server<A> {
    /// Listens on all addresses of the configuration.
    ///
    /// # Errors
    /// If one of the names is no address, or cannot be listened on.
    pub fn bind(config: &Config, app: A) -> Result<Server<A>, BindError> {
        Ok(Server::with_net(Tcp::bind(&config.listen)?, config, app))
    }

    /// The addresses that are listened on, with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.net.addresses()
    }

    /// A handle that stops the server from another thread or a signal handler.
    ///
    /// # Errors
    /// If there is no descriptor for it.
    pub fn stopper(&self) -> io::Result<Stopper> {
        self.net.stopper()
    }
}

impl<A: App, N: Net> Server<A, N> {
    /// A server on a network of any kind, such as a simulated one.
    pub fn with_net(mut net: N, config: &Config, app: A) -> Server<A, N> {
        let now = net.now();
        Server {
            net,
            app,
            peers: Peers::new(now),
            limits: Rc::new(config.limits.clone()),
            connections_max: config.connections_max,
            subprotocols: config.subprotocols.clone(),
            read_buffer: vec![0; READ_BYTES_PER_TURN].into(),
            ready: Vec::new(),
            accepting: Vec::new(),
            accept_again_at: None,
            reading: VecDeque::new(),
            flushing: Vec::new(),
            timers: Timers::new(),
            slow_timers: Timers::new(),
            refused: 0,
            stops: 0,
            is_stopping: false,
        }
    }

    /// Serves until it is stopped and all connections are gone.
    ///
    /// # Errors
    /// If the system's poll fails: nothing that a peer does can make it.
    pub fn run(mut self) -> io::Result<()> {
        while self.turn()? {}
        Ok(())
    }

    /// One turn of the loop. Returns whether there will be another.
    ///
    /// # Errors
    /// If the system's poll fails.
    pub fn turn(&mut self) -> io::Result<bool> {
        let timeout = self.poll_timeout();
        let mut ready = std::mem::take(&mut self.ready);
        self.net.poll(&mut ready, timeout)?;
        let now = self.net.now();
        self.peers.begin_turn(now);
        for &ready in &ready {
            self.note_ready(ready);
        }
        ready.clear();
        self.ready = ready;

        self.handle_stop(now);
        self.accept(now);
        self.read(now);
        self.handle_timeouts(now);
        self.settle(now);
        Ok(self.stops == 0 || (self.stops == 1 && self.peers.len() > 0))
    }

    /// The application.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// How long the loop may wait: not at all while something is left from the turn before.
    fn poll_timeout(&mut self) -> Option<Duration> {
        let is_busy = !self.reading.is_empty()
            || !self.flushing.is_empty()
            || self.peers.has_dirty()
            || (!self.accepting.is_empty() && self.accept_again_at.is_none());
        if is_busy {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.timers.next_deadline(), self.slow_timers.next_deadline(), self.accept_again_at];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(self.net.now()))
    }

    fn note_ready(&mut self, ready: Ready) {
        match ready {
            Ready::Listener(index) => {
                if !self.accepting.contains(&index) {
                    self.accepting.push(index);
                }
            }
            Ready::Stop => self.stops += self.net.stop_requests(),
            Ready::Peer { key, is_readable, is_read_closed, is_writable } => {
                // A peer that is gone since: its events are of no interest to anybody.
                let Some(peer) = self.peers.get_mut(key) else { return };
                peer.is_read_closed |= is_read_closed;
                if is_readable || is_read_closed {
                    peer.can_read = true;
                    self.start_reading(key);
                }
                if is_writable {
                    self.let_write(key);
                }
            }
        }
    }

    fn let_write(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !peer.can_write {
            peer.can_write = true;
            self.peers.mark_dirty(key);
        }
    }

    /// Puts a peer on the list of those to read, once.
    fn start_reading(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !peer.is_reading {
            peer.is_reading = true;
            self.reading.push_back(key as u32);
        }
    }

    // ---- stop

    /// The first request to stop: no more connections, and §7.4.1: 1001 to those that there are.
    fn handle_stop(&mut self, now: Instant) {
        if self.stops == 0 || self.is_stopping {
            return;
        }
        self.is_stopping = true;
        self.net.stop_listening();
        self.accepting.clear();
        self.accept_again_at = None;
        log::info!("stopping: {} connections to close", self.peers.len());
        for key in self.peers.keys() {
            let Some(peer) = self.peers.get_mut(key) else { continue };
            match peer.connection.state() {
                State::Connecting => peer.connection.reject(HandshakeError::Overloaded, now),
                State::Open => peer.connection.close(CloseCode::GOING_AWAY, "shutdown", now),
                State::CloseSent | State::Closed => {}
            }
            self.peers.mark_dirty(key);
        }
    }

    // ---- accept

    fn accept(&mut self, now: Instant) {
        if self.accept_again_at.is_some_and(|at| now < at) {
            return;
        }
        self.accept_again_at = None;
        let mut budget = ACCEPTS_PER_TURN;
        while budget > 0
            && let Some(&listener) = self.accepting.last()
        {
            budget -= 1;
            let result = match self.net.accept(listener) {
                Ok((transport, address)) => {
                    self.add_peer(transport, address, now);
                    Ok(())
                }
                Err(error) if is_about_one_connection(&error) => Err(error),
                // Out of descriptors: the next peer is told so, rather than left to wait.
                Err(cause) => {
                    self.net.refuse_next(listener, turn_away).map(|address| journal::turned_away(address, &cause))
                }
            };
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => drop(self.accepting.pop()),
                Err(error) if is_about_one_connection(&error) => {}
                Err(_) => {
                    // The listener reports nothing new while somebody waits: look again in a moment.
                    self.accept_again_at = Some(now + ACCEPT_AGAIN_AFTER);
                    return;
                }
            }
        }
        if !self.accepting.is_empty() {
            self.accepting.rotate_right(1); // another listener comes first next time
        }
    }

    fn add_peer(&mut self, mut transport: N::Transport, address: SocketAddr, now: Instant) {
        let is_full = self.peers.len() - self.refused >= self.connections_max;
        if is_full && self.refused >= REFUSALS_MAX {
            turn_away(transport);
            journal::turned_away(address, &"no room for another connection");
            return;
        }
        if let Err(error) = self.net.register(&mut transport, self.peers.next_key()) {
            journal::turned_away(address, &error);
            return;
        }
        let mut connection = Connection::new(self.limits.clone(), now);
        if is_full {
            connection.reject(HandshakeError::Overloaded, now);
            self.refused += 1;
        }
        let peer = self.peers.insert(transport, connection, address);
        peer.is_refused = is_full;
        let key = peer.id.key as usize;
        self.peers.mark_dirty(key);
    }

    // ---- read

    fn read(&mut self, now: Instant) {
        for _ in 0..self.reading.len() {
            if self.peers.has_delivered_enough() {
                return; // those who did not get their turn are the first in the next one
            }
            let Some(key) = self.reading.pop_front().map(|key| key as usize) else { return };
            let Some(peer) = self.peers.get_mut(key) else { continue };
            peer.is_reading = false;
            if self.read_peer(key, now) {
                self.start_reading(key);
            }
            self.peers.mark_dirty(key);
        }
    }

    /// Reads one peer's share of a turn. Returns whether there may be more.
    fn read_peer(&mut self, key: usize, now: Instant) -> bool {
        let mut bytes_left = READ_BYTES_PER_TURN;
        let mut events_left = EVENTS_PER_PEER_AND_TURN;
        loop {
            let is_cut = events_left == 0 || bytes_left == 0 || self.peers.has_delivered_enough();
            let Some(peer) = self.peers.get_mut(key) else { return false };
            if peer.connection.is_done() || (peer.unread.is_none() && !peer.can_read) {
                return false;
            }
            // A peer that does not take its replies is not read either: its requests wait with it, not with us.
            if peer.connection.queued_bytes() > self.limits.queue_bytes_paused() {
                return false; // settle() begins again once the queue is empty
            }
            if is_cut {
                return true;
            }
            if let Some(mut unread) = peer.unread.take() {
                let end = unread.bytes.len();
                let left = self.process(key, &mut unread.bytes[unread.start..], &mut events_left, now).len();
                unread.start = end - left;
                self.keep_unread(key, (left > 0).then_some(unread));
                continue;
            }
            let mut buffer = std::mem::take(&mut self.read_buffer);
            match peer.transport.read(&mut buffer[..bytes_left]) {
                Ok(0) => {
                    peer.can_read = false;
                    peer.connection.receive_eof(now);
                }
                Ok(count) => {
                    peer.traffic.bytes_in += count as u64;
                    // A short read has taken all there was, unless the end of file is still to come.
                    peer.can_read = count == bytes_left || peer.is_read_closed;
                    bytes_left -= count;
                    let left = self.process(key, &mut buffer[..count], &mut events_left, now);
                    let unread = (!left.is_empty()).then(|| Box::new(Unread { bytes: left.to_vec(), start: 0 }));
                    self.keep_unread(key, unread);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => bytes_left -= 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => peer.can_read = false,
                Err(_) => peer.connection.abort(now),
            }
            self.read_buffer = buffer;
        }
    }

    fn keep_unread(&mut self, key: usize, unread: Option<Box<Unread>>) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.unread = unread;
        }
    }

    /// Gives bytes to a peer's connection, and what they make to the application. Returns what is left of them when
    /// the peer has used up its events, or has too much to take itself.
    fn process<'b>(&mut self, key: usize, bytes: &'b mut [u8], events_left: &mut usize, now: Instant) -> &'b [u8] {
        let mut input = Input::new(bytes);
        loop {
            let is_cut = *events_left == 0 || self.peers.has_delivered_enough();
            let Some(peer) = self.peers.get_mut(key) else { break };
            if is_cut || peer.connection.queued_bytes() > self.limits.queue_bytes_paused() {
                return input.take_all();
            }
            *events_left -= 1;
            match peer.connection.poll_event(&mut input, now) {
                None => break,
                Some(Event::Message(message)) => {
                    peer.traffic.messages_in += 1;
                    let id = peer.id;
                    self.app.on_message(id, message, &mut self.peers);
                }
                Some(Event::Request(request)) => self.open(key, &request, now),
            }
        }
        input.take_all()
    }

    fn open(&mut self, key: usize, request: &Request, now: Instant) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let subprotocol = request.select_subprotocol(&self.subprotocols);
        peer.connection.accept(request, subprotocol, now);
        peer.is_open = true;
        journal::opened(peer, request, subprotocol);
        let id = peer.id;
        self.app.on_open(id, request, &mut self.peers);
    }

    // ---- time

    fn handle_timeouts(&mut self, now: Instant) {
        for _ in 0..TIMEOUTS_PER_TURN {
            let Some(key) = self.timers.pop_due(now).or_else(|| self.slow_timers.pop_due(now)) else { return };
            if let Some(peer) = self.peers.get_mut(key) {
                peer.connection.handle_timeout(now);
                self.peers.mark_dirty(key);
            }
        }
    }

    // ---- settle

    /// Looks once at each peer to which something happened. Ends that the application is told of may make others
    /// dirty; each peer ends once, so this comes to an end.
    fn settle(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.flushing) {
            if self.peers.get_mut(key as usize).is_some() {
                self.peers.mark_dirty(key as usize);
            }
        }
        let mut done = Vec::new();
        let mut position = 0;
        while let Some(key) = self.peers.dirty_at(position) {
            position += 1;
            if self.settle_peer(key, now) {
                done.push(key);
            }
        }
        self.peers.clear_dirty();
        for key in done {
            self.reap(key);
        }
    }

    /// Flushes, and follows the state of the connection. Returns whether the peer is gone.
    fn settle_peer(&mut self, key: usize, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(key) else { return false };
        let was_paused = peer.connection.queued_bytes() > 0;
        if peer.flush(now) {
            self.flushing.push(key as u32);
        }
        let is_drained = was_paused && peer.connection.queued_bytes() == 0;
        if peer.connection.state() == State::Closed {
            peer.unread = None;
            if peer.connection.queued_bytes() == 0 && !peer.is_write_shut {
                peer.is_write_shut = true;
                // If it fails the connection is gone, which the next read tells.
                let _ = peer.transport.shutdown_write();
            }
        }
        let is_reading_due = is_drained && (peer.can_read || peer.unread.is_some());
        let is_done = peer.connection.is_done();
        self.timers.set(key, peer.connection.timer().map(|(timer, deadline)| (timer as usize, deadline)));
        self.slow_timers.set(key, peer.connection.slow_deadline().map(|deadline| (0, deadline)));
        self.tell_end(key, now);
        if is_reading_due {
            self.start_reading(key);
        }
        is_done
    }

    /// Tells the application and the log of an end, once.
    fn tell_end(&mut self, key: usize, now: Instant) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.connection.state() != State::Closed || peer.is_ended {
            return;
        }
        peer.is_ended = true;
        journal::ended(peer, now);
        if peer.is_open
            && let Some(&end) = peer.connection.end()
        {
            let id = peer.id;
            self.app.on_close(id, &end, &mut self.peers);
        }
    }

    /// Frees the key of a peer that is gone. From the next turn on another may have it.
    fn reap(&mut self, key: usize) {
        let peer = self.peers.remove(key);
        self.refused -= usize::from(peer.is_refused);
        self.accept_again_at = None; // a descriptor is free
    }
}

/// Whether an error of accept says nothing about the server: nobody waits, or somebody was gone before it was accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted | ErrorKind::Interrupted)
}

/// Tells a peer for which there is no room, as far as that goes without keeping it.
fn turn_away(mut transport: impl Transport) {
    // With unread bytes on our side the transport would be reset, and the response lost.
    let _ = transport.read(&mut [0; 4096]);
    let _ = transport.write(&encode_rejection(&HandshakeError::Overloaded));
    let _ = transport.shutdown_write();
}

/// The three kinds that [`Timers`] knows are those of [`Timer`].
const _: () = assert!(Timer::Handshake as usize == 0 && Timer::Close as usize == 2);

/// One peer's share of the reads of a turn, and the size of the read buffer. Smaller ones cost large messages dear.
const READ_BYTES_PER_TURN: usize = 512 * 1024;

/// One peer's share of the messages of a turn: each may become thousands, in a broadcast.
const EVENTS_PER_PEER_AND_TURN: usize = 1024;

/// Connections accepted in a turn; then those that are there get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Deadlines handled in a turn: a thousand pings are about 3 ms.
const TIMEOUTS_PER_TURN: usize = 1024;

/// Peers over the limit that are kept for the moment that it takes to tell them.
const REFUSALS_MAX: usize = 32;

/// When descriptors have run out and none is in reserve: the time to the next attempt.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
