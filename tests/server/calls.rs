//! How often the server asks the system, by a network that notes each call: one too many costs everybody.
//!
//! Each is one call of the real network too, but for the clock, which is none on Linux.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use frameloop::chat::Echo;
use frameloop::server::net::{Net, Ready, Transport};
use frameloop::server::{Config, Server};

use crate::wire::{BINARY, CLOSE, FIN, REQUEST_HEAD, ServerFrame, client_frame, close_payload, server_frames};

/// A call, with the bytes that it moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Poll,
    Accept,
    /// It finds nobody: only then the listener will tell of the next one.
    AcceptNobody,
    Register,
    Read(usize),
    /// Slices and their bytes.
    Write(usize, usize),
    /// Together with the end of the connection.
    WriteLast(usize),
    ShutdownWrite,
    /// The socket is closed.
    Drop,
}

/// What goes between the server and its one client. All that was sent is there, and all that is written fits.
#[derive(Debug)]
struct Wire {
    now: Instant,
    calls: Vec<Call>,
    is_waiting: bool,
    /// The client has ended its side.
    has_end: bool,
    inbound: VecDeque<u8>,
    outbound: Vec<u8>,
    /// Not reported yet.
    ready: Vec<Ready>,
}

type Shared = Rc<RefCell<Wire>>;

#[derive(Debug)]
struct WireNet(Shared);

#[derive(Debug)]
struct WireTransport(Shared);

impl Net for WireNet {
    type Transport = WireTransport;

    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        let mut wire = self.0.borrow_mut();
        if wire.ready.is_empty() && timeout != Some(Duration::ZERO) {
            return Err(ErrorKind::WouldBlock.into()); // here it would wait, so that the scene is over
        }
        wire.calls.push(Call::Poll);
        ready.append(&mut wire.ready);
        Ok(())
    }

    fn now(&mut self) -> Instant {
        self.0.borrow().now
    }

    fn accept(&mut self, _listener: usize) -> io::Result<(WireTransport, SocketAddr)> {
        let mut wire = self.0.borrow_mut();
        if !std::mem::take(&mut wire.is_waiting) {
            wire.calls.push(Call::AcceptNobody);
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.calls.push(Call::Accept);
        Ok((WireTransport(self.0.clone()), SocketAddr::from(([127, 0, 0, 1], 1))))
    }

    fn refuse_next(&mut self, _listener: usize, _refuse: impl FnOnce(WireTransport)) -> io::Result<SocketAddr> {
        unreachable!("there are descriptors")
    }

    fn register(&mut self, _transport: &mut WireTransport, key: usize) -> io::Result<()> {
        assert_eq!(key, 0, "there is one client");
        self.0.borrow_mut().calls.push(Call::Register);
        Ok(())
    }

    fn stop_requests(&mut self) -> usize {
        0
    }

    fn stop_listening(&mut self) {}
}

impl WireTransport {
    fn take(&self, call: Call, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.calls.push(call);
        wire.outbound.extend_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Transport for WireTransport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let count = wire.inbound.len().min(buffer.len());
        io::Read::read_exact(&mut wire.inbound, &mut buffer[..count])?;
        wire.calls.push(Call::Read(count));
        if count == 0 && !wire.has_end { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(Call::Write(1, bytes.len()), bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.take(Call::Write(slices.len(), bytes.len()), &bytes)
    }

    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(Call::WriteLast(bytes.len()), bytes)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.take(Call::ShutdownWrite, &[]).map(drop)
    }
}

impl Drop for WireTransport {
    fn drop(&mut self) {
        self.0.borrow_mut().calls.push(Call::Drop);
    }
}

/// `frameloop echo` with its client.
struct Scene {
    server: Server<Echo, WireNet>,
    wire: Shared,
}

impl Scene {
    fn new() -> Scene {
        let wire = Wire {
            now: Instant::now(),
            calls: Vec::new(),
            is_waiting: false,
            has_end: false,
            inbound: VecDeque::new(),
            outbound: Vec::new(),
            ready: Vec::new(),
        };
        let wire = Rc::new(RefCell::new(wire));
        Scene { server: Server::with_net(WireNet(wire.clone()), &Config::default(), Echo), wire }
    }

    /// A scene with an open connection.
    fn open() -> Scene {
        let mut scene = Scene::new();
        scene.connect();
        scene.send(REQUEST_HEAD);
        assert!(scene.heard().starts_with(b"HTTP/1.1 101 "));
        scene
    }

    /// A client connects; the calls that this leads to.
    fn connect(&mut self) -> Vec<Call> {
        self.wire.borrow_mut().is_waiting = true;
        self.run(Ready::Listener(0))
    }

