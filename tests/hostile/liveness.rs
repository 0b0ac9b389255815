//! L1 to L6: peers that vanish, and time.
//!
//! Mostly on real sockets with a clock in the test's hand ([`ByHand::with_clock`]): hours pass in no time, and a server
//! can be found asleep.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use frameloop::chat::{Echo, Hub};
use frameloop::protocol::{CloseCode, End, Limits, Message, Request};
use frameloop::server::{App, Config, ConnId, Outbox};

use crate::by_hand::{ByHand, RESPONSE_HEAD};
use crate::client::Client;
use crate::harness::{DEADLINE, NEVER, Running, Told, config, recording};
use crate::wire::{BINARY, CLOSE, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, TEXT, client_frame, close_payload};

const INTERVAL: Duration = Duration::from_secs(32);

/// The time between two turns.
const TICK: Duration = Duration::from_millis(100);

fn limits() -> Limits {
    let limits = Limits { ping_interval: INTERVAL, ping_misses_max: 3, handshake_timeout: NEVER, ..Limits::default() };
    Limits { slow_timeout: NEVER, close_timeout: Duration::from_secs(5), ..limits }
}

/// Notes when each connection ended, and why. Closes whoever says so.
#[derive(Debug, Default)]
struct Ends {
    since: HashMap<ConnId, Instant>,
    ends: Vec<(ConnId, End, Instant)>,
}

impl App for Ends {
    fn on_open(&mut self, id: ConnId, _request: &Request, out: &mut impl Outbox) {
        self.since.insert(id, out.now());
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        match message.as_bytes() {
            b"close" => out.close(id, CloseCode::NORMAL, ""),
            b"quiet" => {}
            _ => out.send(id, message),
        }
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        self.ends.push((id, *end, out.now()));
    }
}

fn by_hand(limits: Limits) -> ByHand<Ends> {
    ByHand::with_clock(&config(limits), Ends::default())
}

/// What has come, without waiting.
fn take(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => assert!([ErrorKind::WouldBlock, ErrorKind::ConnectionReset].contains(&error.kind()), "{error}"),
    }
    bytes
}

// ---- L1

/// Long enough that a test that has to wait for the processor is not taken for dead: four of them pass before that.
const SHORT_INTERVAL: Duration = Duration::from_millis(200);

fn limits_in_real_time() -> Limits {
    Limits { ping_interval: SHORT_INTERVAL, ping_misses_max: 3, close_timeout: NEVER, ..Limits::default() }
}

#[test]
fn l1_a_client_without_a_sign_of_life_is_closed_after_three_unanswered_pings() {
    let (app, record) = recording(Echo);
    let server = Running::start(config(limits_in_real_time()), app);
    let start = Instant::now();
    let mut client = Client::open(server.address());
    let mut pings = 0;
    let close = loop {
        let frame = client.frame();
        if frame.opcode == CLOSE {
            break frame;
        }
        assert_eq!(frame, ServerFrame::new(PING, b""));
        pings += 1;
    };
    assert!(pings >= 3, "{pings}"); // more only where the server itself had to wait for the processor
    assert!(start.elapsed() >= SHORT_INTERVAL * 3);
    assert_eq!((close.close_code(), &close.payload[2..]), (Some(4201), &b"heartbeat_timeout"[..]));
    client.expect_end();
    assert_eq!(record.next_end(), End::HeartbeatTimeout);
}

#[test]
fn l1_silent_clients_by_the_hundred_are_closed_and_the_one_that_talks_is_not() {
    let (app, record) = recording(Echo);
    let server = Running::start(config(limits_in_real_time()), app);
    let silent: Vec<Client> = (0..300).map(|_| Client::open(server.address())).collect();
    let mut alive = Client::open(server.address());
    let deadline = Instant::now() + DEADLINE;
    let mut closed = 0;
    while closed < silent.len() {
        alive.exchange_besides_pings("I am here");
        let ends = record.so_far().into_iter().filter_map(Told::end);
        closed += ends.inspect(|&end| assert_eq!(end, End::HeartbeatTimeout)).count();
        assert!(Instant::now() < deadline, "{closed} are closed");
        alive.fill(SHORT_INTERVAL / 4).ok();
        alive.whole_frames();
    }
    for mut client in silent {
        while client.try_frame().is_some() {}
    }
    alive.exchange_besides_pings("I am here");
}

