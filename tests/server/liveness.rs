//! §5.5.2: pings find out who is still there.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use frameloop::protocol::Limits;

use crate::client::{Client, library_client};
use crate::harness::{NEVER, Running};
use crate::wire::{FIN, PING, PONG, ServerFrame};

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
        // The first peer of a server gets its first ping after a whole interval; those behind it sooner.
        assert!(start.elapsed() >= INTERVAL * count, "ping {count}");
        client.send(FIN | PONG, b"");
    }
    client.leave();
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
