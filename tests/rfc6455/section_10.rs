//! §10: security considerations, as far as they are rules. Masking (§10.3) is tested in `section_5_3`.

use std::io::{Read as _, Write as _};

use frameloop::chat::Echo;
use frameloop::protocol::handshake::origin::Origins;
use frameloop::protocol::{End, HandshakeError, Limits, ProtocolError, State};
use frameloop::server::Config;

use crate::client::Client;
use crate::driver::Link;
use crate::harness::{Running, config};
use crate::request::{Answer, and, with};
use crate::wire::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, ServerFrame, TEXT, client_frame, close_payload};

/// A server for the pages of one site, on loopback.
fn server_for(site: &str) -> Running {
    let mut origins = Origins::default();
    origins.allow(site).expect("it is an origin");
    Running::start(Config { origins, ..config(Limits::default()) }, Echo)
}

/// The status of the response to a request with these lines.
fn status_with(server: &Running, lines: &str) -> String {
    let mut client = Client::connect(server.address());
    client.write(&and(lines));
    client.response_head()[..12].to_owned()
}

#[test]
fn only_pages_that_are_expected_may_open_a_connection() {
    let server = server_for("https://app.example.com");
    for lines in ["", "Origin: https://app.example.com\r\n", "Origin: http://localhost:3000\r\n"] {
        assert_eq!(
            status_with(&server, lines),
            "HTTP/1.1 101",
            "{lines:?}: listed, on this machine, or no page at all"
        );
    }
    for origin in ["https://evil.example", "http://app.example.com", "https://app.example.com:8443"] {
        assert_eq!(status_with(&server, &format!("Origin: {origin}\r\n")), "HTTP/1.1 403", "{origin}");
    }
}

#[test]
fn an_origin_that_is_unknown_repeated_or_none_is_answered_with_403() {
    let server = server_for("https://app.example.com");
    for lines in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: \r\n",
        "Origin: app.example.com\r\n",
        "Origin: https://app.example.com/\r\n",
        "Origin: https://app.example.com https://evil.example\r\n",
        "Origin: https://app.example.com\r\nOrigin: https://app.example.com\r\n",
    ] {
        assert_eq!(status_with(&server, lines), "HTTP/1.1 403", "{lines:?}");
    }
}

/// The header of a binary message of 2^60 bytes, and a part of its payload.
const HUGE: &[u8] = b"\x82\xff\x10\0\0\0\0\0\0\0\x01\x02\x03\x04payload";

#[test]
fn a_frame_above_the_limit_fails_the_connection_by_its_header_alone() {
    let limits = Limits { message_bytes_max: 1000, ..Limits::default() };
    for first in [FIN | TEXT, FIN | BINARY, TEXT, BINARY] {
        let mut link = Link::open(limits.clone());
        let frame = client_frame(first, &[b'x'; 1001]);
        let header_len = frame.len() - 1001;
        assert!(link.receive(&frame[..header_len - 1]).is_empty());
        let error = ProtocolError::MessageTooBig { announced: 1001, limit: 1000 };
        link.fails(&frame[header_len - 1..header_len], error, 1009);
    }
    let mut link = Link::open(Limits::default());
    let error = ProtocolError::MessageTooBig { announced: 1 << 60, limit: 1024 * 1024 };
    link.fails(HUGE, error, 1009);
}

#[test]
fn a_message_of_fragments_above_the_limit_fails_the_connection() {
    for opcode in [TEXT, BINARY] {
        let mut link = Link::open(Limits { message_bytes_max: 1000, ..Limits::default() });
        assert!(link.receive(&client_frame(opcode, &[b'x'; 400])).is_empty());
        assert!(link.receive(&client_frame(CONTINUATION, &[b'x'; 600])).is_empty());
        assert!(link.receive(&client_frame(CONTINUATION, b"")).is_empty(), "1000 bytes are not too many");
        let error = ProtocolError::MessageTooBig { announced: 1001, limit: 1000 };
        link.fails(&client_frame(FIN | CONTINUATION, b"x"), error, 1009);
    }
}

#[test]
fn a_long_stream_of_small_fragments_fails_the_connection() {
    for opcode in [TEXT, BINARY] {
        let mut link = Link::open(Limits { message_frames_max: 100, ..Limits::default() });
        link.receive(&client_frame(opcode, b""));
        link.receive(&client_frame(CONTINUATION, b"").repeat(99));
        link.receive(&client_frame(FIN | PING, b"a control frame does not count"));
        assert_eq!(link.take_frames(), [ServerFrame::new(PONG, b"a control frame does not count")]);
        link.fails(&client_frame(FIN | CONTINUATION, b""), ProtocolError::TooManyFrames(100), 1009);
    }
}

