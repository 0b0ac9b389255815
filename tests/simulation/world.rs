//! A network and a clock that obey a seed.
//!
//! Edge-triggered like the real one: a socket is reported once when bytes arrive, when its end arrives, or when there is
//! room again after a write that did not fit. Time passes in a poll only while nothing is ready; otherwise only the seed
//! makes it pass, between two turns.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use frameloop::server::net::Ready;

use super::random::Random;
use super::socket::Socket;
use super::tally::{Deed, Tally};

/// How often each fault comes: once in so many calls, 0 is never.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    interrupted: usize,
    would_block: usize,
    cut_read: usize,
    cut_write: usize,
    /// Something is ready, and a poll does not say so yet.
    unreported: usize,
    /// A poll says that something is ready, and it is not.
    spurious: usize,
    accept: usize,
    register: usize,
    shutdown: usize,
    /// What the client sends is a while on its way.
    delay: usize,
}

impl Faults {
    /// Each seed has faults of its own, so that some runs are full of one kind and free of another.
    pub(crate) fn random(random: &mut Random) -> Faults {
        let mut often = || random.pick(&[0, 3, 10, 40]);
        let (interrupted, would_block, cut_read, cut_write) = (often(), often(), often(), often());
        let (unreported, spurious, delay) = (often(), often(), often());
        let mut seldom = || random.pick(&[0, 0, 20, 100]);
        let (accept, register, shutdown) = (seldom(), seldom(), seldom());
        Faults {
            interrupted,
            would_block,
            cut_read,
            cut_write,
            unreported,
            spurious,
            accept,
            register,
            shutdown,
            delay,
        }
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    /// The time that the server has for this turn.
    pub(crate) turn_now: Instant,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) sockets: Vec<Socket>,
    /// Those that the server has accepted and not dropped.
    pub(crate) live: Vec<usize>,
    /// Connections that the server has not accepted.
    pub(crate) backlog: VecDeque<usize>,
    has_backlog_edge: bool,
    pub(crate) stops: usize,
    /// When the server heard of the first of them.
    pub(crate) stopped_at: Option<Instant>,
    /// The next attempts to accept find no descriptor.
    pub(crate) descriptor_shortage: usize,
    /// Then there is one in reserve, to tell a peer so.
    pub(crate) has_spare: bool,
    /// At most so much time passes in one poll.
    pub(crate) wait_max: Duration,
    /// What the server last asked to wait.
    pub(crate) poll_timeout: Option<Duration>,
    /// What the last poll found.
    pub(crate) reported: Vec<Ready>,
    /// Something came of this turn.
    pub(crate) has_progress: bool,
    /// Turns without waiting and without any use, one after the other.
    useless_turns: usize,
    /// All that happened, in one number.
    pub(crate) trace: u64,
    pub(crate) tally: Tally,
}

