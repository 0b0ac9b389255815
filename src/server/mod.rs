//! The event loop: one thread, one poll, and all that touches a socket.
//!
//! A turn of the loop, in this order:
//!
//! ```text
//!   poll -> now (one clock read) -> read each ready peer (budget) -> accept (budget) -> timers due
//!        -> settle the dirty: flush, tell the application of ends, arm timers, free what is gone
//! ```
//!
//! A peer that was only answered is written to right after it was read, while all of it is in the processor's cache, and
//! there is then nothing to settle.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Server`], the turn |
//! | `config` | [`Config`]: addresses, limits |
//! | [`app`] | what an application and the server know of each other |
//! | [`net`] | what the loop needs of the world, as two traits |
//! | [`tcp`] | that, on mio |
//! | `admission`, `rates` | who may come in: by address, rate, page and host |
//! | [`network`], `forwarded`, [`proxy_header`] | ranges of addresses; whom proxies speak for |
//! | [`transport`] | its connections: plain, or with TLS |
//! | `tls` | TLS over any transport, and its certificate: with the feature `tls` |
//! | `bell` | how a server is told to stop, or to read its files again |
//! | `accept` | taking connections, and what happens where there is no room |
//! | `read` | each peer's share of reading, and what it makes |
//! | `peer` | a transport with its connection, and how it is written to |
//! | `peers` | all of them by key; the outbox |
//! | `conn_table` | what an application knows of each connection, by key |
//! | `timers` | deadlines, a list per kind |
//! | `shrink` | when a table gives back the room that a crowd needed |
//! | `journal` | the lines of the log |

mod accept;
mod admission;
pub mod app;
mod bell;
pub(crate) mod bucket;
mod config;
mod conn_table;
mod forwarded;
mod journal;
pub mod net;
pub mod network;
mod peer;
mod peers;
pub mod proxy_header;
mod rates;
mod read;
pub(crate) mod shrink;
pub mod tcp;
mod timers;
#[cfg(feature = "tls")]
pub mod tls;
pub mod transport;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::admission::Admission;
pub use self::app::{App, ConnId, DRAINED_BYTES_MAX, Outbox};
pub use self::bell::{Reloader, Stopper};
pub use self::config::{Config, TlsFiles};
pub use self::conn_table::ConnTable;
use self::net::{Net, Ready, Transport as _};
use self::peer::Unread;
use self::peers::Peers;
use self::read::READ_BYTES_PER_TURN;
use self::shrink::{new_list, shrink_list, shrink_queue};
pub use self::tcp::BindError;
use self::tcp::Tcp;
use self::timers::Timers;
use crate::protocol::connection::Timer;
use crate::protocol::moment::Epoch;
use crate::protocol::{CloseCode, Commons, HandshakeError, State};

/// A WebSocket server with its application.
#[derive(Debug)]
pub struct Server<A, N: Net = Tcp> {
    net: N,
    app: A,
    peers: Peers<N::Transport>,
    commons: Rc<Commons>,
    /// From when deadlines are counted.
    epoch: Epoch,
    connections_max: usize,
    admission: Admission,
    handshakes_max: usize,
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
    /// What was read and waits to be processed, by key.
    unread: HashMap<u32, Unread>,
    /// Its bytes, of all peers.
    unread_bytes: usize,
    /// Peers that used up their share of writes.
    flushing: Vec<u32>,
    /// Peers that are drained, of which the application hears in the next turn.
    drained: Vec<ConnId>,
    /// Peers that are gone, within a turn.
    done: Vec<u32>,
    /// Handshake, ping and close deadlines: a peer has one of them, by its state.
    timers: Timers<TIMER_KINDS>,
    /// Deadlines of peers that take nothing.
    slow_timers: Timers<1>,
    /// Peers that are there only to be told that there is no room.
    refused: usize,
    /// How often the server was asked to stop.
    stops: usize,
    is_stopping: bool,
}

