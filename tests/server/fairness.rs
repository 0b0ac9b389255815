//! One client that sends as fast as it can, and the others beside it.
//!
//! The bounds are counted in messages that the server takes from the one while the others wait, not in time. For that
//! the server runs in the thread of the test, turn by turn.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use frameloop::chat::Hub;
use frameloop::protocol::{End, Limits, Message, Request};
use frameloop::server::{App, ConnId, Outbox, Server};

use crate::client::Client;
use crate::harness::{DEADLINE, Running, config};
use crate::wire::{BINARY, FIN, REQUEST_HEAD, TEXT, client_frame};

/// Counts what comes with [`FLOOD`] in it before the application in it gets it.
#[derive(Debug, Default)]
struct Counting<A> {
    app: A,
    messages: usize,
    bytes: usize,
}

impl<A: App> App for Counting<A> {
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        self.app.on_open(id, request, out);
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        if message.as_bytes().ends_with(FLOOD) {
            self.messages += 1;
            self.bytes += message.as_bytes().len();
        }
        self.app.on_message(id, message, out);
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        self.app.on_close(id, end, out);
    }
}

/// The end of a message of the one that sends as fast as it can.
const FLOOD: &[u8] = b"!\"}";

/// Echoes, but for the flood: its sender, who does not read, would not be read itself.
#[derive(Debug, Default)]
struct EchoToOthers;

impl App for EchoToOthers {
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        if !message.as_bytes().ends_with(FLOOD) {
            out.send(id, message);
        }
    }
}

/// A server that does a turn only when it is told to.
struct ByHand<A> {
    server: Server<Counting<A>>,
}

impl<A: App + Default> ByHand<A> {
    fn new() -> ByHand<A> {
        ByHand { server: Server::bind(&config(Limits::default()), Counting::default()).unwrap() }
    }

    fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    /// Turns until the client has received so many bytes. Returns the number of turns.
    fn turn_until_received(&mut self, stream: &mut TcpStream, mut count: usize) -> usize {
        let deadline = Instant::now() + DEADLINE;
        let mut turns = 0;
        let mut bytes = [0; 1024];
        loop {
            let room = count.min(bytes.len());
            match stream.read(&mut bytes[..room]) {
                Ok(0) => panic!("the server ended the connection"),
                Ok(read) => count -= read,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            if count == 0 {
                return turns;
            }
            assert!(Instant::now() < deadline, "no answer after {turns} turns");
            self.server.turn().unwrap();
            turns += 1;
        }
    }

    /// An open connection that never blocks.
    fn open(&mut self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.write_all(REQUEST_HEAD).unwrap();
        let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        self.turn_until_received(&mut stream, response.len());
        stream
    }
}

/// Writes frames until the system holds no more of them.
fn fill(stream: &mut TcpStream, frame: &[u8], written: &mut usize) {
    let frames = frame.repeat((1024 * 1024usize).div_ceil(frame.len()));
    loop {
        match stream.write(&frames[*written % frame.len()..]) {
            Ok(count) => *written += count,
            Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

/// Fifty others each send a request and get an answer of so many bytes, while the flood is there. Returns how many
/// messages and bytes of it the server took in the meantime, at most.
fn longest_wait_beside_a_flood<A: App + Default>(flood: &[u8], request: &[u8], answer: usize) -> (usize, usize) {
    let mut by_hand = ByHand::<A>::new();
    let mut others: Vec<TcpStream> = (0..50).map(|_| by_hand.open()).collect();
    let mut flooder = by_hand.open();
    let (frame, request) = (client_frame(FIN | TEXT, flood), client_frame(FIN | TEXT, request));
    let (mut written, mut longest) = (0, (0, 0));
    for round in 0..20 {
        fill(&mut flooder, &frame, &mut written);
        let app = by_hand.server.app();
        let (messages, bytes) = (app.messages, app.bytes);
        for other in &mut others {
            other.write_all(&request).unwrap();
        }
        for other in &mut others {
            by_hand.turn_until_received(other, answer);
        }
        let app = by_hand.server.app();
        longest = (longest.0.max(app.messages - messages), longest.1.max(app.bytes - bytes));
        assert!(app.messages < written / frame.len(), "the flood was over in round {round}");
    }
    assert!(longest.0 > 0, "the flood was not there");
    longest
}

#[test]
fn others_wait_for_a_bounded_number_of_small_messages() {
    // A turn takes 1024 from one client. A few turns, since the system may deliver the others' requests a little late.
    let (messages, _) = longest_wait_beside_a_flood::<EchoToOthers>(FLOOD, b"hello", 2 + 5);
    assert!(messages <= 8 * 1024, "{messages} messages came first");
}

#[test]
fn others_wait_for_a_bounded_number_of_bytes() {
    // A turn takes 512 KiB from one client.
    let flood = [&[b'x'; 50_000], FLOOD].concat();
    let (_, bytes) = longest_wait_beside_a_flood::<EchoToOthers>(&flood, b"hello", 2 + 5);
    assert!(bytes <= 4 * 1024 * 1024, "{bytes} bytes came first");
}

#[test]
fn others_wait_for_a_bounded_number_of_broadcasts() {
    // A turn makes 16,384 deliveries: 82 chats in this room. Without that bound it would be 1024.
    let flood = br#"{"type":"chat","m":"!"}"#;
    let mut by_hand = ByHand::<Hub>::new();
    let mut members: Vec<TcpStream> = (0..200).map(|_| by_hand.open()).collect();
    let mut flooder = by_hand.open();
    let mut written = 0;
    let frame = client_frame(FIN | TEXT, flood);
    fill(&mut flooder, &frame, &mut written);
    let chat = br#"{"type":"chat","m":"?"}"#;
    members[0].write_all(&client_frame(FIN | TEXT, chat)).unwrap();
    let mut seen = 0;
    let deadline = Instant::now() + DEADLINE;
    let (mut received, mut len) = ([0; 2 + 23], 0);
    loop {
        match members[1].read(&mut received[len..]) {
            Ok(count) => {
                assert!(count > 0, "the server ended the connection");
                len = (len + count) % received.len();
                if len == 0 && &received[2..] == chat {
                    break;
                }
                seen += usize::from(len == 0);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                assert!(Instant::now() < deadline, "no chat after {seen} of the flood");
                by_hand.server.turn().unwrap();
            }
        }
    }
    assert!(seen <= 6 * 82, "{seen} chats came first");
    assert!(by_hand.server.app().messages < written / frame.len(), "the flood was over");
}

#[test]
fn a_crowd_at_the_door_does_not_hold_up_those_inside() {
    let mut by_hand = ByHand::<EchoToOthers>::new();
    let mut inside = by_hand.open();
    let crowd: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(by_hand.address()).unwrap()).collect();
    inside.write_all(&client_frame(FIN | TEXT, b"hello")).unwrap();
    by_hand.turn_until_received(&mut inside, 2 + 5);
    // Those whom the server has accepted see an orderly end of it, those who still wait at the door a reset.
    drop(by_hand);
    let is_accepted = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let end = stream.read(&mut [0]).map_err(|error| error.kind());
        assert!([Ok(0), Err(ErrorKind::ConnectionReset)].contains(&end), "{end:?}");
        end.is_ok()
    };
    let accepted = crowd.into_iter().map(is_accepted).filter(|&is_accepted| is_accepted).count();
    assert!((1..=4 * 64).contains(&accepted), "{accepted} came first, and a turn accepts 64");
}

#[test]
fn a_crowd_at_the_door_gets_in() {
    let mut by_hand = ByHand::<EchoToOthers>::new();
    let mut crowd: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(by_hand.address()).unwrap()).collect();
    for stream in &mut crowd {
        stream.set_nonblocking(true).unwrap();
        stream.write_all(b"\n").unwrap();
    }
    for stream in &mut crowd {
        by_hand.turn_until_received(stream, b"HTTP/1.1 400".len());
    }
}

#[test]
fn fifty_converse_while_one_sends_and_receives_at_full_speed() {
    let server = Running::echo(Limits::default());
    let flooder = Client::open(server.address());
    let (mut writer, mut reader) = (flooder.writer(), flooder.writer());
    let mut others: Vec<Client> = (0..50).map(|_| Client::open(server.address())).collect();
    let is_over = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let frames = client_frame(FIN | BINARY, b"flood").repeat(10_000);
            while !is_over.load(Ordering::Relaxed) && start.elapsed() < DEADLINE {
                writer.write_all(&frames).unwrap();
            }
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let receiving = scope.spawn(move || {
            let (mut total, mut bytes) = (0, vec![0; 1024 * 1024]);
            reader.set_read_timeout(Some(DEADLINE)).unwrap();
            loop {
                match reader.read(&mut bytes).unwrap() {
                    0 => return total,
                    count => total += count,
                }
            }
        });
        for round in 0..20 {
            for (number, other) in others.iter_mut().enumerate() {
                other.exchange(&format!("round {round} of client {number}"));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(start.elapsed() < DEADLINE, "{:?} for 1000 exchanges", start.elapsed());
        let received = receiving.join().unwrap();
        assert!(received > 0 && received % 7 == 0, "the flood went on as well: {received} bytes");
    });
}