pub(crate) type Shared = Rc<RefCell<World>>;

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let faults = Faults::random(&mut random);
        let now = Instant::now();
        World {
            now,
            turn_now: now,
            random,
            faults,
            sockets: Vec::new(),
            live: Vec::new(),
            backlog: VecDeque::new(),
            has_backlog_edge: false,
            stops: 0,
            stopped_at: None,
            descriptor_shortage: 0,
            has_spare: true,
            wait_max: Duration::from_secs(20),
            poll_timeout: None,
            reported: Vec::new(),
            has_progress: false,
            useless_turns: 0,
            trace: 0,
            tally: Tally::default(),
        }
    }

    /// A client connects. Its index is also its port.
    pub(crate) fn connect(&mut self, head_bytes: usize) -> usize {
        let most = if self.random.one_in(4) { 300 } else { 60_000 };
        let capacity = 50 + self.random.below(most);
        self.sockets.push(Socket::new(capacity, head_bytes));
        self.backlog.push_back(self.sockets.len() - 1);
        self.has_backlog_edge = true;
        self.sockets.len() - 1
    }

    /// Whether what a client sends now is a while on its way.
    pub(crate) fn has_delay(&mut self) -> bool {
        let is_delayed = self.fault(|faults| faults.delay);
        if is_delayed {
            self.tally.note(Deed::Delayed);
        }
        is_delayed
    }

    fn fault(&mut self, one_in: impl Fn(&Faults) -> usize) -> bool {
        self.random.one_in(one_in(&self.faults))
    }

    /// Whether a signal comes in the midst of a call.
    fn is_interrupted(&mut self, call: Deed) -> bool {
        let is_interrupted = self.fault(|faults| faults.interrupted);
        if is_interrupted {
            self.tally.note(call);
        }
        is_interrupted
    }

    fn note(&mut self, what: usize, index: usize, count: usize) {
        for number in [what, index, count] {
            self.trace = (self.trace ^ number as u64).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
        }
    }

    /// The clock, which never stands quite still.
    pub(crate) fn tell_time(&mut self) -> Instant {
        self.now += self.random.up_to(Duration::from_micros(300));
        self.turn_now = self.now;
        self.now
    }

    // ---- the poll

    pub(crate) fn poll(&mut self, timeout: Option<Duration>) {
        self.watch_for_spinning(timeout);
        self.poll_timeout = timeout;
        self.reported.clear();
        let timeout = timeout.unwrap_or(self.wait_max).min(self.wait_max);
        if self.is_interrupted(Deed::PollInterrupted) {
            self.now += self.random.up_to(timeout);
            return;
        }
        if self.report() {
            return;
        }
        let arrivals = self.live.iter().filter_map(|&index| self.sockets[index].next_arrival());
        let wait = arrivals.min().map_or(timeout, |at| timeout.min(at.saturating_duration_since(self.now)));
        self.now += wait;
        self.report();
    }

    /// A server that neither waits nor gets anything done must not go on so.
    fn watch_for_spinning(&mut self, timeout: Option<Duration>) {
        let is_useless = timeout == Some(Duration::ZERO) && !self.has_progress && self.reported.is_empty();
        self.useless_turns = if is_useless { self.useless_turns + 1 } else { 0 };
        assert!(self.useless_turns < USELESS_TURNS_MAX, "the server spins");
        self.has_progress = false;
    }

    /// Collects what is ready, or a part of it. Returns whether anything was.
    fn report(&mut self) -> bool {
        if self.stops > 0 {
            self.reported.push(Ready::Stop);
        }
        if self.has_backlog_edge {
            self.has_backlog_edge = false;
            self.reported.push(Ready::Listener(0));
        }
        let mut is_anything_ready = !self.reported.is_empty();
        let sockets = &self.sockets;
        self.live.retain(|&index| !sockets[index].is_dropped());
        let first = self.random.below(self.live.len());
        for position in 0..self.live.len() {
            let index = self.live[(first + position) % self.live.len()];
            let is_spurious = self.fault(|faults| faults.spurious * 10);
            let is_unreported = self.fault(|faults| faults.unreported);
            let socket = &mut self.sockets[index];
            socket.arrive(self.now);
            let Some(key) = socket.key else { continue };
            let is_writable = socket.has_writable_edge();
            if !socket.readable && !is_writable && !is_spurious {
                continue;
            }
            is_anything_ready = true;
            if is_unreported {
                self.tally.note(Deed::Unreported);
                continue;
            }
            if is_spurious && !socket.has_input() {
                self.tally.note(Deed::Spurious);
            }
            let is_readable = socket.readable || is_spurious || (socket.has_input() && self.random.one_in(2));
            let is_read_closed = is_readable && (socket.client_eof || socket.is_reset);
            self.reported.push(Ready::Peer { key, is_readable, is_read_closed, is_writable });
            socket.readable &= !is_readable;
            if is_writable {
                (socket.writable, socket.is_write_blocked) = (false, false);
            }
            socket.owes_read |= is_readable;
            socket.is_read_closed_reported |= is_read_closed;
            self.note(1, index, usize::from(is_readable) * 4 + usize::from(is_writable));
        }
        is_anything_ready
    }

    // ---- the calls

    pub(crate) fn accept(&mut self) -> io::Result<usize> {
        if self.is_interrupted(Deed::AcceptInterrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        if self.fault(|faults| faults.would_block) {
            self.has_backlog_edge = !self.backlog.is_empty();
            if self.has_backlog_edge {
                self.tally.note(Deed::AcceptBlocked);
            }
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.fault(|faults| faults.accept) {
            let errno = self.random.pick(&[ECONNABORTED, EPROTO, EPERM, ENOMEM]);
            self.tally.note(if errno == ECONNABORTED { Deed::AcceptAborted } else { Deed::AcceptFailed });
            if errno == ECONNABORTED
                && let Some(index) = self.backlog.pop_front()
            {
                self.sockets[index].reset(false);
                self.sockets[index].dropped_at = Some(self.now);
            }
            return Err(io::Error::from_raw_os_error(errno));
        }
        let index = self.backlog.pop_front().ok_or(ErrorKind::WouldBlock)?;
        self.has_progress = true;
        self.note(2, index, 0);
        self.sockets[index].accepted_at = Some(self.now);
        self.sockets[index].arrive(self.now);
        self.live.push(index);
        Ok(index)
    }

    pub(crate) fn register(&mut self, index: usize, key: usize) -> io::Result<()> {
        if self.fault(|faults| faults.register) {
            self.tally.note(Deed::RegisterFailed);
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        let used = self.live.iter().find(|&&other| self.sockets[other].key == Some(key));
        assert!(used.is_none(), "two peers with the key {key}");
        let socket = &mut self.sockets[index];
        socket.key = Some(key);
        self.tally.note_key(key);
        // As epoll does: what is there at registration is an edge.
        socket.readable = socket.has_input();
        socket.writable = true;
        Ok(())
    }

    pub(crate) fn read(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_interrupted(Deed::ReadInterrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        let is_blocked = self.fault(|faults| faults.would_block);
        let is_cut = self.fault(|faults| faults.cut_read);
        let cut = self.random.below(self.sockets[index].inbound.len());
        let socket = &mut self.sockets[index];
        socket.owes_read = false;
        if socket.inbound.is_empty() && socket.is_reset {
            self.tally.note(Deed::ReadReset);
            return Err(ErrorKind::ConnectionReset.into());
        }
        if socket.inbound.is_empty() && socket.client_eof {
            return Ok(0);
        }
        if socket.inbound.is_empty() || is_blocked {
            if !socket.inbound.is_empty() {
                self.tally.note(Deed::ReadBlocked);
            }
            socket.came_just_now(self.now);
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut count = buffer.len().min(socket.inbound.len());
        if is_cut {
            if 1 + cut < count {
                self.tally.note(Deed::ReadCut);
            }
            count = count.min(1 + cut);
            socket.came_just_now(self.now);
        }
        let (front, back) = socket.inbound.as_slices();
        let front = &front[..count.min(front.len())];
        buffer[..front.len()].copy_from_slice(front);
        buffer[front.len()..count].copy_from_slice(&back[..count - front.len()]);
        socket.inbound.drain(..count);
        socket.note_read(count, self.now);
        socket.owes_read = count == buffer.len() || socket.is_read_closed_reported;
        self.has_progress = true;
        self.note(3, index, count);
        Ok(count)
    }

    pub(crate) fn write(&mut self, index: usize, slices: &[&[u8]]) -> io::Result<usize> {
        if self.is_interrupted(Deed::WriteInterrupted) {
            return Err(ErrorKind::Interrupted.into());
        }
        let offered = slices.iter().map(|slice| slice.len()).sum::<usize>();
        assert!(offered > 0, "a write of nothing");
        let is_blocked = self.fault(|faults| faults.would_block);
        let is_cut = self.fault(|faults| faults.cut_write);
        let socket = &mut self.sockets[index];
        assert!(!socket.server_eof, "the server writes after it ended its side");
        if socket.is_reset {
            self.tally.note(Deed::WriteReset);
            return Err(self.random.pick(&[ErrorKind::BrokenPipe, ErrorKind::ConnectionReset]).into());
        }
        let mut takes = if socket.is_deaf { offered } else { offered.min(socket.room()) };
        if takes < offered {
            self.tally.note(Deed::WriteFull);
        }
        if is_cut || is_blocked {
            let room = takes;
            takes = if is_blocked { 0 } else { self.random.below(takes + 1) };
            if takes < room {
                self.tally.note(if is_blocked { Deed::WriteBlocked } else { Deed::WriteCut });
            }
        }
        let mut left = takes;
        for slice in slices {
            let part = left.min(slice.len());
            socket.outbound.extend(&slice[..part]);
            left -= part;
        }
        socket.taken_in_turn += takes;
        socket.first_write.get_or_insert(takes);
        if takes < offered {
            socket.is_write_blocked = true;
            if takes > 0 || socket.stuck_since.is_none() {
                socket.stuck_since = Some(self.turn_now);
            }
        } else {
            socket.stuck_since = None;
        }
        if socket.is_deaf && takes > 0 {
            socket.reset(false);
            self.tally.note(Deed::WriteToDeaf);
        }
        self.has_progress |= takes > 0;
        self.note(4, index, takes);
        if takes == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(takes) }
    }

    pub(crate) fn shutdown_write(&mut self, index: usize) -> io::Result<()> {
        let is_gone = self.fault(|faults| faults.shutdown);
        let socket = &mut self.sockets[index];
        assert!(!socket.server_eof, "the server ends its side twice");
        socket.server_eof = true;
        if is_gone {
            socket.reset(true);
            self.tally.note(Deed::ShutdownFailed);
        }
        if socket.is_reset { Err(ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    pub(crate) fn stop_requests(&mut self) -> usize {
        self.stopped_at.get_or_insert(self.turn_now);
        std::mem::take(&mut self.stops)
    }

    pub(crate) fn stop_listening(&mut self) {
        while let Some(index) = self.backlog.pop_front() {
            self.sockets[index].reset(false);
            self.sockets[index].dropped_at = Some(self.now);
        }
    }

    pub(crate) fn drop_transport(&mut self, index: usize) {
        let is_lost = self.random.one_in(2);
        let socket = &mut self.sockets[index];
        socket.dropped_at = Some(self.turn_now);
        socket.key = None;
        // Bytes that nobody read make the system reset the connection, and what the client had not read may be lost.
        if !socket.inbound.is_empty() && is_lost {
            if !socket.outbound.is_empty() {
                self.tally.note(Deed::OutboundLost);
            }
            socket.outbound.clear();
        }
        self.has_progress = true;
        self.note(5, index, 0);
    }
}

/// A turn may find nothing by a fault, and the next one too; but it does not go on so.
const USELESS_TURNS_MAX: usize = 20;

// What Linux says when a connection is gone, broken or forbidden, and when it lacks memory, room or descriptors.
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const ENOSPC: i32 = 28;
const EPROTO: i32 = 71;
const ECONNABORTED: i32 = 103;