#[test]
fn l1_whoever_vanishes_is_dropped_three_to_four_intervals_after_its_last_byte() {
    const PEERS: usize = 64;
    let mut by_hand = by_hand(limits());
    let mut streams: Vec<TcpStream> = (0..PEERS).map(|_| by_hand.open()).collect();
    // Each answers pings until it vanishes without a word, in the second or third interval: power loss, a NAT that forgot.
    let vanishes = |peer: usize| INTERVAL + INTERVAL * 2 * peer as u32 / PEERS as u32;
    let mut last: Vec<Duration> = vec![Duration::ZERO; PEERS];
    let mut clock = Duration::ZERO;
    while by_hand.server.app().ends.len() < PEERS {
        clock += TICK;
        by_hand.pass(TICK);
        for (peer, stream) in streams.iter_mut().enumerate().filter(|(peer, _)| clock < vanishes(*peer)) {
            if !take(stream).is_empty() {
                stream.write_all(&client_frame(FIN | PONG, b"")).unwrap();
                last[peer] = clock + TICK; // the server reads it in its next turn
            }
        }
        assert!(clock < INTERVAL * 8, "some are never dropped");
    }
    let app = by_hand.server.app();
    let start = app.since.values().min().unwrap();
    for (peer, id) in app.ends.iter().map(|(id, ..)| (id.to_string().parse::<usize>().unwrap() - 1, id)) {
        let &(_, end, at) = app.ends.iter().find(|ended| ended.0 == *id).unwrap();
        let silence = at.duration_since(*start) - last[peer];
        assert_eq!(end, End::HeartbeatTimeout);
        assert!((INTERVAL * 3 - TICK..=INTERVAL * 4 + TICK * 4).contains(&silence), "{peer}: {silence:?}");
    }
}

// ---- L2

/// Peers that answer each ping in the turn after it.
fn answer_pings(streams: &mut [TcpStream]) {
    for stream in streams {
        for _ in 0..take(stream).len() / 2 {
            stream.write_all(&client_frame(FIN | PONG, b"")).unwrap();
        }
    }
}

#[test]
fn l2_nobody_is_dropped_since_the_machine_slept() {
    let mut by_hand = by_hand(limits());
    let mut streams: Vec<TcpStream> = (0..50).map(|_| by_hand.open()).collect();
    for hours in [1, 10, 1000] {
        // Now and then all is well, at another phase of the pings each time.
        for _ in 0..7 * hours % 400 {
            by_hand.pass(TICK * 4);
            answer_pings(&mut streams);
        }
        by_hand.pass(Duration::from_secs(3600 * hours));
        answer_pings(&mut streams);
        by_hand.pass(TICK);
    }
    // Again and again, each time for longer than an interval.
    for _ in 0..20 {
        by_hand.pass(INTERVAL * 3 / 2);
        answer_pings(&mut streams);
    }
    by_hand.pass(TICK);
    assert_eq!(by_hand.server.app().ends, [], "nobody is dropped for what the server itself did");
    // Those that are gone are still found.
    drop(streams.split_off(10));
    for _ in 0..=5 {
        by_hand.pass(INTERVAL);
        answer_pings(&mut streams);
    }
    assert_eq!(by_hand.server.app().ends.len(), 40);
}

#[test]
fn l2_a_peer_that_owes_three_pongs_has_a_round_of_grace_after_a_stall() {
    let mut by_hand = by_hand(limits());
    let (mut late, silent) = (by_hand.open(), by_hand.open());
    for _ in 0..3 {
        by_hand.pass(INTERVAL);
    }
    assert_eq!(take(&mut late).len(), 3 * 2, "three pings");
    by_hand.pass(INTERVAL * 2 + TICK); // the machine sleeps over the time at which both would be dropped
    assert_eq!(by_hand.server.app().ends, []);
    late.write_all(&client_frame(FIN | PONG, b"")).unwrap();
    for _ in 0..2 {
        by_hand.pass(INTERVAL);
    }
    let ends: Vec<End> = by_hand.server.app().ends.iter().map(|&(_, end, _)| end).collect();
    assert_eq!(ends, [End::HeartbeatTimeout], "only the one that is still silent");
    drop(silent);
    late.write_all(&client_frame(FIN | TEXT, b"I am here")).unwrap();
    let pings = take(&mut late).len();
    by_hand.turn_until_equal(&mut late, b"\x81\x09I am here");
    assert!(pings > 0);
}

