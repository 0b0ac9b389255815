//! §5, §6: one open connection, from the bytes of a read to the bytes for the socket.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "harness/client.rs"]
mod client;
mod harness;

use std::time::Instant;

use frameloop::protocol::frame::Opcode;
use frameloop::protocol::{Commons, Connection, Event, Input, Limits, SharedFrame};
use harness::{Bench, Work, bytes};

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const TEXT: &str = "hello, all of you who may be listening: this text has 64 bytes!!";
const FRAMES: usize = 100;

fn main() {
    let mut bench = Bench::start();
    let now = Instant::now();
    let mut connection = Connection::new(Commons::new(Limits::default()), now);
    assert!(echo(&mut connection, &mut HEAD.to_vec(), now) > 0);

    let mut frame = text(TEXT);
    receive(&mut connection, &mut frame.clone(), now);
    assert_eq!(connection.outgoing().collect::<Vec<_>>().concat(), [b"\x81\x40", TEXT.as_bytes()].concat());
    flush(&mut connection, now);

    let len = 2 + TEXT.len();
    bench.case("echo of 64 B", bytes(TEXT.len()), len, || echo(&mut connection, &mut frame, now));
    let mut stream = text(TEXT).repeat(FRAMES);
    let work = Work { operations: FRAMES, bytes: FRAMES * TEXT.len() };
    bench.case("echo of 64 B, 100 in one read", work, FRAMES * len, || echo(&mut connection, &mut stream, now));
    let long = "x".repeat(65536);
    let mut frame = text(&long);
    bench.case("echo of 64 KiB", bytes(long.len()), 10 + long.len(), || echo(&mut connection, &mut frame, now));
    let mut ping = client::frame(true, Opcode::Ping, b"are you there?");
    bench.case("a ping and its pong", bytes(14), 2 + 14, || echo(&mut connection, &mut ping, now));
    let shared = SharedFrame::text(TEXT);
    bench.case("a shared frame of 64 B", bytes(TEXT.len()), len, || {
        assert!(connection.send_shared(&shared, now));
        flush(&mut connection, now)
    });
}

fn text(text: &str) -> Vec<u8> {
    client::frame(true, Opcode::Text, text.as_bytes())
}

/// Sends back all messages that a read brought, and returns the number of bytes that the socket got.
fn echo(connection: &mut Connection, read: &mut [u8], now: Instant) -> usize {
    receive(connection, read, now);
    flush(connection, now)
}

fn receive(connection: &mut Connection, read: &mut [u8], now: Instant) {
    let mut input = Input::new(read);
    while let Some(event) = connection.poll_event(&mut input, now) {
        match event {
            Event::Request(request) => connection.accept(&request, None, now),
            Event::Document(_) => panic!("the request asks for an upgrade"),
            Event::Message(message) => assert!(connection.send(message, now)),
        }
    }
}

/// Takes what waits as a socket does, but for the copy.
fn flush(connection: &mut Connection, now: Instant) -> usize {
    let count = connection.outgoing().map(<[u8]>::len).sum();
    connection.sent(count, now);
    count
}
