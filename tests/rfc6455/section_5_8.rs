//! §5.8: extensibility: no extension without negotiation. Unless it compresses, this server accepts none.

use std::time::Instant;

use frameloop::protocol::{Commons, Compression, Connection, Limits, Message, ProtocolError};

use crate::driver::Link;
use crate::wire::{BINARY, FIN, PONG, REQUEST_HEAD, TEXT, client_frame};

/// A connection whose client has offered these extensions, and the head of the response.
fn offering(offers: &str) -> (Link, String) {
    offering_to(Compression::Off, offers)
}

fn offering_to(compression: Compression, offers: &str) -> (Link, String) {
    let now = Instant::now();
    let commons = Commons::with_compression(Limits::default(), compression);
    let mut link = Link { connection: Connection::new(commons, now), now };
    let request = [&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], offers.as_bytes(), b"\r\n"].concat();
    link.receive(&request);
    let response = String::from_utf8(link.take(usize::MAX)).unwrap();
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    (link, response)
}

const OFFERS: [&str; 4] = [
    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame\r\n",
    "Sec-WebSocket-Extensions: foo\r\nSec-WebSocket-Extensions: bar; baz=2\r\n",
    "",
];

#[test]
fn an_extension_that_was_not_negotiated_is_not_used() {
    for offers in OFFERS {
        let (mut link, response) = offering(offers);
        assert!(!response.to_ascii_lowercase().contains("sec-websocket-extensions"), "{response}");
        assert_eq!(link.receive_messages(&client_frame(FIN | TEXT, b"plain")), [Message::text("plain")]);
        link.connection.send(Message::text(&"plain".repeat(10)), link.now);
        assert_eq!(link.take(usize::MAX), [b"\x81\x32", "plain".repeat(10).as_bytes()].concat());
    }
}

#[test]
fn what_is_for_use_by_extensions_fails_the_connection() {
    for offers in OFFERS {
        for bits in [0x40, 0x20, 0x10] {
            // "Hello" as permessage-deflate has it, RFC 7692 §7.2.3.1.
            let compressed = client_frame(FIN | bits | TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
            offering(offers).0.fails(&compressed, ProtocolError::ReservedBits(bits), 1002);
            let pong = client_frame(FIN | bits | PONG, b"");
            offering(offers).0.fails(&pong, ProtocolError::ReservedBits(bits), 1002);
        }
        for opcode in (0x3..=0x7).chain(0xb..=0xf) {
            let frame = client_frame(FIN | opcode, b"");
            offering(offers).0.fails(&frame, ProtocolError::ReservedOpcode(opcode), 1002);
        }
    }
    // §5.8: "Extension data" is nothing special to whoever has negotiated none.
    let (mut link, _) = offering(OFFERS[2]);
    assert_eq!(link.receive(&client_frame(FIN | BINARY, b"\0\0extension")), [b"\0\0extension"]);
}

/// RFC 7692 §7.2.3.1: "Hello".
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

/// More of it is in `tests/protocol/deflate`.
#[test]
fn the_extension_that_was_negotiated_is_used() {
    for offers in &OFFERS[..2] {
        let (mut link, response) = offering_to(Compression::Shared, offers);
        assert!(response.contains("\r\nSec-WebSocket-Extensions: permessage-deflate;"), "{response}");
        assert_eq!(link.receive_messages(&client_frame(FIN | 0x40 | TEXT, HELLO)), [Message::text("Hello")]);
        assert_eq!(link.receive_messages(&client_frame(FIN | TEXT, b"plain")), [Message::text("plain")]);
        link.connection.send(Message::text(&"plain".repeat(1000)), link.now);
        let sent = link.take(usize::MAX);
        assert!(sent[0] == 0xc1 && sent.len() < 100, "RSV1, and {} bytes", sent.len());
    }
}

#[test]
fn what_a_negotiated_extension_gives_no_meaning_fails_the_connection() {
    for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
        let (mut link, _) = offering_to(Compression::Shared, OFFERS[0]);
        link.fails(&client_frame(FIN | bits | TEXT, HELLO), ProtocolError::ReservedBits(bits), 1002);
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        let (mut link, _) = offering_to(Compression::Shared, OFFERS[0]);
        link.fails(&client_frame(FIN | 0x40 | opcode, b""), ProtocolError::ReservedOpcode(opcode), 1002);
    }
    let (mut link, _) = offering_to(Compression::Shared, OFFERS[0]);
    link.fails(&client_frame(FIN | 0x40 | PONG, b""), ProtocolError::ReservedBits(0x40), 1002);
}
