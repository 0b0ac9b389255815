//! R7, R8, R9, R14: peers that break off at any point, and events that come for nobody.

use std::collections::{BTreeSet, HashSet};
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use frameloop::chat::{Echo, Hub};
use frameloop::protocol::{End, Limits, Message, Request};
use frameloop::server::net::Ready;
use frameloop::server::{App, ConnId, Outbox};
use socket2::SockRef;

use crate::by_hand::ByHand;
use crate::client::Client;
use crate::harness::{DEADLINE, Firehose, Late, NEVER, Record, Running, Told, config, recording};
use crate::wire::{BINARY, CONTINUATION, FIN, PING, REQUEST_HEAD, TEXT, client_frame};

/// No timeout helps here, and nobody is pinged: what ends, ends because the server saw it.
fn patient() -> Limits {
    let limits = Limits { handshake_timeout: NEVER, ping_interval: NEVER, ..Limits::default() };
    Limits { close_timeout: NEVER, slow_timeout: NEVER, ..limits }
}

// ---- R7

/// Turns of a server to which nothing happens until it pings somebody for the second time.
fn idle_turns<A: App>(by_hand: &mut ByHand<A>, witness: &mut TcpStream) -> usize {
    const PING_BYTES: usize = 2;
    by_hand.turn_until_received(witness, PING_BYTES);
    by_hand.turn_until_received(witness, PING_BYTES)
}

#[test]
fn r7_a_thousand_that_are_half_closed_or_reset_cost_no_turns() {
    const EACH: usize = 250;
    let limits = Limits { ping_interval: Duration::from_millis(200), ping_misses_max: u8::MAX, ..patient() };
    let mut by_hand = ByHand::with(&config(limits), Firehose);
    let mut witness = by_hand.open();
    let mut kept = Vec::new();
    for number in 0..4 * EACH {
        let mut stream = by_hand.open();
        match number % 4 {
            // Ends its side and never reads: the server has to keep what waits for it, and some of them for long.
            0 => {
                let count: &[u8] = if number < 40 { b"60" } else { b"1" };
                stream.write_all(&client_frame(FIN | TEXT, count)).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                kept.push(stream);
            }
            // Broke a rule, got its Close frame, and never ends its own side.
            1 => {
                stream.write_all(b"\xff\xff").unwrap();
                kept.push(stream);
            }
            2 => {
                stream.shutdown(Shutdown::Write).unwrap();
                kept.push(stream);
            }
            _ => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(), // and drops it: a RST
        }
    }
    let turns = idle_turns(&mut by_hand, &mut witness);
    // One for each ping of the witness; a loop that spins makes hundreds of thousands.
    assert!(turns <= 20, "{turns} turns of an idle server");
    let mut next = by_hand.open();
    next.write_all(&client_frame(FIN | PING, b"")).unwrap();
    by_hand.turn_until_equal(&mut next, &[0x8a, 0]);
}

// ---- R14

#[test]
fn r14_urgent_data_neither_spins_nor_harms_anybody() {
    let limits = Limits { ping_interval: Duration::from_millis(200), ping_misses_max: u8::MAX, ..patient() };
    let mut by_hand = ByHand::with(&config(limits), Echo);
    let mut witness = by_hand.open();
    let mut urgent: Vec<TcpStream> = (0..100).map(|_| by_hand.open()).collect();
    let frame = client_frame(FIN | TEXT, b"hello");
    for (number, stream) in urgent.iter_mut().enumerate() {
        // Before, within and behind a frame. The system takes the byte out of the stream.
        let at = number % (frame.len() + 1);
        stream.write_all(&frame[..at]).unwrap();
        SockRef::from(&*stream).send_out_of_band(b"!").unwrap();
        stream.write_all(&frame[at..]).unwrap();
    }
    let turns = idle_turns(&mut by_hand, &mut witness);
    assert!(turns <= 100 + 20, "{turns} turns");
    for stream in &mut urgent {
        // A mark in the stream ends a read early: at the latest with the next bytes the rest is read.
        stream.write_all(&client_frame(FIN | TEXT, b"again")).unwrap();
        let mut frames = Vec::new();
        while frames.len() < 2 {
            let mut header = [0; 2];
            by_hand.turn_until_filled(stream, &mut header);
            let mut payload = vec![0; usize::from(header[1])];
            by_hand.turn_until_filled(stream, &mut payload);
            if header[0] != FIN | PING {
                assert_eq!(header[0], FIN | TEXT, "{}", String::from_utf8_lossy(&payload));
                frames.push(payload);
            }
        }
        assert_eq!(frames, [b"hello", b"again"]);
    }
}