// ---- L3

#[test]
fn l3_those_who_come_in_one_moment_are_not_pinged_in_one_moment() {
    const PEERS: usize = 320;
    const PHASES: u32 = 16;
    let mut by_hand = by_hand(Limits { ping_misses_max: u8::MAX, ..limits() });
    let mut streams: Vec<TcpStream> = (0..PEERS).map(|_| by_hand.open()).collect(); // the clock stands
    let mut all: Vec<Vec<u32>> = vec![Vec::new(); PEERS];
    for phase in 1..=4 * PHASES {
        by_hand.pass(INTERVAL / PHASES);
        let mut pinged = 0;
        for (stream, pings) in streams.iter_mut().zip(&mut all) {
            let bytes = take(stream);
            assert!(bytes.is_empty() || bytes == [FIN | PING, 0]);
            pinged += usize::from(!bytes.is_empty());
            pings.extend((!bytes.is_empty()).then_some(phase));
        }
        assert_eq!(
            pinged,
            PEERS / PHASES as usize,
            "phase {phase}: a sixteenth of them in a sixteenth of the interval"
        );
    }
    for pings in all {
        assert_eq!(pings.len(), 4);
        assert!(pings[0] <= PHASES && pings.windows(2).all(|two| two[1] - two[0] == PHASES), "{pings:?}");
    }
}

// ---- L4

