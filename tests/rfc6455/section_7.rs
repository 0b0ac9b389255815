//! §7: closing the connection: the TCP connection, the closing handshake, failing, and close codes.

use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use frameloop::chat::{Echo, Hub};
use frameloop::protocol::{CloseCode, End, HandshakeError, Limits, Message, ProtocolError, State};
use frameloop::server::{App, ConnId, Outbox};

use crate::client::Client;
use crate::driver::{Link, seconds};
use crate::harness::{DEADLINE, Late, NEVER, Running, config};
use crate::section_5_1::Deed;
use crate::wire::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, REQUEST_HEAD, ServerFrame, TEXT, client_frame, close_payload,
    server_frames, server_response,
};

/// A server that waits for nothing: what ends, ends because of what was said, and at once.
fn server() -> Running {
    Running::start(config(Limits { close_timeout: NEVER, handshake_timeout: NEVER, ..Limits::default() }), Closer)
}

/// Echoes, but closes with 4000 at the text "close".
struct Closer;

impl App for Closer {
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        match message.as_bytes() {
            b"close" => out.close(id, CloseCode::new(4000).unwrap(), "as you wish"),
            _ => out.send(id, message),
        }
    }
}

/// Bytes that fail an open connection, and the code that says why.
fn broken_rules() -> [(Vec<u8>, ProtocolError, u16); 5] {
    [
        (b"\x81\x05Hello".to_vec(), ProtocolError::UnmaskedFrame, 1002),
        (client_frame(FIN | 0x3, b""), ProtocolError::ReservedOpcode(3), 1002),
        (client_frame(FIN | CLOSE, b"\x03\xed"), ProtocolError::InvalidCloseCode(1005), 1002),
        (client_frame(FIN | TEXT, b"\xff"), ProtocolError::InvalidUtf8, 1007),
        (
            client_frame(FIN | BINARY, &[7; (1 << 20) + 1]),
            ProtocolError::MessageTooBig { announced: (1 << 20) + 1, limit: 1 << 20 },
            1009,
        ),
    ]
}

// ---- §7.1.1, §7.1.2: the TCP connection

#[test]
fn the_server_is_the_first_to_close_the_tcp_connection_and_does_so_at_once() {
    let server = server();
    let mut client = Client::open(server.address());
    client.send_close(1000);
    assert_eq!(client.close_frame().0, 1000);
    client.expect_end(); // the client has not ended its side, and no time that the server could wait for is over
}

#[test]
fn once_a_close_frame_was_sent_and_received_the_tcp_connection_is_closed() {
    let server = server();
    let mut client = Client::open(server.address());
    client.send_text("close");
    assert_eq!(client.close_frame(), (4000, "as you wish".to_owned()));
    client.send_close(4000);
    client.expect_end();
    client.shutdown_write();

    // Not before: as long as the peer's Close has not come, the server waits for it and reads on.
    let mut link = Link::open(Limits::default());
    link.connection.close(CloseCode::NORMAL, "", link.now);
    link.take(usize::MAX);
    assert_eq!((link.connection.state(), link.connection.is_done()), (State::CloseSent, false));
    link.receive(&client_frame(FIN | CLOSE, b""));
    assert_eq!(link.connection.state(), State::Closed);
}

#[test]
fn the_tcp_connection_is_closed_cleanly_and_trailing_bytes_are_discarded() {
    // Were it dropped with bytes unread, it would be reset, and the Close frame could be lost on its way.
    let server = server();
    for (last, number) in [(client_frame(FIN | CLOSE, b"\x03\xe8"), 1000), (client_frame(FIN | TEXT, b"\xff"), 1007)] {
        let mut client = Client::open(server.address());
        client.write(&last);
        client.write(&vec![0x55; 4 << 20]);
        assert_eq!(client.close_frame().0, number);
        client.expect_end(); // an orderly one, or it fails
        client.write(b"still no reset");
        client.shutdown_write();
        assert_eq!(client.fill(Duration::from_secs(1)).unwrap(), 0);
    }
}