// ---- R8

/// What a client of the chat has done before it vanishes. The first five have not opened a connection.
const STAGES: [fn(&mut Client); 19] = [
    |_| {},
    |client| client.write(&REQUEST_HEAD[..50]),
    |client| client.write(REQUEST_HEAD),
    |client| client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    |client| {
        client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.rest();
    },
    upgrade,
    |client| after_upgrade(client, &client_frame(FIN | TEXT, &[b'x'; 300])[..3]),
    |client| after_upgrade(client, &client_frame(FIN | TEXT, &[b'x'; 300])[..30]),
    |client| after_upgrade(client, &client_frame(TEXT, b"one fragment")),
    |client| after_upgrade(client, &[client_frame(TEXT, b"a"), client_frame(CONTINUATION, b"b")].concat()),
    |client| after_upgrade(client, &client_frame(FIN | TEXT, b"the error is not read")),
    |client| after_upgrade(client, &client_frame(FIN | TEXT, &[b'0'; 200_000])),
    |client| {
        after_upgrade(client, &client_frame(FIN | TEXT, b"the error is read"));
        client.text();
    },
    |client| after_upgrade(client, &client_frame(FIN | PING, b"alive?")),
    |client| after_upgrade(client, &client_frame(FIN | 0x8, b"\x03\xe8")),
    |client| {
        after_upgrade(client, &client_frame(FIN | 0x8, b"\x03\xe8"));
        client.close_frame();
    },
    |client| after_upgrade(client, b"\xff\xff"),
    |client| {
        after_upgrade(client, b"\xff\xff");
        client.close_frame();
        client.expect_end();
    },
    // The server begins to close, and gets no answer.
    |client| {
        after_upgrade(client, &client_frame(FIN | BINARY, b"close me"));
        client.close_frame();
    },
];

const STAGES_CONNECTING: usize = 5;

fn upgrade(client: &mut Client) {
    client.write(REQUEST_HEAD);
    assert!(client.response_head().starts_with("HTTP/1.1 101 "));
}

fn after_upgrade(client: &mut Client, bytes: &[u8]) {
    upgrade(client);
    client.write(bytes);
}

/// The ways to vanish.
const WAYS: [fn(Client); 3] = [
    |client| client.reset(),
    |client| drop(client), // a FIN, or a RST where something was not read
    |mut client| {
        client.shutdown_write();
        client.rest();
    },
];

/// Descriptors are counted for the whole process, so this test has one of its own.
#[test]
fn r8_thousands_that_vanish_at_every_point_end_once_each_and_leave_no_descriptor_behind() {
    if std::env::var_os(ALONE).is_none() {
        let name = "vanishing::r8_thousands_that_vanish_at_every_point_end_once_each_and_leave_no_descriptor_behind";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains(" 1 passed"), "{text}");
        return;
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (server, record) = recorded();
    let server_alone = descriptors();

    for _ in 0..ROUNDS {
        for stage in STAGES {
            for vanish in WAYS {
                let mut client = Client::connect(server.address());
                stage(&mut client);
                vanish(client);
            }
        }
        Client::open(server.address()).leave(); // and the server lives
    }
    let deadline = Instant::now() + DEADLINE;
    while descriptors() != server_alone {
        assert!(Instant::now() < deadline, "{} descriptors, {server_alone} at the start", descriptors());
        thread::yield_now();
    }

    let (mut open, mut ended): (HashSet<ConnId>, BTreeSet<ConnId>) = Default::default();
    for told in record.so_far() {
        match told {
            Told::Opened(id) => assert!(open.insert(id) && !ended.contains(&id), "{id} opened twice"),
            Told::Closed(id, _) => assert!(open.remove(&id) && ended.insert(id), "{id} ended twice, or never opened"),
        }
    }
    assert_eq!(open, HashSet::new(), "each has ended");
    let surely_opened = ROUNDS * ((STAGES.len() - STAGES_CONNECTING) * WAYS.len() + 1);
    // One of the stages has sent its request and not seen the answer.
    assert!((surely_opened..=surely_opened + ROUNDS * WAYS.len()).contains(&ended.len()), "{}", ended.len());
}

const ALONE: &str = "FRAMELOOP_TEST_ALONE";

/// 57 clients each: 5,016.
const ROUNDS: usize = 88;