#[test]
fn l4_deadlines_are_kept_beside_a_flood() {
    let limits = Limits { handshake_timeout: Duration::from_secs(10), ..limits() };
    let mut by_hand = by_hand(limits.clone());
    let _dead = by_hand.open(); // the first of all: its first ping comes after a whole interval
    let mut flooder = by_hand.open();
    let mut connecting = by_hand.connect();
    connecting.write_all(&REQUEST_HEAD[..20]).unwrap();
    by_hand.turn();
    // More than a turn takes of one peer, again and again.
    let frames = client_frame(FIN | TEXT, b"quiet").repeat(100_000);
    let (mut written, mut clock) = (0, Duration::ZERO);
    let mut flood = |by_hand: &mut ByHand<Ends>, time: Duration| {
        loop {
            match flooder.write(&frames[written % frames.len()..]) {
                Ok(count) => written += count,
                Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        clock += time;
        by_hand.pass(time);
        assert!(take(&mut flooder).len() <= 2, "at most a ping");
        clock
    };
    while flood(&mut by_hand, TICK * 5) < limits.handshake_timeout {
        assert_eq!(take(&mut connecting), b"");
    }
    assert!(take(&mut connecting).starts_with(b"HTTP/1.1 408 "), "in the turn in which its time is over");
    // Pings, and the end of the one that does not answer them: each in the turn in which it is due.
    while flood(&mut by_hand, TICK * 5) < INTERVAL * 4 {
        assert_eq!(by_hand.server.app().ends, []);
    }
    let ends: Vec<End> = by_hand.server.app().ends.iter().map(|&(_, end, _)| end).collect();
    assert_eq!(ends, [End::HeartbeatTimeout]);
}

#[test]
fn l4_nobody_is_judged_unseen_in_a_turn_that_others_have_used_up() {
    let limits = Limits { handshake_timeout: Duration::from_secs(10), ..limits() };
    let mut by_hand = ByHand::with_clock(&config(limits.clone()), Hub::default());
    let _members: Vec<TcpStream> = (0..200).map(|_| by_hand.open()).collect();
    let mut flooder = by_hand.open();
    let mut newcomer = by_hand.connect();
    by_hand.turn(); // it is accepted
    by_hand.turn(); // and its first event taken: from now on events come in the order of what is sent
    // 80,000 deliveries, of which a turn makes 16,384. Behind them is a request, in time; but the server stood still.
    flooder.write_all(&client_frame(FIN | TEXT, br#"{"type":"chat"}"#).repeat(400)).unwrap();
    newcomer.write_all(REQUEST_HEAD).unwrap();
    by_hand.pass(limits.handshake_timeout + TICK);
    by_hand.turn_until_equal(&mut newcomer, RESPONSE_HEAD);
}

// ---- L5

#[test]
fn l5_a_client_that_sends_data_and_no_pong_lives_on() {
    // A pong can be stuck behind data, so any byte counts: those of a frame that does not end, too.
    let mut by_hand = by_hand(limits());
    let mut stream = by_hand.open();
    let frame = client_frame(FIN | TEXT, &[b'x'; 1000]);
    let (first, rest) = frame.split_at(100);
    for byte in first {
        stream.write_all(&[*byte]).unwrap();
        by_hand.pass(INTERVAL); // in steps that the server takes for its own: after a longer one nobody is dropped
        by_hand.pass(INTERVAL);
        by_hand.pass(INTERVAL * 9 / 10);
        take(&mut stream); // pings
    }
    assert_eq!(by_hand.server.app().ends, [], "300 intervals of one byte each three");
    stream.write_all(rest).unwrap();
    by_hand.turn_until_equal(&mut stream, &[&[FIN | TEXT, 126, 3, 0xe8], &[b'x'; 1000][..]].concat());
}

// ---- L6

/// What makes the bytes.
type Make = fn() -> Vec<u8>;

/// The ways in which a closing handshake begins, after which the peer never completes it.
const BEGINNINGS: [(&str, Make); 5] = [
    ("the server closes", || client_frame(FIN | TEXT, b"close")),
    ("the peer closes", || client_frame(FIN | CLOSE, &close_payload(1000, ""))),
    ("a broken rule", || b"\xff\xff\xff".to_vec()),
    ("too large a message", || [&[FIN | BINARY, 0xff], &(1_u64 << 40).to_be_bytes()[..], &[0; 4]].concat()),
    ("a Close with no code", || client_frame(FIN | CLOSE, b"")),
];

#[test]
fn l6_a_peer_that_never_completes_the_close_is_dropped_at_the_close_timeout() {
    let limits = limits();
    let mut by_hand = by_hand(limits.clone());
    let before = by_hand.watch.borrow().transports;
    let mut streams = Vec::new();
    for (name, begin) in BEGINNINGS {
        for is_silent in [true, false] {
            let mut stream = by_hand.open();
            stream.write_all(&begin()).unwrap();
            by_hand.turn();
            streams.push((name, is_silent, stream));
        }
    }
    // And one that asked for a page, not for a WebSocket.
    let mut stream = by_hand.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    by_hand.turn();
    streams.push(("refused", true, stream));
    while by_hand.watch.borrow().transports < before + streams.len() {
        by_hand.turn();
    }
    for _ in 0..20 {
        by_hand.pass(TICK); // the system has delivered all by now, and each closing has begun
    }
    let half = limits.close_timeout / 2;
    by_hand.pass(half);
    assert_eq!(by_hand.watch.borrow().transports, before + streams.len(), "they are waited for");
    for (name, _, stream) in streams.iter_mut().filter(|(_, is_silent, _)| !is_silent) {
        // Those that talk on get no more time for it.
        stream.write_all(&client_frame(FIN | TEXT, b"and another thing").repeat(100)).expect(name);
    }
    for _ in 0..20 {
        by_hand.pass(TICK);
    }
    by_hand.pass(half);
    by_hand.turn();
    assert_eq!(by_hand.watch.borrow().transports, before, "nothing is kept of them");
    let mut next = by_hand.open();
    next.write_all(&client_frame(FIN | TEXT, b"next")).unwrap();
    by_hand.turn_until_equal(&mut next, b"\x81\x04next");
}

#[test]
fn l6_a_peer_that_never_completes_the_close_does_not_hold_up_the_end_of_the_server() {
    let limits = Limits { close_timeout: Duration::from_millis(200), ..limits() };
    let server = Running::start(Config { ..config(limits) }, Echo);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::open(server.address())).collect();
    server.stop();
    for client in &mut clients {
        assert_eq!(client.close_frame().0, 1001);
    }
    server.wait().unwrap();
}