#[test]
fn a_peer_that_does_not_close_its_side_is_dropped_at_the_end_of_the_time() {
    let limits = Limits { close_timeout: seconds(5), ..Limits::default() };
    let ends: [Deed; 3] = [
        |l| l.connection.close(CloseCode::NORMAL, "", l.now),
        |l| drop(l.receive(&client_frame(FIN | CLOSE, b""))),
        |l| drop(l.receive(&client_frame(FIN | 0x3, b""))),
    ];
    for end in ends {
        let mut link = Link::open(limits.clone());
        end(&mut link);
        link.advance(seconds(5) - Duration::from_millis(1));
        assert!(!link.connection.is_done());
        link.advance(Duration::from_millis(1));
        assert!(link.connection.is_done(), "and what waits is dropped with it");
        assert_eq!(link.connection.queued_bytes(), 0);
    }
}

#[test]
fn a_closing_handshake_is_started_with_a_close_frame_of_this_code_and_reason() {
    let mut link = Link::open(Limits::default());
    link.connection.send(Message::text("before"), link.now);
    link.connection.close(CloseCode::SERVICE_RESTART, "restart", link.now);
    link.connection.close(CloseCode::INTERNAL_ERROR, "a second time", link.now);
    let expected = [ServerFrame::new(TEXT, b"before"), ServerFrame::new(CLOSE, &close_payload(1012, "restart"))];
    assert_eq!(link.take_frames(), expected);
    assert_eq!(link.connection.state(), State::CloseSent);
    assert_eq!(link.connection.end(), Some(&End::ClosedByUs(CloseCode::SERVICE_RESTART)), "the first one counts");
}

// ---- §7.1.7, §7.2.2: failing

#[test]
fn to_fail_the_connection_is_to_close_its_tcp_connection() {
    let server = server();
    for (bytes, error, code) in broken_rules() {
        let mut client = Client::open(server.address());
        client.write(&bytes);
        assert_eq!(client.close_frame().0, code, "{error}");
        client.expect_end();
    }
}

#[test]
fn a_connection_that_failed_is_logged_with_the_problem() {
    listen_to_the_log();
    let server = server();
    for (bytes, error, code) in broken_rules() {
        let mut client = Client::open(server.address());
        let address = client.writer().local_addr().unwrap();
        client.write(&bytes);
        client.close_frame();
        expect_in_the_log(&[
            "closed id=",
            &format!(" addr={address} "),
            &format!(" code={code} "),
            &format!(" detail=\"{error}\""),
        ]);
    }
    let mut client = Client::connect(server.address());
    let address = client.writer().local_addr().unwrap();
    client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.rest();
    expect_in_the_log(&["refused id=", &format!(" addr={address} "), " reason=not_an_upgrade status=426 "]);
}

#[test]
fn a_connection_that_fails_once_it_is_established_is_sent_a_close_frame_with_an_appropriate_code() {
    let too_big = Limits { message_bytes_max: 10, ..Limits::default() };
    for (first, payload, code, word) in [
        (FIN | 0x3, &b""[..], 1002, "protocol_error: "),
        (FIN | TEXT, b"\xff", 1007, "bad_utf8: "),
        (FIN | BINARY, b"more than 10", 1009, "message_too_large: "),
    ] {
        let mut link = Link::open(too_big.clone());
        link.receive(&client_frame(first, payload));
        let frames = link.take_frames();
        let [close] = &frames[..] else { panic!("one Close frame: {frames:?}") };
        assert_eq!(close.close_code(), Some(code));
        assert!(close.payload[2..].starts_with(word.as_bytes()), "{close:?}");
    }
}

