//! The smallest world that a server can have a million peers in: a transport is a number, and what a peer has sent and the
//! server has not read is one byte that says which of a few messages it is. What the server writes is taken whole.
//!
//! Peers answer pings and closes at once. Time passes where the benchmark says so, or in polls that find nothing.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use frameloop::server::net::{Net, Ready, Transport};

/// What a peer has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// There is no such peer.
    Absent,
    Nothing,
    Request,
    /// 64 bytes that all others get.
    Chat,
    /// 64 bytes that come back.
    Echo,
    Pong,
    Close,
    End,
}

impl Sent {
    fn bytes(self) -> &'static [u8] {
        match self {
            Sent::Absent | Sent::Nothing | Sent::End => b"",
            Sent::Request => REQUEST,
            Sent::Chat => CHAT,
            Sent::Echo => ECHO,
            Sent::Pong => b"\x8a\x80\0\0\0\0",
            Sent::Close => b"\x88\x82\0\0\0\0\x03\xe8",
        }
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    /// Time passes in a poll that finds nothing, and by at least so much: the resolution of the system's timer.
    pub(crate) resolution: Option<Duration>,
    /// The last poll found nothing, and the server was ready to wait.
    pub(crate) is_idle: bool,
    /// Connections that wait at the listener.
    waiting: usize,
    is_listener_reported: bool,
    /// By the keys of the server.
    sent: Vec<Sent>,
    /// Those whose readiness was not reported.
    edges: VecDeque<u32>,
    pub(crate) pings: usize,
    pub(crate) bytes_written: usize,
    pub(crate) gone: usize,
    accepted: u32,
}

thread_local! {
    /// One world, so that a transport is no larger than a real one, which is a descriptor.
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Begins anew, with room for so many peers.
pub(crate) fn create(peers: usize) {
    let world = World {
        now: Instant::now(),
        resolution: None,
        is_idle: false,
        waiting: 0,
        is_listener_reported: false,
        sent: vec![Sent::Absent; peers],
        edges: VecDeque::with_capacity(peers),
        pings: 0,
        bytes_written: 0,
        gone: 0,
        accepted: 0,
    };
    WORLD.with(|cell| cell.replace(Some(world)));
}

/// Looks at the world, or changes it.
pub(crate) fn world<T>(with: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with(|cell| with(cell.borrow_mut().as_mut().expect("it was created")))
}

impl World {
    /// So many clients connect.
    pub(crate) fn connect(&mut self, count: usize) {
        self.waiting += count;
        self.is_listener_reported = false;
    }

    /// A client sends; what it sent before has been read.
    pub(crate) fn send(&mut self, key: usize, what: Sent) {
        assert!(self.sent[key] == Sent::Nothing || what == Sent::Request, "one thing at a time");
        self.sent[key] = what;
        self.edges.push_back(key as u32);
    }

    /// It is there, and all that it sent was read.
    pub(crate) fn is_silent(&self, key: usize) -> bool {
        self.sent[key] == Sent::Nothing
    }

    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) {
        if self.waiting > 0 && !self.is_listener_reported {
            self.is_listener_reported = true;
            ready.push(Ready::Listener(0));
        }
        while ready.len() < EVENTS_PER_POLL
            && let Some(key) = self.edges.pop_front()
        {
            let key = key as usize;
            let is_read_closed = self.sent[key] == Sent::End;
            ready.push(Ready::Peer { key, is_readable: true, is_read_closed, is_writable: false });
        }
        self.is_idle = ready.is_empty() && timeout.is_none_or(|timeout| !timeout.is_zero());
        match (self.resolution, timeout) {
            _ if !self.is_idle => {}
            (Some(resolution), Some(timeout)) => self.now += timeout.max(resolution),
            // Time stands still, so that the server must not find that it has waited: it gets an event of a peer that is
            // gone, which is nothing to it.
            _ => ready.push(Ready::Peer {
                key: usize::MAX,
                is_readable: false,
                is_read_closed: false,
                is_writable: true,
            }),
        }
    }

    fn read(&mut self, key: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let sent = std::mem::replace(&mut self.sent[key], Sent::Nothing);
        match sent {
            Sent::Absent => panic!("nobody is there"),
            Sent::Nothing => Err(ErrorKind::WouldBlock.into()),
            Sent::End => Ok(0),
            _ => {
                let bytes = sent.bytes();
                buffer[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn write(&mut self, key: usize, first: &[u8], len: usize) -> io::Result<usize> {
        self.bytes_written += len;
        if first[0] == PING {
            self.pings += 1;
            if self.sent[key] == Sent::Nothing {
                self.send(key, Sent::Pong);
            }
        }
        Ok(len)
    }
}

/// The server's view of the world.
pub(crate) struct SimNet;

impl Net for SimNet {
    type Transport = SimTransport;

    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        world(|world| world.poll(ready, timeout));
        Ok(())
    }

    fn now(&mut self) -> Instant {
        world(|world| world.now)
    }

    fn accept(&mut self, _listener: usize) -> io::Result<(SimTransport, SocketAddr)> {
        world(|world| {
            world.waiting = world.waiting.checked_sub(1).ok_or(ErrorKind::WouldBlock)?;
            world.accepted += 1;
            Ok((SimTransport { key: u32::MAX }, SocketAddr::from((world.accepted.to_be_bytes(), 1))))
        })
    }

    fn refuse_next(&mut self, _listener: usize, _refuse: impl FnOnce(SimTransport)) -> io::Result<SocketAddr> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn register(&mut self, transport: &mut SimTransport, key: usize) -> io::Result<()> {
        transport.key = key as u32;
        world(|world| world.send(key, Sent::Request));
        Ok(())
    }

    fn stop_requests(&mut self) -> usize {
        0
    }

    fn stop_listening(&mut self) {}
}

/// One peer's, by the key that the server gave it.
pub(crate) struct SimTransport {
    key: u32,
}

impl Transport for SimTransport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        world(|world| world.read(self.key as usize, buffer))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        world(|world| world.write(self.key as usize, bytes, bytes.len()))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        world(|world| world.write(self.key as usize, &slices[0], len))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        world(|world| world.send(self.key as usize, Sent::End));
        Ok(())
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        world(|world| {
            world.gone += 1;
            world.sent[self.key as usize] = Sent::Absent;
        });
    }
}

/// As many as mio is asked for.
const EVENTS_PER_POLL: usize = 256;

const PING: u8 = 0x89;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost:8765\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

// The masking keys are zeros, so that what stands here can be read.
const CHAT: &[u8] = b"\x81\xc0\0\0\0\0{\"type\":\"chat\",\"msg\":\"hello, all of you who may be listening!!\"}";
const ECHO: &[u8] = b"\x82\xc0\0\0\0\0an echo of 64 bytes: they come back to whoever has sent them....";

/// What a server sends of either.
pub(crate) const FRAME_BYTES: usize = 2 + 64;
