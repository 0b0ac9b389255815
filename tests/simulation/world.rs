//! A network and a clock that obey a seed: the other half of the server's two traits.
//!
//! Edge-triggered like the real one: a socket is reported once when bytes arrive, when its end arrives, or when there is
//! room again after a write that did not fit.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use frameloop::server::net::{Net, Ready, Transport};

/// A small generator of numbers that a seed decides (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }

    /// True once in `count` times.
    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// One connection, as the wire sees it.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    /// Arrived at the server and not read.
    pub(crate) inbound: VecDeque<u8>,
    /// The client has ended its side.
    pub(crate) client_eof: bool,
    pub(crate) is_reset: bool,
    /// Written by the server and not read by the client.
    pub(crate) outbound: VecDeque<u8>,
    pub(crate) capacity: usize,
    /// The server has ended its side.
    pub(crate) server_eof: bool,
    pub(crate) is_dropped: bool,
    /// The key by which the server knows it, from its registration until its end.
    pub(crate) key: Option<usize>,
    readable: bool,
    writable: bool,
    /// The server offered more than there was room for, and waits.
    pub(crate) is_write_blocked: bool,
    /// Turns in which something was there to read and was not read.
    pub(crate) turns_unread: usize,
}

impl Socket {
    fn room(&self) -> usize {
        self.capacity.saturating_sub(self.outbound.len())
    }

    /// More arrived, or the end: an edge.
    pub(crate) fn arrived(&mut self) {
        self.readable = true;
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) random: Random,
    pub(crate) sockets: Vec<Socket>,
    /// Connections that the server has not accepted.
    backlog: VecDeque<usize>,
    backlog_edge: bool,
    pub(crate) stops: usize,
    pub(crate) is_listening: bool,
    /// Without faults everything goes through at once.
    pub(crate) has_faults: bool,
    /// The next attempts to accept find no descriptor.
    pub(crate) descriptor_shortage: usize,
}

pub(crate) type Shared = Rc<RefCell<World>>;

impl World {
    pub(crate) fn new(seed: u64) -> World {
        World {
            now: Instant::now(),
            random: Random::new(seed),
            sockets: Vec::new(),
            backlog: VecDeque::new(),
            backlog_edge: false,
            stops: 0,
            is_listening: true,
            has_faults: true,
            descriptor_shortage: 0,
        }
    }

    /// A client connects. Its index is also its port.
    pub(crate) fn connect(&mut self) -> usize {
        let capacity = 1 + self.random.below(60_000);
        self.sockets.push(Socket { capacity, ..Socket::default() });
        self.backlog.push_back(self.sockets.len() - 1);
        self.backlog_edge = true;
        self.sockets.len() - 1
    }

    fn fault(&mut self, one_in: usize) -> bool {
        self.has_faults && self.random.one_in(one_in)
    }

    fn accept(&mut self) -> io::Result<usize> {
        if self.fault(20) {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        if self.fault(20) {
            return Err(io::Error::from_raw_os_error(71)); // EPROTO
        }
        self.backlog.pop_front().ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    fn write(&mut self, index: usize, offered: usize) -> io::Result<usize> {
        if self.fault(50) {
            return Err(ErrorKind::Interrupted.into());
        }
        let mut takes = offered.min(self.sockets[index].room());
        if self.fault(4) {
            takes = self.random.below(takes + 1);
        }
        let socket = &mut self.sockets[index];
        assert!(!socket.server_eof, "the server writes after it ended its side");
        if socket.is_reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        socket.is_write_blocked = takes < offered;
        if takes == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(takes) }
    }
}

/// The server's view of the world.
pub(crate) struct SimNet(pub(crate) Shared);

impl Net for SimNet {
    type Transport = SimTransport;

    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        if world.stops > 0 {
            ready.push(Ready::Stop);
        }
        if world.backlog_edge {
            world.backlog_edge = false;
            ready.push(Ready::Listener(0));
        }
        for index in 0..world.sockets.len() {
            let is_late = world.fault(3);
            let socket = &mut world.sockets[index];
            if socket.is_write_blocked && (socket.room() > 0 || socket.is_reset) && !is_late {
                socket.is_write_blocked = false;
                socket.writable = true;
            }
            let Some(key) = socket.key.filter(|_| !is_late && !socket.is_dropped) else { continue };
            if socket.readable || socket.writable {
                ready.push(Ready::Peer {
                    key,
                    is_readable: socket.readable,
                    is_read_closed: socket.readable && (socket.client_eof || socket.is_reset),
                    is_writable: socket.writable,
                });
                (socket.readable, socket.writable) = (false, false);
            }
        }
        if ready.is_empty() {
            let pass = timeout.unwrap_or(Duration::from_millis(10));
            // While all is calm time goes slowly, so that pings do not keep everybody busy.
            let most = if world.has_faults { Duration::from_secs(20) } else { Duration::from_millis(10) };
            world.now += pass.min(most);
        }
        Ok(())
    }

    fn now(&mut self) -> Instant {
        self.0.borrow().now
    }

    fn accept(&mut self, _listener: usize) -> io::Result<(SimTransport, SocketAddr)> {
        let mut world = self.0.borrow_mut();
        if world.descriptor_shortage > 0 {
            world.descriptor_shortage -= 1;
            return Err(io::Error::from_raw_os_error(24)); // EMFILE
        }
        let index = world.accept()?;
        Ok((SimTransport { world: self.0.clone(), index }, SocketAddr::from(([127, 0, 0, 1], index as u16))))
    }

    fn refuse_next(&mut self, _listener: usize, refuse: impl FnOnce(SimTransport)) -> io::Result<SocketAddr> {
        if self.0.borrow_mut().fault(2) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let index = self.0.borrow_mut().accept()?;
        refuse(SimTransport { world: self.0.clone(), index });
        Ok(SocketAddr::from(([127, 0, 0, 1], index as u16)))
    }

    fn register(&mut self, transport: &mut SimTransport, key: usize) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let socket = &mut world.sockets[transport.index];
        socket.key = Some(key);
        // As epoll does: what is there at registration is an edge.
        socket.readable = !socket.inbound.is_empty() || socket.client_eof || socket.is_reset;
        socket.writable = true;
        Ok(())
    }

    fn stop_requests(&mut self) -> usize {
        std::mem::take(&mut self.0.borrow_mut().stops)
    }

    fn stop_listening(&mut self) {
        let mut world = self.0.borrow_mut();
        world.is_listening = false;
        for index in std::mem::take(&mut world.backlog) {
            world.sockets[index].is_reset = true;
            world.sockets[index].is_dropped = true;
        }
    }
}

pub(crate) struct SimTransport {
    world: Shared,
    index: usize,
}

impl Transport for SimTransport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        if world.fault(50) {
            return Err(ErrorKind::Interrupted.into());
        }
        let socket = &mut world.sockets[self.index];
        socket.turns_unread = 0;
        if socket.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let count = buffer.len().min(socket.inbound.len());
        if count == 0 {
            return if socket.client_eof { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        for (to, from) in buffer.iter_mut().zip(socket.inbound.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        let takes = world.write(self.index, bytes.len())?;
        world.sockets[self.index].outbound.extend(&bytes[..takes]);
        Ok(takes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(slices.iter().all(|slice| !slice.is_empty()), "an empty slice is wasted");
        self.write(&slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.world.borrow_mut().sockets[self.index].server_eof = true;
        Ok(())
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        world.sockets[self.index].is_dropped = true;
        world.sockets[self.index].key = None;
    }
}
