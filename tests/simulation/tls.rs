//! The same world with TLS between the server and its clients: nothing of it may get lost, stay behind or come out of order
//! whatever the sockets below do. The clients speak it through rustls, and take and send their bytes in pieces of any size.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use frameloop::protocol::{CloseCode, Limits, Message, SharedFrame};
use frameloop::server::net::{Net, Ready};
use frameloop::server::tls::{Acceptor, Tls};
use frameloop::server::{App, Config, ConnId, Outbox, Server};
use rustls::ClientConnection;
use rustls::version::{TLS12, TLS13};

use super::files::{FIRST, client_config};
use super::net::{SimNet, SimTransport};
use super::random::Random;
use super::wire::{BINARY, CLOSE, PING, PONG, TEXT, next_frame, push_frame};
use super::world::{Faults, Shared, World};

/// Runs a seed. Returns how many clients saw each end.
pub(crate) fn run(seed: u64) -> Ends {
    let mut run = Run::new(seed);
    for _ in 0..150 {
        if run.clients.len() < 8 && run.random.one_in(8) {
            run.connect();
        }
        run.step();
        run.act();
    }
    run.world.borrow_mut().faults = Faults::default();
    for client in &mut run.clients {
        client.is_lazy = false;
    }
    run.step_until("all replies are there", |client| {
        (client.is_open && client.expected.is_empty() && !client.has_notified) || client.is_broken
    });
    match seed % 3 {
        0 => run.world.borrow_mut().stops = 1,
        1 => run.clients.iter_mut().for_each(Client::close),
        _ => {}
    }
    if seed % 3 < 2 {
        run.step_until("all are closed", |_| false);
    }
    run.clients.iter_mut().for_each(|client| client.vanish(&run.world));
    run.world.borrow_mut().stops += usize::from(!seed.is_multiple_of(3));
    for _ in 0..STEPS_MAX {
        if !run.server.turn().unwrap() {
            return run.ends;
        }
    }
    panic!("the server does not stop");
}

/// How clients ended.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) closed: usize,
    pub(crate) overloaded: usize,
    pub(crate) lost: usize,
    pub(crate) half_closed: usize,
    pub(crate) failed: usize,
    pub(crate) refused: usize,
}

impl Ends {
    pub(crate) fn add(&mut self, other: &Ends) {
        self.closed += other.closed;
        self.overloaded += other.overloaded;
        self.lost += other.lost;
        self.half_closed += other.half_closed;
        self.failed += other.failed;
        self.refused += other.refused;
    }
}

/// Sends each message back. To a text it says so often what makes bursts.
struct Bursts;

impl App for Bursts {
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        let Message::Text(text) = &message else { return out.send(id, message) };
        let count: usize = text.parse().unwrap();
        let frame = SharedFrame::binary(&[7; BURST_PAYLOAD_BYTES]);
        for _ in 0..count {
            out.send_shared(id, &frame);
        }
    }
}

struct TlsNet {
    net: SimNet,
    acceptor: Acceptor,
}

impl Net for TlsNet {
    type Transport = Tls<SimTransport>;

    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        self.net.poll(ready, timeout)
    }

    fn now(&mut self) -> Instant {
        self.net.now()
    }

    fn accept(&mut self, listener: usize) -> io::Result<(Self::Transport, SocketAddr)> {
        let (transport, address) = self.net.accept(listener)?;
        Ok((self.acceptor.accept(transport)?, address))
    }

    fn refuse_next(&mut self, listener: usize, refuse: impl FnOnce(Self::Transport)) -> io::Result<SocketAddr> {
        let acceptor = &self.acceptor;
        self.net.refuse_next(listener, |transport| refuse(acceptor.accept(transport).unwrap()))
    }

    fn register(&mut self, transport: &mut Self::Transport, key: usize) -> io::Result<()> {
        self.net.register(transport.socket_mut(), key)
    }

    fn stop_requests(&mut self) -> usize {
        self.net.stop_requests()
    }

    fn stop_listening(&mut self) {
        self.net.stop_listening();
    }
}

