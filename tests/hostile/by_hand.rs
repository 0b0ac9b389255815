//! A server in the thread of the test that does a turn only when it is told to, on a network that counts and errs.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use frameloop::protocol::Limits;
use frameloop::server::net::{Net, Ready, Transport};
use frameloop::server::tcp::Tcp;
use frameloop::server::{App, Config, Server};

use crate::harness::{DEADLINE, NEVER, config};
use crate::wire::REQUEST_HEAD;

/// What goes over the network, and what goes wrong on it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Calls of write, and bytes that they took, by the key of the peer.
    pub(crate) writes: HashMap<usize, usize>,
    pub(crate) bytes_written: HashMap<usize, usize>,
    /// Events that come with each poll beside the real ones.
    pub(crate) false_events: Vec<Ready>,
    /// The errors of the next attempts to accept.
    pub(crate) accept_errors: VecDeque<io::Error>,
    /// Connections that were accepted and not dropped.
    pub(crate) transports: usize,
    /// The server's clock, since its start. While there is one it never waits: time passes by hand.
    pub(crate) clock: Option<Duration>,
}

pub(crate) struct ByHand<A: App> {
    pub(crate) server: Server<A, WatchedNet>,
    pub(crate) watch: Rc<RefCell<Watch>>,
    address: SocketAddr,
}

impl<A: App> ByHand<A> {
    /// It pings nobody.
    pub(crate) fn new(app: A) -> ByHand<A> {
        ByHand::with(&config(Limits { ping_interval: NEVER, ..Limits::default() }), app)
    }

    pub(crate) fn with(config: &Config, app: A) -> ByHand<A> {
        rlimit::increase_nofile_limit(u64::MAX).unwrap();
        let tcp = Tcp::bind(config).expect("the address can be listened on");
        let address = tcp.addresses()[0];
        let watch: Rc<RefCell<Watch>> = Rc::default();
        let server = Server::with_net(WatchedNet { tcp, start: Instant::now(), watch: watch.clone() }, config, app);
        ByHand { server, watch, address }
    }

    /// A server whose time passes by hand.
    pub(crate) fn with_clock(config: &Config, app: A) -> ByHand<A> {
        let by_hand = ByHand::with(config, app);
        by_hand.watch.borrow_mut().clock = Some(Duration::ZERO);
        by_hand
    }

    /// The time passes, and then comes a turn.
    pub(crate) fn pass(&mut self, time: Duration) {
        *self.watch.borrow_mut().clock.as_mut().expect("the clock is in our hand") += time;
        self.turn();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn turn(&mut self) {
        assert!(self.server.turn().unwrap(), "nobody has stopped it");
    }

    /// Turns until the client has received so many bytes. Returns the number of turns.
    pub(crate) fn turn_until_received(&mut self, stream: &mut TcpStream, count: usize) -> usize {
        let mut bytes = vec![0; count];
        self.turn_until_filled(stream, &mut bytes)
    }

    /// Turns until the client has received these bytes.
    pub(crate) fn turn_until_equal(&mut self, stream: &mut TcpStream, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        self.turn_until_filled(stream, &mut bytes);
        assert!(bytes == expected, "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(100)]));
    }

    /// Turns until the client has received as many bytes as there is room for. Returns the number of turns.
    pub(crate) fn turn_until_filled(&mut self, stream: &mut TcpStream, bytes: &mut [u8]) -> usize {
        let deadline = Instant::now() + DEADLINE;
        let (mut turns, mut filled) = (0, 0);
        loop {
            if filled == bytes.len() {
                return turns;
            }
            match stream.read(&mut bytes[filled..]) {
                Ok(0) => panic!("the server ended the connection"),
                Ok(read) => {
                    filled += read;
                    continue;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(Instant::now() < deadline, "no answer after {turns} turns");
            self.turn();
            turns += 1;
        }
    }

    /// A TCP connection that never blocks, without a byte sent.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    /// An open connection that never blocks.
    pub(crate) fn open(&mut self) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(REQUEST_HEAD).unwrap();
        self.turn_until_equal(&mut stream, RESPONSE_HEAD);
        stream
    }
}

/// What answers [`REQUEST_HEAD`].
pub(crate) const RESPONSE_HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The real network under a [`Watch`].
#[derive(Debug)]
pub(crate) struct WatchedNet {
    tcp: Tcp,
    start: Instant,
    watch: Rc<RefCell<Watch>>,
}

#[derive(Debug)]
pub(crate) struct WatchedTransport {
    transport: <Tcp as Net>::Transport,
    key: usize,
    watch: Rc<RefCell<Watch>>,
}

impl Net for WatchedNet {
    type Transport = WatchedTransport;

    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        let is_by_hand = self.watch.borrow().clock.is_some();
        // Never without end: a server that waits for what it has missed must fail its test.
        let most = if is_by_hand { Duration::ZERO } else { DEADLINE / 10 };
        self.tcp.poll(ready, Some(timeout.unwrap_or(most).min(most)))?;
        ready.extend_from_slice(&self.watch.borrow().false_events);
        Ok(())
    }

    fn now(&mut self) -> Instant {
        self.watch.borrow().clock.map_or_else(|| self.tcp.now(), |clock| self.start + clock)
    }

    fn accept(&mut self, listener: usize) -> io::Result<(WatchedTransport, SocketAddr)> {
        if let Some(error) = self.watch.borrow_mut().accept_errors.pop_front() {
            return Err(error);
        }
        let (transport, address) = self.tcp.accept(listener)?;
        Ok((WatchedTransport::new(transport, self.watch.clone()), address))
    }

    fn refuse_next(&mut self, listener: usize, refuse: impl FnOnce(WatchedTransport)) -> io::Result<SocketAddr> {
        let watch = self.watch.clone();
        self.tcp.refuse_next(listener, |transport| refuse(WatchedTransport::new(transport, watch)))
    }

    fn register(&mut self, transport: &mut WatchedTransport, key: usize) -> io::Result<()> {
        transport.key = key;
        self.tcp.register(&mut transport.transport, key)
    }

    fn stop_requests(&mut self) -> usize {
        self.tcp.stop_requests()
    }

    fn stop_listening(&mut self) {
        self.tcp.stop_listening();
    }
}

impl WatchedTransport {
    fn new(transport: <Tcp as Net>::Transport, watch: Rc<RefCell<Watch>>) -> WatchedTransport {
        watch.borrow_mut().transports += 1;
        WatchedTransport { transport, key: usize::MAX, watch }
    }

    fn note_write(&self, result: io::Result<usize>) -> io::Result<usize> {
        let mut watch = self.watch.borrow_mut();
        *watch.writes.entry(self.key).or_default() += 1;
        *watch.bytes_written.entry(self.key).or_default() += *result.as_ref().unwrap_or(&0);
        result
    }
}

impl Drop for WatchedTransport {
    fn drop(&mut self) {
        self.watch.borrow_mut().transports -= 1;
    }
}

impl Transport for WatchedTransport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Transport::read(&mut self.transport, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = Transport::write(&mut self.transport, bytes);
        self.note_write(result)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = Transport::write_vectored(&mut self.transport, slices);
        self.note_write(result)
    }

    fn write_last(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.transport.write_last(bytes);
        self.note_write(result)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.transport.shutdown_write()
    }
}
