//! R6, R10, R13: a crowd at the door, one that sends as fast as it can, one message to many: and the others beside it.
//!
//! The bounds are counted in messages that the server takes from the one while the others wait, not in time. For that
//! the server runs in the thread of the test, turn by turn.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use frameloop::chat::{Echo, Hub};
use frameloop::protocol::{End, Limits, Message, Request};
use frameloop::server::{App, ConnId, Outbox};

use crate::by_hand::ByHand;
use crate::client::Client;
use crate::harness::{DEADLINE, NEVER, Running};
use crate::memory::{Alone, KIB, MIB};
use crate::wire::{BINARY, FIN, TEXT, client_frame};

/// Counts what comes with [`FLOOD`] in it before the application in it gets it.
#[derive(Debug, Default)]
struct Counting<A> {
    app: A,
    messages: usize,
    bytes: usize,
    /// How many there were when a message without it came last.
    before_other: Cell<Option<usize>>,
}

impl<A: App> App for Counting<A> {
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        self.app.on_open(id, request, out);
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        if message.as_bytes().ends_with(FLOOD) {
            self.messages += 1;
            self.bytes += message.as_bytes().len();
        } else {
            self.before_other.set(Some(self.messages));
        }
        self.app.on_message(id, message, out);
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        self.app.on_close(id, end, out);
    }

    fn on_drained(&mut self, id: ConnId, out: &mut impl Outbox) {
        self.app.on_drained(id, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.app.next_timeout()
    }

    fn on_timeout(&mut self, out: &mut impl Outbox) {
        self.app.on_timeout(out);
    }

    fn on_stop(&mut self, out: &mut impl Outbox) {
        self.app.on_stop(out);
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
    let mut by_hand = ByHand::new(Counting::<A>::default());
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
fn r10_others_wait_for_a_bounded_number_of_small_messages() {
    // A turn takes 1024 from one client. A few turns, since the system may deliver the others' requests a little late.
    let (messages, _) = longest_wait_beside_a_flood::<EchoToOthers>(FLOOD, b"hello", 2 + 5);
    assert!(messages <= 8 * 1024, "{messages} messages came first");
}

#[test]
fn r10_others_wait_for_a_bounded_number_of_bytes() {
    // A turn takes 512 KiB from one client.
    let flood = [&[b'x'; 50_000], FLOOD].concat();
    let (_, bytes) = longest_wait_beside_a_flood::<EchoToOthers>(&flood, b"hello", 2 + 5);
    assert!(bytes <= 4 * 1024 * 1024, "{bytes} bytes came first");
}

#[test]
fn r10_who_comes_in_a_turn_is_before_the_flood_that_goes_on() {
    let mut by_hand = ByHand::new(Counting::<EchoToOthers>::default());
    let (mut other, mut flooder) = (by_hand.open(), by_hand.open());
    let (frame, request) = (client_frame(FIN | TEXT, FLOOD), client_frame(FIN | TEXT, b"hello"));
    let mut written = 0;
    for _ in 0..20 {
        fill(&mut flooder, &frame, &mut written);
        by_hand.turn(); // the flood has more than its share, and goes on in the next turn
        other.write_all(&request).unwrap();
        let deadline = Instant::now() + DEADLINE;
        let (before, before_other) = loop {
            let before = by_hand.server.app().messages;
            by_hand.turn();
            if let Some(before_other) = by_hand.server.app().before_other.take() {
                break (before, before_other);
            }
            assert!(Instant::now() < deadline, "the request does not come");
        };
        assert_eq!(before_other - before, 0, "messages of the flood came first");
        assert!(by_hand.server.app().messages > before, "the flood had its share behind it");
        by_hand.turn_until_received(&mut other, 2 + 5);
    }
}

#[test]
fn r13_others_wait_for_a_bounded_number_of_broadcasts() {
    // A turn makes 16,384 deliveries: 82 chats in this room. Without that bound it would be 1024.
    let flood = br#"{"type":"chat","m":"!"}"#;
    let mut by_hand = ByHand::new(Counting::<Hub>::default());
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
                by_hand.turn();
            }
        }
    }
    assert!(seen <= 6 * 82, "{seen} chats came first");
    assert!(by_hand.server.app().messages < written / frame.len(), "the flood was over");
}

#[test]
fn r6_a_crowd_at_the_door_does_not_hold_up_those_inside() {
    let mut by_hand = ByHand::new(EchoToOthers);
    let mut inside = by_hand.open();
    let crowd: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(by_hand.address()).unwrap()).collect();
    inside.write_all(&client_frame(FIN | TEXT, b"hello")).unwrap();
    by_hand.turn_until_received(&mut inside, 2 + 5);
    // Those whom the server has accepted see an orderly end of it, those who still wait at the door a reset.
    drop(by_hand);
    let is_accepted = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut end = || stream.read(&mut [0]).map_err(|error| error.kind());
        let end = std::iter::repeat_with(&mut end).find(|end| *end != Err(ErrorKind::Interrupted)).unwrap();
        assert!([Ok(0), Err(ErrorKind::ConnectionReset)].contains(&end), "{end:?}");
        end.is_ok()
    };
    let accepted = crowd.into_iter().map(is_accepted).filter(|&is_accepted| is_accepted).count();
    assert!((1..=4 * 64).contains(&accepted), "{accepted} came first, and a turn accepts 64");
}