struct Run {
    random: Random,
    world: Shared,
    server: Server<Bursts, TlsNet>,
    clients: Vec<Client>,
    ends: Ends,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut random = Random::new(seed ^ 0x715);
        let world = Rc::new(RefCell::new(World::new(seed)));
        world.borrow_mut().wait_max = Duration::from_secs(1);
        let never = Duration::from_secs(100_000);
        let limits = Limits {
            handshake_timeout: never,
            slow_timeout: never,
            close_timeout: never,
            ping_interval: Duration::from_secs(2), // pongs and pings go between the frames that wait
            ping_misses_max: u8::MAX,
            queue_bytes_max: random.pick(&[64 * 1024, 1 << 30]),
            ..Limits::default()
        };
        let net = TlsNet { net: SimNet(world.clone()), acceptor: Acceptor::load(&FIRST.files()).unwrap() };
        let connections_max = random.pick(&[3, usize::MAX]);
        let server = Server::with_net(net, &Config { limits, connections_max, ..Config::default() }, Bursts);
        Run { random, world, server, clients: Vec::new(), ends: Ends::default() }
    }

    fn connect(&mut self) {
        let version = if self.random.one_in(2) { &TLS12 } else { &TLS13 };
        let index = self.world.borrow_mut().connect(0);
        let mut session = ClientConnection::new(client_config(&[version]), "localhost".try_into().unwrap()).unwrap();
        session.set_buffer_limit(None);
        session.writer().write_all(REQUEST).unwrap();
        self.clients.push(Client {
            index,
            session,
            received: Vec::new(),
            outgoing: VecDeque::new(),
            is_open: false,
            is_lazy: self.random.one_in(4),
            expected: VecDeque::new(),
            close_code: None,
            has_ended: false,
            has_notified: false,
            is_refused: false,
            is_broken: false,
        });
    }

    /// The clients, and then the server.
    fn step(&mut self) {
        let (world, random, ends) = (&self.world, &mut self.random, &mut self.ends);
        self.clients.retain_mut(|client| !client.step(world, random, ends));
        assert!(self.server.turn().unwrap(), "nobody has stopped it");
    }

    fn step_until(&mut self, what: &str, is_done: impl Fn(&Client) -> bool) {
        for _ in 0..STEPS_MAX {
            let (world, random, ends) = (&self.world, &mut self.random, &mut self.ends);
            self.clients.retain_mut(|client| !client.step(world, random, ends));
            if self.clients.iter().all(&is_done) {
                return;
            }
            self.server.turn().unwrap();
        }
        let sockets: Vec<_> = self.clients.iter().map(|client| client.index).collect();
        let world = self.world.borrow();
        let sockets: Vec<_> = sockets.iter().map(|&index| &world.sockets[index]).collect();
        panic!("waited in vain until {what}: {:#?} {sockets:#?}", self.clients);
    }

    /// Some client does something.
    fn act(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let at = self.random.below(self.clients.len());
        let (client, random) = (&mut self.clients[at], &mut self.random);
        if !client.is_open || client.has_ended {
            return;
        }
        match random.below(100) {
            0 => client.close(),
            1 => {
                client.session.send_close_notify();
                (client.has_ended, client.has_notified) = (true, true);
                self.ends.half_closed += 1;
            }
            2 => {
                client.vanish(&self.world);
                self.clients.remove(at);
                self.ends.lost += 1;
            }
            3 => {
                // Not TLS any more: an alert, and the end.
                let mut world = self.world.borrow_mut();
                let now = world.now;
                world.sockets[client.index].send([0x99; 40].into_iter(), now, Duration::ZERO);
                (client.has_ended, client.is_broken) = (true, true);
                self.ends.failed += 1;
            }
            4..8 => client.is_lazy = !client.is_lazy,
            8..12 => drop(client.session.refresh_traffic_keys()), // version 1.2 knows none
            12..16 => {
                let count = random.pick(&[1, 5, 12, 40]);
                push_frame(&mut client.outgoing, TEXT, count.to_string().as_bytes(), random);
                client.expected.extend(vec![vec![7; BURST_PAYLOAD_BYTES]; count]);
            }
            16..60 => {
                let most = random.pick(&[1, 100, 20_000, 60_000]);
                let payload: Vec<u8> = (0..random.below(most)).map(|i| i as u8).collect();
                push_frame(&mut client.outgoing, BINARY, &payload, random);
                client.expected.push_back(payload);
            }
            _ => {}
        }
    }
}

struct Client {
    index: usize,
    session: ClientConnection,
    /// Plaintext of the server's that is no whole frame.
    received: Vec<u8>,
    /// Plaintext for the server.
    outgoing: VecDeque<u8>,
    is_open: bool,
    /// It reads little and seldom.
    is_lazy: bool,
    /// Payloads that the server still has to send.
    expected: VecDeque<Vec<u8>>,
    /// Of the server's Close frame.
    close_code: Option<u16>,
    /// It says nothing more, and expects no Close frame.
    has_ended: bool,
    /// It said `close_notify`, and may be dropped without one.
    has_notified: bool,
    /// It was told that there is no room.
    is_refused: bool,
    /// What it said last was no TLS. It has no right to anything.
    is_broken: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = (self.received.len(), self.outgoing.len(), self.expected.len());
        write!(f, "Client {} {sizes:?} {} {:?} {}", self.index, self.is_open, self.close_code, self.has_ended)
    }
}