    /// The client sends all this at once.
    fn send(&mut self, bytes: &[u8]) -> Vec<Call> {
        self.wire.borrow_mut().inbound.extend(bytes);
        self.run(Ready::Peer { key: 0, is_readable: true, is_read_closed: false, is_writable: false })
    }

    /// The client ends its side.
    fn end(&mut self) -> Vec<Call> {
        self.wire.borrow_mut().has_end = true;
        self.run(Ready::Peer { key: 0, is_readable: true, is_read_closed: true, is_writable: false })
    }

    /// The calls up to where the server waits again.
    fn run(&mut self, ready: Ready) -> Vec<Call> {
        self.wire.borrow_mut().ready.push(ready);
        while self.server.turn().is_ok() {}
        std::mem::take(&mut self.wire.borrow_mut().calls)
    }

    /// What the server has written.
    fn heard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.wire.borrow_mut().outbound)
    }
}

/// What a client sends of a message is so much longer, by its masking key.
const KEY_BYTES: usize = 4;

#[test]
fn a_message_is_one_read_and_one_write() {
    let mut scene = Scene::open();
    for _ in 0..3 {
        let calls = scene.send(&client_frame(FIN | BINARY, &[7; 64]));
        assert_eq!(calls, [Call::Poll, Call::Read(66 + KEY_BYTES), Call::Write(1, 66)]);
        assert_eq!(server_frames(&scene.heard()), [ServerFrame::new(BINARY, &[7; 64])]);
    }
}

#[test]
fn sixteen_messages_in_one_segment_are_one_read_and_one_write() {
    let mut scene = Scene::open();
    let messages: Vec<[u8; 64]> = (0..16).map(|number| [number; 64]).collect();
    let segment: Vec<u8> = messages.iter().flat_map(|message| client_frame(FIN | BINARY, message)).collect();
    let calls = scene.send(&segment);
    assert_eq!(calls, [Call::Poll, Call::Read(16 * (66 + KEY_BYTES)), Call::Write(1, 16 * 66)]);
    let echoed: Vec<ServerFrame> = messages.iter().map(|message| ServerFrame::new(BINARY, message)).collect();
    assert_eq!(server_frames(&scene.heard()), echoed);
}

#[test]
fn a_whole_connection_is_seventeen_calls() {
    let mut scene = Scene::new();
    let accepted = scene.connect();
    assert_eq!(accepted, [Call::Poll, Call::Accept, Call::Register, Call::AcceptNobody]);
    let opened = scene.send(REQUEST_HEAD);
    assert_eq!(opened, [Call::Poll, Call::Read(REQUEST_HEAD.len()), Call::Write(1, scene.heard().len())]);
    let echoed = scene.send(&client_frame(FIN | BINARY, b"hello"));
    assert_eq!(echoed, [Call::Poll, Call::Read(7 + KEY_BYTES), Call::Write(1, 7)]);
    scene.heard();
    // §7.1.1: the answer to the Close leaves with the end of our side, and the rest is up to the client.
    let closed = scene.send(&client_frame(FIN | CLOSE, &close_payload(1000, "")));
    assert_eq!(closed, [Call::Poll, Call::Read(4 + KEY_BYTES), Call::WriteLast(4), Call::ShutdownWrite]);
    assert_eq!(server_frames(&scene.heard()), [ServerFrame::new(CLOSE, &close_payload(1000, ""))]);
    let gone = scene.end();
    assert_eq!(gone, [Call::Poll, Call::Read(0), Call::Drop]);
    let count: usize = [accepted, opened, echoed, closed, gone].iter().map(Vec::len).sum();
    assert_eq!(count, 17);
}

#[test]
fn a_long_message_is_few_reads_and_one_vectored_write() {
    let mut scene = Scene::open();
    let payload: Vec<u8> = (0..1024 * 1024u32).map(|i| (i * 7) as u8).collect();
    let frame = client_frame(FIN | BINARY, &payload);
    for number in 0..3 {
        let calls = scene.send(&frame);
        // Its header is written from one place, and its payload from where it was read to.
        let written = Call::Write(2, payload.len() + 10);
        assert_eq!(calls.iter().filter(|call| matches!(call, Call::Write(..))).collect::<Vec<_>>(), [&written]);
        // The first is two halves, each a share of a turn. Behind what filled its buffer a read finds nothing more.
        let reads = calls.iter().filter(|call| matches!(call, Call::Read(_))).count();
        assert!(reads <= 3 && calls.len() <= 7, "message {number}: {calls:?}");
        assert!(server_frames(&scene.heard()) == [ServerFrame::new(BINARY, &payload)]);
    }
}