fn recorded() -> (Running, Record) {
    let (app, record) = recording(Late(Hub::default));
    (Running::start(config(patient()), app), record)
}

#[test]
fn r8_clients_that_vanish_do_not_disturb_one_that_stays() {
    let (server, _record) = recorded();
    let mut steady = Client::open(server.address());
    for (number, stage) in STAGES.iter().enumerate() {
        for vanish in WAYS {
            let mut client = Client::connect(server.address());
            stage(&mut client);
            vanish(client);
            steady.send_text(&format!("[{number}]"));
            assert!(steady.text().contains("invalid_message"), "after stage {number}");
        }
    }
    steady.leave();
}

// ---- R9

#[test]
fn r9_events_for_keys_that_are_free_used_again_or_unknown_change_nothing() {
    let mut by_hand = ByHand::new(Echo);
    let stale = |key| Ready::Peer { key, is_readable: true, is_read_closed: true, is_writable: true };
    by_hand.watch.borrow_mut().false_events = (0..40).chain([1 << 20, u32::MAX as usize]).map(stale).collect();
    let mut kept: Vec<TcpStream> = Vec::new();
    for round in 0..300 {
        // Keys become free in one turn and are used again in the next, in every order.
        if round % 3 == 0 && kept.len() > 10 {
            drop(kept.swap_remove(round * 7 % kept.len()));
        }
        if round % 5 == 0 && kept.len() > 10 {
            let stream = kept.swap_remove(round * 3 % kept.len());
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        kept.push(by_hand.open());
        let at = round * 11 % kept.len();
        let text = format!("round {round:03}");
        kept[at].write_all(&client_frame(FIN | TEXT, text.as_bytes())).unwrap();
        by_hand.turn_until_equal(&mut kept[at], &[&[FIN | TEXT, text.len() as u8], text.as_bytes()].concat());
    }
    by_hand.watch.borrow_mut().false_events.clear();
    for mut stream in kept {
        stream.write_all(&client_frame(FIN | TEXT, b"still")).unwrap();
        by_hand.turn_until_equal(&mut stream, b"\x81\x05still"); // and nothing that was meant for another
    }
}

/// Sends what one says to all that ever were there, those that are gone too.
#[derive(Debug, Default)]
struct Haunted {
    ever: Vec<ConnId>,
    gone: usize,
}

impl App for Haunted {
    fn on_open(&mut self, id: ConnId, _request: &Request, _out: &mut impl Outbox) {
        self.ever.push(id);
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        let text = message.as_bytes().to_vec();
        for &to in self.ever.iter().filter(|&&to| to != id) {
            out.send(to, Message::binary(&text));
            out.note(to, "haunted", &"");
            if text == b"close" {
                out.close(to, frameloop::protocol::CloseCode::NORMAL, "");
            }
        }
        out.send(id, message);
    }

    fn on_close(&mut self, id: ConnId, _end: &End, out: &mut impl Outbox) {
        self.gone += 1;
        out.send(id, Message::text("too late"));
    }
}

#[test]
fn r9_an_id_that_is_kept_too_long_never_means_the_one_that_came_in_its_place() {
    let mut by_hand = ByHand::new(Haunted::default());
    for _ in 0..20 {
        drop(by_hand.open());
    }
    let deadline = Instant::now() + DEADLINE;
    let mut speaker = by_hand.open();
    while by_hand.server.app().gone < 20 {
        assert!(Instant::now() < deadline, "those that are gone were seen");
        speaker.write_all(&client_frame(FIN | PING, b"")).unwrap();
        by_hand.turn_until_received(&mut speaker, 2);
    }
    // Newcomers, with the keys of those that are gone. What is said to these must not reach them, nor close them.
    let mut newcomers: Vec<TcpStream> = (0..20).map(|_| by_hand.open()).collect();
    let keys = |ids: &[ConnId]| -> HashSet<String> { ids.iter().map(|id| format!("{id:?}")).collect() };
    assert_eq!(keys(&by_hand.server.app().ever).len(), 41, "each has an id of its own");
    for text in ["one", "close"] {
        let frame = client_frame(FIN | TEXT, text.as_bytes());
        speaker.write_all(&frame).unwrap();
        by_hand.turn_until_equal(&mut speaker, &[&[FIN | TEXT, text.len() as u8], text.as_bytes()].concat());
    }
    for stream in &mut newcomers {
        // One copy of each, and then the Close frame.
        by_hand.turn_until_equal(stream, b"\x82\x03one\x82\x05close\x88\x02\x03\xe8");
    }
}