#[test]
fn a_message_of_exactly_the_limits_is_taken_again_and_again() {
    let mut link = Link::open(Limits { message_bytes_max: 6, message_frames_max: 3, ..Limits::default() });
    let fragments = [client_frame(TEXT, b"ab"), client_frame(CONTINUATION, b"cd"), client_frame(FIN, b"ef")].concat();
    for _ in 0..10 {
        assert_eq!(link.receive(&client_frame(FIN | TEXT, b"abcdef")), [b"abcdef"]);
        assert_eq!(link.receive(&fragments), [b"abcdef"]);
    }
}

/// §10.7, with one byte stream for each floor on which data is validated: header, order, text, close code, size.
#[test]
fn invalid_data_gets_a_close_frame_with_its_status_code() {
    let too_big = ProtocolError::MessageTooBig { announced: 1 << 60, limit: 1024 * 1024 };
    for (bytes, error, code) in [
        (client_frame(FIN | 0x3, b""), ProtocolError::ReservedOpcode(3), 1002),
        (b"\x81\x05Hello".to_vec(), ProtocolError::UnmaskedFrame, 1002),
        (client_frame(FIN | CONTINUATION, b""), ProtocolError::UnexpectedContinuation, 1002),
        (client_frame(FIN | CLOSE, &close_payload(1005, "")), ProtocolError::InvalidCloseCode(1005), 1002),
        (client_frame(FIN | TEXT, b"\xff"), ProtocolError::InvalidUtf8, 1007),
        (HUGE.to_vec(), too_big, 1009),
    ] {
        Link::open(Limits::default()).fails(&bytes, error, code);
    }
}

#[test]
fn invalid_data_in_the_handshake_gets_an_http_status() {
    for (head, status) in [
        (b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4".to_vec(), 400), // a TLS ClientHello
        (b"\x81\x85\x01\x02\x03\x04Iegho".to_vec(), 400),        // a frame, which holds a NUL
        (b"hello\r\n".to_vec(), 400),
        (with("Host", "Host: localhost\n"), 400),
        (with("Sec-WebSocket-Key", "Sec-WebSocket-Key: ?\r\n"), 400),
        (with("GET", "BREW /c HTTP/1.1\r\n"), 405),
        (with("Sec-WebSocket-Version", "Sec-WebSocket-Version: x\r\n"), 426),
        (and(&"x: y\r\n".repeat(1000)), 431),
        (vec![b'x'; 1024 * 1024], 431),
    ] {
        let answer = Answer::to(&[&head[..], b"\r\n\r\n"].concat(), &[]);
        assert_eq!(answer.status, status, "{}", head[..head.len().min(200)].escape_ascii());
        assert_eq!(answer.connection.state(), State::Closed);
        assert!(answer.request.is_none());
    }
    let mut link = Link::connecting(Limits::default());
    link.advance(Limits::default().handshake_timeout);
    assert_eq!(link.connection.end(), Some(&End::Refused(HandshakeError::Timeout)));
    assert_eq!(Answer::of(link.connection, None).status, 408, "nothing at all");
}

#[test]
fn after_invalid_data_the_server_ends_the_tcp_connection() {
    let server = Running::echo(Limits::default());
    let mut open = Client::open(server.address());
    open.send(FIN | TEXT, b"\xff");
    assert_eq!(open.close_frame().0, 1007);
    open.expect_end();
    let mut connecting = Client::connect(server.address());
    connecting.write(b"hello\n");
    assert!(connecting.response_head().starts_with("HTTP/1.1 400 "));
    connecting.rest();
}

/// A client that speaks TLS and knows the certificate of the tests.
fn over_tls(server: &Running) -> rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream> {
    let config = crate::files::client_config(&[&rustls::version::TLS12, &rustls::version::TLS13]);
    let session = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let socket = std::net::TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
    rustls::StreamOwned::new(session, socket)
}

#[test]
fn all_of_a_connection_runs_within_tls_where_the_port_speaks_it() {
    let files = crate::files::FIRST.files();
    let server = Running::start(Config { tls: Some(files), ..config(Limits::default()) }, Echo);
    let mut client = over_tls(&server);
    client.write_all(&[&and("")[..], &client_frame(FIN | TEXT, b"hello")].concat()).unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\x81\x05hello") {
        let mut bytes = [0; 512];
        let count = client.read(&mut bytes).unwrap();
        assert!(count > 0, "{}", received.escape_ascii());
        received.extend_from_slice(&bytes[..count]);
    }
    assert!(received.starts_with(b"HTTP/1.1 101 "));
    // What comes in the clear is no opening handshake there, and is answered so.
    let mut plain = Client::connect(server.address());
    plain.write(&and(""));
    let answer = plain.rest();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
}