#[test]
fn a_connection_that_fails_after_our_close_frame_is_closed_without_another() {
    for (bytes, error, _) in broken_rules() {
        for flushed in [false, true] {
            let mut link = Link::open(Limits::default());
            link.connection.close(CloseCode::GOING_AWAY, "", link.now);
            let mut sent = if flushed { link.take(usize::MAX) } else { Vec::new() };
            assert!(link.receive(&bytes).is_empty());
            assert_eq!(link.connection.state(), State::Closed, "{error}: it does not wait for the peer's Close");
            link.receive(&client_frame(FIN | PING, b"late"));
            sent.extend(link.take(usize::MAX));
            assert_eq!(server_frames(&sent), [ServerFrame::new(CLOSE, &close_payload(1001, ""))], "{error}");
        }
    }
    let server = server(); // it would wait for the peer's Close as long as the test
    for (bytes, ..) in broken_rules() {
        let mut client = Client::open(server.address());
        client.send_text("close");
        assert_eq!(client.close_frame().0, 4000);
        client.write(&bytes);
        client.expect_end();
    }
}

#[test]
fn a_peer_that_could_not_receive_a_close_frame_is_sent_none() {
    let mut link = Link::open(Limits::default());
    link.connection.abort(link.now);
    assert_eq!((link.connection.end(), link.waiting()), (Some(&End::Reset), Vec::new()));
    assert!(link.connection.is_done());
}

#[test]
fn nothing_is_processed_once_the_connection_failed_not_even_a_close_frame() {
    let later = [
        (FIN | TEXT, &b"late"[..]),
        (FIN | BINARY, b"late"),
        (CONTINUATION, b""),
        (FIN | PING, b"late"),
        (FIN | PONG, b""),
        (FIN | CLOSE, b"\x03\xe8"),
        (FIN | CLOSE, b"x"),
        (FIN | TEXT, b"\xff"),
        (0xff, b"another error"),
    ];
    for (bytes, error, code) in broken_rules() {
        for (first, payload) in later {
            let late = client_frame(first, payload);
            // In the same read, and in a later one.
            for reads in [vec![[&bytes[..], &late].concat()], vec![bytes.clone(), late]] {
                let mut link = Link::open(Limits::default());
                let messages: Vec<_> = reads.iter().flat_map(|read| link.receive(read)).collect();
                assert!(messages.is_empty(), "{error}, then {first:#x}");
                let frames = link.take_frames();
                let codes: Vec<_> = frames.iter().map(ServerFrame::close_code).collect();
                assert_eq!(codes, [Some(code)], "{error}, then {first:#x}");
                assert_eq!(link.connection.end(), Some(&End::Failed(error)), "then {first:#x}");
            }
        }
    }
}

#[test]
fn a_request_that_is_refused_is_answered_and_what_follows_is_not_looked_at() {
    let mut link = Link::connecting(Limits::default());
    let request = std::str::from_utf8(REQUEST_HEAD).unwrap().replace("Upgrade: websocket\r\n", "");
    let frames = [client_frame(FIN | TEXT, b"late"), client_frame(FIN | PING, b""), client_frame(FIN | CLOSE, b"")];
    assert!(link.receive(&[request.as_bytes(), &frames.concat()].concat()).is_empty());
    assert_eq!(link.connection.state(), State::Closed);
    assert_eq!(link.connection.end(), Some(&End::Refused(HandshakeError::NotAnUpgrade)));
    let response = String::from_utf8(link.take(usize::MAX)).unwrap();
    assert!(response.starts_with("HTTP/1.1 426 ") && response.ends_with("}\n"), "{response}");
    link.connection.close(CloseCode::NORMAL, "", link.now);
    assert_eq!(link.connection.queued_bytes(), 0, "no Close frame without an open connection");
}

#[test]
fn a_handshake_that_is_aborted_closes_the_tcp_connection() {
    let server = server();
    for (request, status) in [
        (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], 426),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"no HTTP at all\r\n\r\n", 400),
    ] {
        let mut client = Client::connect(server.address());
        client.write(request);
        let bytes = client.rest(); // up to the end of file, which the client waits for
        assert_eq!(server_response(&bytes).0, status);
    }
}

// ---- §7.3, §7.4: normal closure and codes