#[test]
fn r6_a_crowd_at_the_door_gets_in() {
    let mut by_hand = ByHand::new(EchoToOthers);
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
fn r10_fifty_converse_while_one_sends_and_receives_at_full_speed() {
    let server = Running::echo(Limits { ping_interval: NEVER, ..Limits::default() });
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
                match reader.read(&mut bytes) {
                    Ok(0) => return total,
                    Ok(count) => total += count,
                    // Another test's child process ended.
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
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

#[test]
fn r6_connections_that_fail_while_they_are_accepted_cost_the_next_one_nothing() {
    let mut by_hand = ByHand::new(EchoToOthers);
    // ECONNABORTED, EPROTO, EINTR, EPERM (a firewall), ENETDOWN: the listener reports those who wait behind only once.
    let errors = [103, 71, 4, 1, 100].repeat(20).into_iter().map(io::Error::from_raw_os_error);
    by_hand.watch.borrow_mut().accept_errors.extend(errors);
    // A crowd, and then nobody: no later connection wakes the listener for those who wait.
    let mut crowd: Vec<TcpStream> = (0..100).map(|_| by_hand.connect()).collect();
    for stream in &mut crowd {
        stream.write_all(b"\n").unwrap();
    }
    for stream in &mut crowd {
        by_hand.turn_until_received(stream, b"HTTP/1.1 400".len());
    }
    assert!(by_hand.watch.borrow().accept_errors.is_empty(), "it met them all");
}

#[test]
fn r13_what_many_say_in_one_turn_leaves_in_one_write_for_each_reader() {
    const CHATS: usize = 50;
    let mut by_hand = ByHand::new(Hub::default());
    let mut members: Vec<TcpStream> = (0..101).map(|_| by_hand.open()).collect();
    let chat = client_frame(FIN | TEXT, br#"{"type":"chat","m":"?"}"#);
    by_hand.watch.borrow_mut().writes.clear();
    let (sender, readers) = members.split_first_mut().unwrap();
    sender.write_all(&chat.repeat(CHATS)).unwrap();
    for reader in &mut *readers {
        by_hand.turn_until_received(reader, CHATS * (2 + 23));
    }
    let watch = by_hand.watch.borrow();
    let writes: usize = watch.writes.values().sum();
    // The system may deliver the chats in a few pieces, each of which is a turn.
    assert!(writes <= 4 * readers.len(), "{writes} writes of {} frames", CHATS * readers.len());
    assert_eq!(watch.writes.len(), readers.len(), "the sender hears nothing");
}

#[test]
fn r13_messages_that_are_not_long_and_come_in_one_read_leave_in_one_write() {
    let mut by_hand = ByHand::new(Echo);
    let mut client = by_hand.open();
    let frame = client_frame(FIN | BINARY, &[7; 10_000]);
    // The system may deliver them in pieces, but not each time.
    let writes: Vec<usize> = (0..20)
        .map(|_| {
            by_hand.watch.borrow_mut().writes.clear();
            client.write_all(&frame.repeat(3)).unwrap();
            by_hand.turn_until_received(&mut client, 3 * (4 + 10_000));
            by_hand.watch.borrow().writes.values().sum()
        })
        .collect();
    assert!(writes.contains(&1), "{writes:?} writes of 3 messages");
}

#[cfg(target_os = "linux")]
#[test]
fn r13_a_message_that_waits_for_forty_readers_is_held_once() {
    let mut server = Alone::start(&["serve", "--max-queue", "16MiB", "--ping-interval", "60m"]);
    let readers: Vec<Client> =
        (0..40).map(|_| Client::connect_with_small_buffers(server.address()).upgrade()).collect();
    let mut sender = Client::open(server.address());
    let mut witness = Client::open(server.address());
    let chat = |number: usize| format!(r#"{{"type":"chat","n":{number},"m":"{}"}}"#, "x".repeat(500 * KIB));
    let mut say = |number: usize| {
        sender.send_text(&chat(number));
        assert!(witness.text() == chat(number));
    };
    say(0);
    let before = server.resident_bytes();
    // The system holds some megabytes for each reader; the rest, more than 100 MiB together, is in the server's queues.
    for number in 1..15 {
        say(number);
    }
    let grown = server.resident_bytes_peak().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes for {} readers", readers.len());
    server.expect_alive();
    drop(readers);
    server.stop();
}