impl<A: App, N: Net> Server<A, N> {
    /// A server on a network of any kind, such as a simulated one.
    pub fn with_net(mut net: N, config: &Config, app: A) -> Server<A, N> {
        let now = net.now();
        let commons = Commons::with_compression(config.limits.clone(), config.compression);
        let epoch = commons.epoch(now);
        Server {
            net,
            app,
            peers: Peers::new(now),
            commons,
            epoch,
            connections_max: config.connections_max,
            admission: Admission::new(config),
            handshakes_max: accept::handshakes_max(config.connections_max),
            subprotocols: config.subprotocols.clone(),
            read_buffer: vec![0; READ_BYTES_PER_TURN].into(),
            ready: Vec::with_capacity(tcp::EVENTS_PER_TURN),
            accepting: Vec::new(),
            accept_again_at: None,
            reading: VecDeque::from(new_list()),
            unread: HashMap::new(),
            unread_bytes: 0,
            flushing: new_list(),
            drained: new_list(),
            done: new_list(),
            timers: Timers::new(epoch),
            slow_timers: Timers::new(epoch),
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
        log::debug!("at most {} connections at a time", self.connections_max);
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
        if ready.is_empty() && timeout != Some(Duration::ZERO) {
            self.commons.release();
        }
        let is_cut = self.peers.has_delivered_enough();
        self.peers.begin_turn(now);
        let going_on = self.reading.len();
        for &ready in &ready {
            self.note_ready(ready);
        }
        if !is_cut {
            // Those who had their share of the turn before are behind those who come now: a flood delays nobody by more
            // than the rest of one turn. After a turn that was cut it is those without their share who come first.
            self.reading.rotate_left(going_on);
        }
        ready.clear();
        self.ready = ready;

        self.handle_stop(now);
        self.read(now);
        self.accept(now);
        self.handle_timeouts(now);
        self.tell_app(now);
        self.settle(now);
        if self.stops > 1 {
            self.abandon(now);
        }
        Ok(self.stops == 0 || self.peers.len() > 0)
    }

    /// The application.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// How long the loop may wait: not at all while something is left from the turn before.
    fn poll_timeout(&mut self) -> Option<Duration> {
        let is_busy = !self.reading.is_empty()
            || !self.flushing.is_empty()
            || !self.drained.is_empty()
            || self.peers.has_dirty()
            || (!self.accepting.is_empty() && self.accept_again_at.is_none());
        if is_busy {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.timers.next_deadline(),
            self.slow_timers.next_deadline(),
            self.accept_again_at,
            self.app.next_timeout(),
        ];
        let next = deadlines.into_iter().flatten().min();
        let wait = next.map(|next| next.saturating_duration_since(self.net.now()));
        if self.commons.has_much_to_spare() {
            return Some(wait.map_or(IDLE_TIME, |wait| wait.min(IDLE_TIME)));
        }
        wait
    }

    fn note_ready(&mut self, ready: Ready) {
        match ready {
            Ready::Listener(index) => {
                if !self.accepting.contains(&index) {
                    self.accepting.push(index);
                }
            }
            Ready::Stop => self.stops += self.net.stop_requests(),
            Ready::Reload => {
                self.net.reload();
                self.app.on_reload(&mut self.peers);
            }
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
        // If it fails the connection is gone, which the next read tells.
        let _ = peer.transport.flush();
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
        self.app.on_stop(&mut self.peers);
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

    /// A further request to stop: an end for everybody at once.
    fn abandon(&mut self, now: Instant) {
        for key in self.peers.keys() {
            if let Some(peer) = self.peers.get_mut(key) {
                peer.connection.abort(now);
                self.peers.mark_dirty(key);
            }
        }
        self.settle(now);
    }

    // ---- time

    fn handle_timeouts(&mut self, now: Instant) {
        for _ in 0..TIMEOUTS_PER_TURN {
            let Some(key) = self.slow_timers.pop_due(now).or_else(|| self.timers.pop_due(now)) else { return };
            self.look(key, now);
            let Some(peer) = self.peers.get_mut(key) else { continue };
            peer.connection.handle_timeout(now);
            if peer.connection.state() == State::Closed && !peer.transport.is_connected() {
                peer.connection.abort(now); // in the midst of TLS's own handshake it cannot be told
            }
            peer.flush(now); // while it is in the cache, and so that the next ping takes the same buffer
            self.peers.mark_dirty(key);
        }
    }

    /// What the application waits for: its own time, and peers that are drained.
    fn tell_app(&mut self, now: Instant) {
        if self.app.next_timeout().is_some_and(|timeout| timeout <= now) {
            self.app.on_timeout(&mut self.peers);
        }
        for id in std::mem::take(&mut self.drained) {
            if self.peers.is_there(id) {
                self.app.on_drained(id, &mut self.peers);
            }
        }
    }

    /// Looks before a peer is judged: if the server itself stood still, what the peer sent and took meanwhile may not
    /// have been reported yet. And the system reports room only when a good part of its buffer is free, which a slow
    /// reader may take minutes for; any byte that fits is a sign of life.
    fn look(&mut self, key: usize, now: Instant) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        (peer.can_read, peer.can_write) = (true, true);
        if peer.flush(now) {
            self.flushing.push(key as u32);
        }
        // Whatever this turn has made already: nobody is judged unseen. One message is enough to show life.
        let made = self.peers.begin_look();
        if self.read_peer(key, 1, now) {
            self.start_reading(key);
        }
        self.peers.end_look(made);
    }

    /// Arms the deadlines that a peer has now.
    fn arm(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let deadline = peer.connection.timer_moment();
        self.timers.set(key, deadline.map(|(timer, deadline)| (timer_kind(timer, key), deadline)));
        let slow_deadline = peer.connection.slow_deadline();
        self.slow_timers.set(key, slow_deadline.map(|deadline| (0, self.epoch.moment(deadline))));
    }

    // ---- settle

    /// Looks once at each peer to which something happened. Ends that the application is told of may make others
    /// dirty; each peer ends once, so this comes to an end.
    fn settle(&mut self, now: Instant) {
        for key in self.flushing.drain(..) {
            if self.peers.get_mut(key as usize).is_some() {
                self.peers.mark_dirty(key as usize);
            }
        }
        let mut position = 0;
        while let Some(key) = self.peers.dirty_at(position) {
            position += 1;
            if self.settle_peer(key, now) {
                self.done.push(key as u32);
            }
        }
        self.peers.clear_dirty();
        while let Some(key) = self.done.pop() {
            self.reap(key as usize);
        }
        if self.peers.shrink() {
            shrink_queue(&mut self.reading);
            shrink_list(&mut self.flushing);
            shrink_list(&mut self.drained);
            shrink_list(&mut self.done);
            self.timers.shrink();
            self.slow_timers.shrink();
        }
    }

    /// Flushes, and follows the state of the connection. Returns whether the peer is gone.
    fn settle_peer(&mut self, key: usize, now: Instant) -> bool {
        let Some(peer) = self.peers.get_mut(key) else { return false };
        if peer.flush(now) {
            self.flushing.push(key as u32);
        }
        let is_closed = peer.connection.state() == State::Closed;
        let queued_bytes = peer.connection.queued_bytes();
        if is_closed && queued_bytes == 0 && !peer.is_write_shut {
            // §7.1.1: the server closes first, and cleanly: its own side now, all of it once the peer has done the same.
            peer.is_write_shut = true;
            // If it fails the connection is gone, which the next read tells.
            let _ = peer.transport.shutdown_write();
        }
        let is_resumed = peer.is_paused && queued_bytes <= self.commons.limits().queue_bytes_paused();
        peer.is_paused &= !is_resumed;
        if queued_bytes <= DRAINED_BYTES_MAX && std::mem::take(&mut peer.is_drain_awaited) && !is_closed {
            self.drained.push(peer.id(key));
        }
        let is_done = peer.connection.is_done();
        self.arm(key);
        if is_closed {
            self.set_unread(key, None);
            self.tell_end(key, now);
        }
        if is_resumed {
            self.start_reading(key);
        }
        is_done
    }

    /// Tells the application of an end, once, and the log.
    fn tell_end(&mut self, key: usize, now: Instant) {
        self.peers.log_end(key, now);
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.is_ended {
            return;
        }
        peer.is_ended = true;
        if peer.is_open
            && let Some(&end) = peer.connection.end()
        {
            let id = peer.id(key);
            self.app.on_close(id, &end, &mut self.peers);
        }
    }

    /// Frees the key of a peer that is gone. From the next turn on another may have it.
    fn reap(&mut self, key: usize) {
        let peer = self.peers.remove(key);
        self.refused -= usize::from(peer.is_refused);
        if peer.client.is_admitted() {
            self.admission.leave(peer.address().ip());
        }
        self.accept_again_at = None; // a descriptor is free
    }
}

/// The list of [`Timers`] for a deadline: in each all wait equally long.
fn timer_kind(timer: Timer, key: usize) -> usize {
    match timer {
        Timer::Handshake => HANDSHAKE,
        Timer::Ping => HANDSHAKE + 1,
        Timer::Close => HANDSHAKE + 2,
        Timer::HastenedPing => HANDSHAKE + 3 + key % FIRST_PINGS,
    }
}

/// When a peer gets its first ping. Those that come in one moment, as after a restart, have keys in a row: their pings
/// are spread over the interval, and so are all that follow.
fn first_ping_wait(key: usize, interval: Duration) -> Duration {
    interval / FIRST_PINGS as u32 * (FIRST_PINGS - key % FIRST_PINGS) as u32
}

/// The times at which a peer can get its first ping, and thus the crowds into which one crowd is divided.
const FIRST_PINGS: usize = 16;

/// The kind of handshake deadlines.
const HANDSHAKE: usize = 0;

const TIMER_KINDS: usize = 3 + FIRST_PINGS;

/// After so long without work the buffers that nobody needs are given back to the system.
const IDLE_TIME: Duration = Duration::from_secs(1);

/// Deadlines handled in a turn: a thousand pings are about 3 ms.
const TIMEOUTS_PER_TURN: usize = 1024;