#[test]
fn the_server_may_close_the_connection_whenever_it_wants() {
    let before: [(&str, &[u8]); 4] = [
        ("right after the handshake", b""),
        ("after a message", &client_frame(FIN | TEXT, b"message")),
        ("inside a message", &client_frame(TEXT, b"fragment")),
        ("inside a frame", &client_frame(FIN | BINARY, &[7; 300])[..100]),
    ];
    for (name, bytes) in before {
        let mut link = Link::open(Limits::default());
        link.receive(bytes);
        link.connection.close(CloseCode::GOING_AWAY, "whenever", link.now);
        assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, &close_payload(1001, "whenever"))], "{name}");
    }
    let server = Running::start(config(Limits::default()), Echo);
    let mut client = Client::open(server.address());
    server.stop();
    assert_eq!(client.close_frame(), (1001, "shutdown".to_owned()));
    client.send_close(1001);
    client.expect_end();
}

#[test]
fn the_defined_codes_may_be_sent() {
    for (code, number) in [
        (CloseCode::NORMAL, 1000),
        (CloseCode::GOING_AWAY, 1001),
        (CloseCode::PROTOCOL_ERROR, 1002),
        (CloseCode::UNSUPPORTED_DATA, 1003),
        (CloseCode::INVALID_PAYLOAD, 1007),
        (CloseCode::POLICY_VIOLATION, 1008),
        (CloseCode::MESSAGE_TOO_BIG, 1009),
        (CloseCode::INTERNAL_ERROR, 1011),
    ] {
        let mut link = Link::open(Limits::default());
        link.connection.close(code, "reason", link.now);
        assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, &close_payload(number, "reason"))]);
    }
}

#[test]
fn a_binary_message_to_a_chat_that_takes_text_is_answered_with_1003() {
    let server = Running::start(config(Limits::default()), Late(Hub::default));
    let mut client = Client::open(server.address());
    client.send(FIN | BINARY, b"data");
    assert_eq!(client.close_frame().0, 1003);
    client.send_close(1003);
    client.expect_end();
}

#[test]
fn code_1005_is_never_sent() {
    assert_eq!(CloseCode::new(1005), None);
    // No code is answered with none, and one that must not be there is not echoed.
    let mut link = Link::open(Limits::default());
    link.receive(&client_frame(FIN | CLOSE, b""));
    assert_eq!(link.take_frames(), [ServerFrame::new(CLOSE, b"")]);
    refuses_code(1005);
}

#[test]
fn code_1006_is_never_sent() {
    assert_eq!(CloseCode::new(1006), None);
    let mut link = Link::open(Limits::default());
    link.connection.send(Message::text("before"), link.now);
    link.connection.receive_eof(link.now); // what 1006 stands for
    assert_eq!(link.connection.end(), Some(&End::Lost));
    assert_eq!(link.connection.end().and_then(End::close_code), None);
    assert_eq!(link.take_frames(), [ServerFrame::new(TEXT, b"before")]);
    refuses_code(1006);
}

#[test]
fn code_1015_is_never_sent() {
    assert_eq!(CloseCode::new(1015), None);
    refuses_code(1015);
}

/// The peer must not send it either.
fn refuses_code(number: u16) {
    let frame = client_frame(FIN | CLOSE, &close_payload(number, ""));
    Link::open(Limits::default()).fails(&frame, ProtocolError::InvalidCloseCode(number), 1002);
}

// ---- the log

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static NEW_LINE: Condvar = Condvar::new();

/// Keeps the lines of all servers in this process; an address tells whose they are.
struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(record.args().to_string());
        NEW_LINE.notify_all();
    }

    fn flush(&self) {}
}

fn listen_to_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Listener).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

/// Waits for a line of the log with all these parts.
fn expect_in_the_log(parts: &[&str]) {
    let deadline = Instant::now() + DEADLINE;
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    while !lines.iter().any(|line| parts.iter().all(|part| line.contains(part))) {
        let patience = deadline.saturating_duration_since(Instant::now());
        assert!(!patience.is_zero(), "no line with {parts:?} in {lines:#?}");
        lines = NEW_LINE.wait_timeout(lines, patience).unwrap_or_else(PoisonError::into_inner).0;
    }
}
