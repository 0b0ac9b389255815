//! §7: the closing handshake, begun by either side, and its end by the server (§7.1.1).

use std::thread;
use std::time::{Duration, Instant};

use frameloop::chat::{Echo, Hub};
use frameloop::protocol::{CloseCode, End, Limits, Message, ProtocolError};
use frameloop::server::{App, ConnId, Outbox};
use tungstenite::protocol::CloseFrame;

use crate::client::{Client, library_client, write_until_dropped};
use crate::harness::{DEADLINE, Late, NEVER, Running, config, recording};
use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PING, ServerFrame, TEXT, client_frame, close_payload};

/// Limits in which only what a test is about ends a connection.
fn patient() -> Limits {
    Limits { close_timeout: NEVER, ..Limits::default() }
}

fn code(number: u16) -> CloseCode {
    CloseCode::new(number).unwrap()
}

/// Echoes, and after each echo closes with 4000.
struct EchoOnce;

impl App for EchoOnce {
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        out.send(id, message);
        out.close(id, code(4000), "that was it");
        out.send(id, Message::text("never sent"));
    }
}

#[test]
fn a_close_is_echoed_and_then_the_server_ends_the_connection() {
    let (app, record) = recording(Echo);
    let server = Running::start(config(patient()), app);
    for number in [1000, 1001, 1011, 3000, 4999] {
        let mut client = Client::open(server.address());
        client.send(FIN | CLOSE, &close_payload(number, "bye €"));
        assert_eq!(client.frame(), ServerFrame::new(CLOSE, &close_payload(number, "")));
        client.expect_end(); // §7.1.1: the server's TCP connection is ended first
        assert_eq!(record.next_end(), End::ClosedByPeer(Some(code(number))));
    }
    let mut client = Client::open(server.address());
    client.send(FIN | CLOSE, b"");
    assert_eq!(client.frame(), ServerFrame::new(CLOSE, b""));
    client.expect_end();
    assert_eq!(record.next_end(), End::ClosedByPeer(None));
}

#[test]
fn replies_to_what_came_before_a_close_go_out_before_the_answer_to_it() {
    let server = Running::echo(patient());
    let mut client = Client::open(server.address());
    client.write(&client_frame(FIN | TEXT, b"message").repeat(3000));
    let echoes = client.close();
    assert_eq!(echoes, vec![ServerFrame::new(TEXT, b"message"); 3000]);
}

#[test]
fn the_server_closes_behind_what_it_sent_before_and_sends_nothing_after() {
    let (app, record) = recording(EchoOnce);
    let server = Running::start(config(patient()), app);
    let mut client = Client::open(server.address());
    client.send_text("hello");
    assert_eq!(client.text(), "hello");
    assert_eq!(client.close_frame(), (4000, "that was it".to_owned()));
    client.send_text("too late"); // §1.4: data is discarded until the peer's Close comes
    client.send(FIN | PING, b"");
    client.send_close(4000);
    let pongs = client.rest();
    assert!(pongs.is_empty() || pongs == [0x8a, 0], "at most the pong: {pongs:?}");
    assert_eq!(record.next_end(), End::ClosedByUs(code(4000)));
}

#[test]
fn a_client_that_never_answers_our_close_is_dropped_at_the_end_of_the_time() {
    let limits = Limits { close_timeout: Duration::from_millis(300), ..Limits::default() };
    let (app, record) = recording(EchoOnce);
    let server = Running::start(config(limits.clone()), app);
    let mut silent = Client::open(server.address());
    let mut talkative = Client::open(server.address());
    let writer = talkative.writer();
    let frames = client_frame(FIN | TEXT, b"on and on").repeat(1000);
    let talking = thread::spawn(move || write_until_dropped(writer, &frames));
    let start = Instant::now();
    silent.send_text("hello");
    assert_eq!(silent.text(), "hello");
    assert_eq!(silent.close_frame().0, 4000);
    silent.expect_dropped();
    assert!(start.elapsed() >= limits.close_timeout);
    talkative.expect_dropped();
    talking.join().unwrap();
    for _ in 0..2 {
        assert_eq!(record.next_end(), End::ClosedByUs(code(4000)));
    }
}

