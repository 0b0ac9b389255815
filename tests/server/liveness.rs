//! §5.5.2: pings find out who is still there.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use frameloop::chat::Echo;
use frameloop::protocol::{End, Limits};

use crate::client::{Client, library_client};
use crate::harness::{DEADLINE, NEVER, Recorder, Running, Told, config};
use crate::wire::{CLOSE, FIN, PING, PONG, ServerFrame, TEXT, client_frame};

/// Long enough that a test that has to wait for the processor is not taken for dead: four of them pass before that.
const INTERVAL: Duration = Duration::from_millis(200);

/// After so many intervals a peer without a sign of life is gone for sure.
const LIFETIMES: u32 = 8;

fn limits() -> Limits {
    Limits { ping_interval: INTERVAL, ping_misses_max: 3, close_timeout: NEVER, ..Limits::default() }
}

/// Reads what comes within a quarter of an interval; the frames among it.
fn listen(client: &mut Client) -> Vec<ServerFrame> {
    match client.fill(INTERVAL / 4) {
        Ok(count) => {
            assert!(count > 0, "the server ended the connection");
            client.whole_frames()
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            Vec::new()
        }
    }
}

#[test]
fn pings_come_at_the_interval_and_not_before() {
    let server = Running::echo(limits());
    let start = Instant::now();
    let mut client = Client::open(server.address());
    for count in 1..=5 {
        assert_eq!(client.frame(), ServerFrame::new(PING, b""));
        assert!(start.elapsed() >= INTERVAL * count, "ping {count}");
        client.send(FIN | PONG, b"");
    }
    client.leave();
}

#[test]
fn a_client_without_a_sign_of_life_is_closed_after_three_unanswered_pings() {
    let (app, record) = Recorder::new(Echo);
    let server = Running::start(config(limits()), app);
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
    assert!(start.elapsed() >= INTERVAL * 4);
    assert_eq!((close.close_code(), &close.payload[2..]), (Some(4201), &b"heartbeat_timeout"[..]));
    client.expect_end();
    assert_eq!(record.next_end(), End::HeartbeatTimeout);
}

#[test]
fn a_client_that_only_answers_pings_lives_on() {
    let server = Running::echo(limits());
    let start = Instant::now();
    let (mut client, mut pings) = (Client::open(server.address()), 0);
    while start.elapsed() < INTERVAL * LIFETIMES {
        for frame in listen(&mut client) {
            assert_eq!(frame, ServerFrame::new(PING, b""));
            client.send(FIN | PONG, b"");
            pings += 1;
        }
    }
    assert!(pings >= 3, "{pings}");
    client.exchange_besides_pings("still here");
}

#[test]
fn a_client_that_only_sends_data_lives_on() {
    // A pong can be stuck behind data, so any byte counts: those of a frame that does not end, too.
    let server = Running::echo(limits());
    let start = Instant::now();
    let mut client = Client::open(server.address());
    let frame = client_frame(FIN | TEXT, &[b'x'; 1000]);
    let mut bytes = frame.iter();
    while start.elapsed() < INTERVAL * LIFETIMES {
        client.write(&[*bytes.next().expect("it is long enough")]);
        for frame in listen(&mut client) {
            assert_eq!(frame, ServerFrame::new(PING, b""));
        }
    }
    client.write(bytes.as_slice());
    assert_eq!(client.data_frame(), ServerFrame::new(TEXT, &[b'x'; 1000]));
    client.exchange_besides_pings("still here");
}

#[test]
fn a_library_client_answers_pings_by_itself() {
    let server = Running::echo(limits());
    let mut client = library_client(server.address());
    let start = Instant::now();
    let mut pings = 0;
    while start.elapsed() < INTERVAL * LIFETIMES {
        // The library queues the pong at the read, and sends it with the next one.
        assert!(matches!(client.read(), Ok(tungstenite::Message::Ping(_))));
        client.flush().unwrap();
        pings += 1;
    }
    assert!(pings >= 3, "{pings}");
    client.send(tungstenite::Message::text("hello")).unwrap();
    loop {
        match client.read().unwrap() {
            tungstenite::Message::Ping(_) => {}
            message => break assert_eq!(message, tungstenite::Message::text("hello")),
        }
    }
}

#[test]
fn silent_clients_by_the_hundred_are_closed_and_the_one_that_talks_is_not() {
    let (app, record) = Recorder::new(Echo);
    let server = Running::start(config(limits()), app);
    let silent: Vec<Client> = (0..300).map(|_| Client::open(server.address())).collect();
    let mut alive = Client::open(server.address());
    let deadline = Instant::now() + DEADLINE;
    let mut closed = 0;
    while closed < silent.len() {
        alive.exchange_besides_pings("I am here");
        let ends = record.so_far().into_iter().filter_map(Told::end);
        closed += ends.inspect(|&end| assert_eq!(end, End::HeartbeatTimeout)).count();
        assert!(Instant::now() < deadline, "{closed} are closed");
        listen(&mut alive);
    }
    for mut client in silent {
        while client.try_frame().is_some() {}
    }
    alive.exchange_besides_pings("I am here");
}
