//! §4.2: the opening handshake of a browser, and of one that is refused.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod harness;

use std::time::Instant;

use frameloop::protocol::handshake::document::Opening;
use frameloop::protocol::handshake::{OpeningHandshake, Request, encode_rejection};
use frameloop::protocol::{Commons, Connection, Event, HandshakeError, Input, Limits};
use harness::{Bench, bytes};

/// As a browser sends it.
const HEAD: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: localhost:8765\r\nConnection: Upgrade\r\nPragma: no-cache\r\n\
    Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/126.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: http://localhost:8765\r\n\
    Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const ACCEPT_VALUE: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn main() {
    let mut bench = Bench::start();
    let (now, commons) = (Instant::now(), Commons::new(Limits::default()));
    let answer = |head: &mut [u8]| {
        let mut connection = Connection::new(commons.clone(), now);
        let mut input = Input::new(head);
        match connection.poll_event(&mut input, now) {
            Some(Event::Request(request)) => connection.accept(&request, None, now),
            Some(Event::Document(request)) => connection.answer(&request, Err(HandshakeError::NotAnUpgrade), now),
            event => panic!("the head is whole, and then comes {event:?}"),
        }
        connection.outgoing().map(|slice| slice.iter().map(|&byte| u32::from(byte)).sum::<u32>()).sum::<u32>()
    };

    let is_accepted = |request: &Request| request.accept_value() == ACCEPT_VALUE;
    let is_opened = |opening: &Opening| matches!(opening, Opening::Upgrade(request) if is_accepted(request));
    bench.case("parse a whole request head", bytes(HEAD.len()), Some(true), || {
        Request::parse(HEAD.as_bytes()).ok().as_ref().map(is_accepted)
    });
    let mut head = HEAD.as_bytes().to_vec();
    bench.case("parse a request head that comes in 8 pieces", bytes(HEAD.len()), Some(true), || {
        let mut opening = OpeningHandshake::default();
        let piece_len = head.len() / 8 + 1;
        let mut pieces = head.chunks_mut(piece_len);
        pieces.find_map(|piece| opening.poll_request(&mut Input::new(piece)).ok()?.as_ref().map(is_opened))
    });

    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT_VALUE}\r\n\r\n"
    );
    let sum = response.bytes().map(u32::from).sum::<u32>();
    bench.case("a connection from its first byte to 101", bytes(HEAD.len()), sum, || answer(&mut head));

    let mut refused = HEAD.replace("Upgrade: websocket\r\n", "").into_bytes();
    let rejection = encode_rejection(&HandshakeError::NotAnUpgrade);
    assert!(rejection.starts_with(b"HTTP/1.1 426 Upgrade Required\r\n"));
    let sum = rejection.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    bench.case("a connection from its first byte to 426", bytes(refused.len()), sum, || answer(&mut refused));
}