#[test]
fn a_client_that_does_not_end_its_side_is_dropped_at_the_end_of_the_time() {
    let limits = Limits { close_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = Running::echo(limits.clone());
    let mut client = Client::open(server.address());
    let start = Instant::now();
    client.send_close(1000);
    assert_eq!(client.close_frame().0, 1000);
    client.expect_end();
    // Its own writes tell that there is nobody any more.
    while client.try_write(b"x").is_ok() {
        thread::yield_now();
        assert!(start.elapsed() < DEADLINE, "still there");
    }
    assert!(start.elapsed() >= limits.close_timeout);
}

#[test]
fn a_close_arrives_although_the_client_goes_on_sending() {
    // Were the connection dropped with bytes unread, it would be reset and the Close lost on its way.
    let server = Running::echo(Limits::default());
    let reserved = [FIN | 0x3, 0x80, 0, 0, 0, 0];
    let huge = client_frame(FIN | BINARY, &vec![0; 3 * 1024 * 1024]);
    let invalid = client_frame(FIN | TEXT, b"\xff");
    let close = client_frame(FIN | CLOSE, &close_payload(1000, ""));
    for (last, number) in [(&reserved[..], 1002), (&huge, 1009), (&invalid, 1007), (&close, 1000)] {
        let mut client = Client::open(server.address());
        client.write(last);
        client.write(&vec![0x55; 1024 * 1024]);
        assert_eq!(client.close_frame().0, number);
        client.expect_end();
    }
}

#[test]
fn a_close_arrives_at_a_client_that_never_stops_sending() {
    let limits = Limits { close_timeout: Duration::from_millis(500), ..Limits::default() };
    let server = Running::echo(limits);
    let mut client = Client::open(server.address());
    let writer = client.writer();
    client.write(b"\x00\x00"); // unmasked
    let talking = thread::spawn(move || write_until_dropped(writer, &[0x55; 65_536]));
    let (number, reason) = client.close_frame();
    assert_eq!((number, &reason[..14]), (1002, "protocol_error"));
    client.expect_end();
    talking.join().unwrap();
}

#[test]
fn each_broken_rule_ends_the_connection_with_its_code() {
    let (app, record) = recording(Echo);
    let server = Running::start(config(patient()), app);
    for (bytes, number, error) in [
        (vec![0x83, 0x80, 0, 0, 0, 0], 1002, ProtocolError::ReservedOpcode(3)),
        (vec![0xc1, 0x80, 0, 0, 0, 0], 1002, ProtocolError::ReservedBits(0x40)),
        (vec![0x81, 0x00], 1002, ProtocolError::UnmaskedFrame),
        (vec![0x82, 0xfe, 0, 125], 1002, ProtocolError::LengthNotMinimal(125)),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002, ProtocolError::LengthTooLarge(1 << 63)),
        (vec![0x89, 0xfe], 1002, ProtocolError::ControlFrameTooLong),
        (vec![0x09, 0x80], 1002, ProtocolError::ControlFrameFragmented),
        (client_frame(CONTINUATION, b""), 1002, ProtocolError::UnexpectedContinuation),
        (client_frame(TEXT, b"").repeat(2), 1002, ProtocolError::ExpectedContinuation),
        (client_frame(FIN | CLOSE, b"\x03"), 1002, ProtocolError::CloseTooShort),
        (client_frame(FIN | CLOSE, b"\x03\xed"), 1002, ProtocolError::InvalidCloseCode(1005)),
        (client_frame(FIN | CLOSE, b"\x03\xe8\xff"), 1007, ProtocolError::InvalidUtf8),
        (client_frame(TEXT, b"\xed\xa0"), 1007, ProtocolError::InvalidUtf8), // §8.1: before the message is whole
    ] {
        let mut client = Client::open(server.address());
        client.exchange("all is well");
        client.write(&bytes);
        assert_eq!(client.close_frame().0, number, "{error}");
        client.expect_end();
        assert_eq!(record.next_end(), End::Failed(error));
    }
}

#[test]
fn a_library_client_closes_and_is_closed() {
    let server = Running::hub(patient());
    let mut client = library_client(server.address());
    client.send(tungstenite::Message::binary(&b"not for a chat"[..])).unwrap();
    let expected = CloseFrame { code: 1003.into(), reason: "binary".into() };
    assert_eq!(client.read().unwrap(), tungstenite::Message::Close(Some(expected)));
    assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));

    let mut client = library_client(server.address());
    let frame = CloseFrame { code: 4321.into(), reason: "enough".into() };
    client.close(Some(frame)).unwrap();
    let echo = CloseFrame { code: 4321.into(), reason: "".into() };
    assert_eq!(client.read().unwrap(), tungstenite::Message::Close(Some(echo)));
    assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));
}

#[test]
fn closes_of_both_sides_may_cross() {
    let (app, record) = recording(Late(Hub::default));
    let server = Running::start(config(patient()), app);
    let mut client = Client::open(server.address());
    let crossing = client_frame(FIN | CLOSE, &close_payload(1001, ""));
    client.write(&[client_frame(FIN | BINARY, b""), crossing].concat());
    assert_eq!(client.close_frame().0, 1003); // §5.5.1: one Close from each side, no second one
    client.expect_end();
    assert_eq!(record.next_end(), End::ClosedByUs(code(1003)));
}
