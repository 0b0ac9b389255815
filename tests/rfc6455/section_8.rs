//! §8.1: errors in data that is to be UTF-8, in messages, in the reason of a Close frame, and in the opening handshake.

use frameloop::protocol::{End, Event, HandshakeError, Input, Limits, Message, ProtocolError, State};

use crate::driver::Link;
use crate::wire::{
    CLOSE, CONTINUATION, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, TEXT, client_frame, server_response,
};

/// What is no UTF-8, with the number of bytes after which nothing could make it so.
const BAD: [(&[u8], usize); 14] = [
    (b"\x80", 1),                                                   // a continuation byte alone
    (b"a\xbf", 2),                                                  //
    (b"ab\xc3(", 4),                                                // a lead byte without its continuation
    (b"\xe2\x82(", 3),                                              //
    (b"\xc0\xaf", 1),                                               // not in its shortest form
    (b"\xe0\x80\xaf", 2),                                           //
    (b"\xf0\x80\x80\xaf", 2),                                       //
    (b"\xed\xa0\x80", 2),                                           // a surrogate
    (b"\xed\xbf\xbf", 2),                                           //
    (b"\xf4\x90\x80\x80", 2),                                       // above U+10FFFF
    (b"\xf5\x80\x80\x80", 1),                                       // no lead byte at all
    (b"\xfe", 1),                                                   //
    (b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80\x65", 7),                   // behind good text
    (b"Hello \xff, and much more behind it that is good again", 7), //
];

#[test]
fn text_that_is_not_utf8_fails_the_connection() {
    for (payload, _) in BAD {
        let frame = client_frame(FIN | TEXT, payload);
        Link::open(Limits::default()).fails(&frame, ProtocolError::InvalidUtf8, 1007);
        for cut in 0..=frame.len() {
            let mut link = Link::open(Limits::default());
            assert!(link.receive(&frame[..cut]).is_empty() && link.receive(&frame[cut..]).is_empty());
            assert_eq!(link.connection.end(), Some(&End::Failed(ProtocolError::InvalidUtf8)), "cut at {cut}");
        }
    }
}

#[test]
fn text_that_is_not_utf8_fails_the_connection_at_the_byte_that_shows_it() {
    for (payload, known_after) in BAD {
        let mut link = Link::open(Limits::default());
        link.receive(&client_frame(TEXT, &payload[..known_after - 1]));
        assert_eq!(link.connection.state(), State::Open, "{payload:x?}");
        link.fails(&client_frame(CONTINUATION, &payload[known_after - 1..known_after]), INVALID, 1007);
    }
}

const INVALID: ProtocolError = ProtocolError::InvalidUtf8;

#[test]
fn every_character_of_utf8_is_taken() {
    let text: String = ('\0'..=char::MAX).step_by(61).chain("\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}".chars()).collect();
    let text = text + "\u{d7ff}\u{e000}\u{fffd}\u{fffe}\u{feff}\u{10000}\u{10ffff}";
    let frame = client_frame(FIN | TEXT, text.as_bytes());
    let mut link = Link::open(Limits::default());
    assert!(link.receive_messages(&frame) == [Message::text(&text)]);
    for read_bytes in [1, 2, 3, 5] {
        let messages: Vec<_> = frame.chunks(read_bytes).flat_map(|read| link.receive_messages(read)).collect();
        assert!(messages == [Message::text(&text)], "reads of {read_bytes} bytes");
    }
}

#[test]
fn the_reason_of_a_close_frame_that_is_not_utf8_fails_the_connection() {
    for (reason, _) in BAD {
        let frame = client_frame(FIN | CLOSE, &[b"\x03\xe8", reason].concat());
        Link::open(Limits::default()).fails(&frame, ProtocolError::InvalidUtf8, 1007);
    }
    let cut = client_frame(FIN | CLOSE, b"\x03\xe8\xe2\x82");
    Link::open(Limits::default()).fails(&cut, ProtocolError::InvalidUtf8, 1007);
    // The payload of a ping is no text.
    let mut link = Link::open(Limits::default());
    link.receive(&client_frame(FIN | PING, b"\xff"));
    assert_eq!(link.take_frames(), [ServerFrame::new(PONG, b"\xff")]);
}

#[test]
fn what_is_read_as_text_in_the_opening_handshake_must_be_text() {
    let malformed_line = HandshakeError::MalformedHead("the request line");
    for (from, to, error) in [
        ("/c", &b"/\xff"[..], malformed_line),
        ("GET", b"G\xc3(T", malformed_line),
        ("Host", b"H\xffst", HandshakeError::MalformedHead("the name of a header field")),
        ("Host: localhost", b"Host: \xff", HandshakeError::Host),
        ("Key: dGhl", b"Key: dGh\xff", HandshakeError::Key),
        ("Version: 13", b"Version: 13\xff", HandshakeError::Version),
        ("websocket\r\n", b"\xffwebsocket\r\n", HandshakeError::NotAnUpgrade),
        ("Host: localhost", b"Host: localhost\r\nSec-WebSocket-Protocol: \xff", HandshakeError::Subprotocols),
        ("Host: localhost", b"Host: localhost\r\nSec-WebSocket-Extensions: \xff", HandshakeError::Extensions),
    ] {
        let mut link = Link::connecting(Limits::default());
        link.receive(&request(from, to));
        assert_eq!(link.connection.end(), Some(&End::Refused(error)), "{from}");
        assert_eq!(link.connection.state(), State::Closed);
        let (status, _) = error.status();
        assert_eq!(server_response(&link.take(usize::MAX)).0, status);
    }
}

#[test]
fn what_is_not_read_as_text_in_the_opening_handshake_is_any_bytes() {
    let mut link = Link::connecting(Limits::default());
    let mut bytes = request("Host: localhost", b"Host: localhost\r\nCookie: \xff");
    let Some(Event::Request(request)) = link.connection.poll_event(&mut Input::new(&mut bytes), link.now) else {
        panic!("it is a request");
    };
    assert_eq!(request.header("cookie"), [b"\xff"]);
}

/// The request with a part of it replaced.
fn request(from: &str, to: &[u8]) -> Vec<u8> {
    let at = REQUEST_HEAD.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
    [&REQUEST_HEAD[..at], to, &REQUEST_HEAD[at + from.len()..]].concat()
}