impl Client {
    /// Takes and sends a part of what there is. Returns whether it is gone.
    fn step(&mut self, world: &Shared, random: &mut Random, ends: &mut Ends) -> bool {
        self.take(world, random);
        while self.session.process_new_packets().is_ok() && !self.outgoing.is_empty() {
            // Records of all sizes, a byte each at times.
            let count = 1 + random.pick(&[1, 10, 1000, 40_000]);
            let piece: Vec<u8> = self.outgoing.drain(..count.min(self.outgoing.len())).collect();
            self.session.writer().write_all(&piece).unwrap();
            if random.one_in(3) {
                break;
            }
        }
        let mut ciphertext = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut ciphertext).unwrap();
        }
        let mut world = world.borrow_mut();
        let delay = if world.has_delay() { random.up_to(Duration::from_secs(1)) } else { Duration::ZERO };
        let now = world.now;
        let socket = &mut world.sockets[self.index];
        if !ciphertext.is_empty() {
            socket.send(ciphertext.into_iter(), now, delay);
        }
        if !socket.is_at_end() {
            return false;
        }
        socket.finish(now, delay);
        if socket.is_reset {
            ends.lost += 1; // by a fault, with what it was told last
            return true;
        }
        assert!(self.received.is_empty() || self.close_code.is_none(), "something came behind the Close frame");
        match self.close_code {
            Some(1013) => ends.overloaded += 1,
            Some(_) => ends.closed += 1,
            None if self.is_refused => ends.refused += 1,
            // It was not accepted, or not registered; or it asked for no better.
            None => assert!(self.has_ended || !self.is_open, "the server ended client {}", self.index),
        }
        if self.close_code.is_some_and(|code| code != 1013) && !self.has_ended {
            assert!(self.expected.is_empty(), "client {} did not get all: {}", self.index, self.expected.len());
        }
        true
    }

    /// Takes some bytes from the socket, and reads what they say.
    fn take(&mut self, shared: &Shared, random: &mut Random) {
        if self.is_lazy && !random.one_in(5) {
            return;
        }
        let mut world = shared.borrow_mut();
        let outbound = &mut world.sockets[self.index].outbound;
        let most = if self.is_lazy { 500 } else { 100_000 };
        let count = outbound.len().min(1 + random.below(most));
        let ciphertext: Vec<u8> = outbound.drain(..count).collect();
        let is_ended = world.sockets[self.index].is_at_end() && !world.sockets[self.index].is_reset;
        drop(world);
        let mut left = &ciphertext[..];
        while !left.is_empty() {
            if self.session.read_tls(&mut left).unwrap() == 0 {
                panic!("the server says something behind close_notify");
            }
            if let Err(error) = self.session.process_new_packets() {
                assert!(self.is_broken || !self.is_open, "client {}: {error}", self.index);
                return;
            }
            let has_notify = match self.session.reader().read_to_end(&mut self.received) {
                Ok(_) => true,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            self.read_frames(random);
            let is_told = self.close_code.is_some() || self.has_ended || !self.is_open;
            assert!(!has_notify || is_told, "§7.1.1: no Close frame before close_notify");
        }
        let is_whole = is_ended && self.close_code.is_some() && !self.has_notified && !self.is_broken;
        assert!(
            !is_whole || matches!(self.session.reader().read(&mut [0]), Ok(0)),
            "client {}: no close_notify",
            self.index
        );
    }

    fn read_frames(&mut self, random: &mut Random) {
        if !self.is_open {
            let Some(end) = self.received.windows(4).position(|end| end == b"\r\n\r\n") else { return };
            let head: Vec<u8> = self.received.drain(..end + 4).collect();
            self.is_open = head.starts_with(b"HTTP/1.1 101 ");
            assert!(self.is_open || head.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&head));
            if !self.is_open {
                self.is_refused = true;
                return self.received.clear();
            }
        }
        let mut taken = 0;
        while let Some((first, payload, len)) = next_frame(&self.received[taken..]) {
            match first {
                PING => push_frame(&mut self.outgoing, PONG, payload, random),
                CLOSE => {
                    assert_eq!(self.close_code, None, "§5.5.1: one Close frame");
                    self.close_code = Some(u16::from_be_bytes([payload[0], payload[1]]));
                    if !self.has_ended {
                        push_frame(&mut self.outgoing, CLOSE, &payload[..2], random);
                        self.has_ended = true;
                    }
                }
                _ => {
                    assert!(self.close_code.is_none(), "§5.5.1: nothing behind a Close frame");
                    let expected = self.expected.pop_front().expect("nothing that it was not to send");
                    assert!(first == BINARY && payload == expected, "client {}: another message", self.index);
                }
            }
            taken += len;
        }
        self.received.drain(..taken);
        if self.close_code == Some(1013) {
            self.expected.clear();
        }
    }

    fn close(&mut self) {
        if self.is_open && !self.has_ended {
            let mut random = Random::new(1);
            let code = CloseCode::NORMAL.number().to_be_bytes();
            push_frame(&mut self.outgoing, CLOSE, &code, &mut random);
            self.has_ended = true;
        }
    }

    /// The connection breaks.
    fn vanish(&mut self, world: &Shared) {
        world.borrow_mut().sockets[self.index].reset(false);
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const BURST_PAYLOAD_BYTES: usize = 3000;

/// More than anything takes.
const STEPS_MAX: usize = 100_000;
