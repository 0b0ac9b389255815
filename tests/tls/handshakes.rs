//! TLS's own handshake and end: versions, ALPN, tickets, what is no TLS, and the order in which a connection ends.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use frameloop::chat::Echo;
use frameloop::protocol::{CloseCode, End, Limits};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};

use crate::client::Client;
use crate::files::{FIRST, client_config};
use crate::harness::{DEADLINE, NEVER, Running, config, recording};
use crate::stream::begin_with;
use crate::wire::{CLOSE, FIN, ServerFrame, TEXT, client_frame, close_payload};

fn patient() -> Limits {
    Limits { handshake_timeout: NEVER, close_timeout: NEVER, ..Limits::default() }
}

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Client {
    Client::of_stream(begin_with(socket(address), config.clone()))
}

fn socket(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// What the server says to bytes that are no TLS, up to the end.
fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = socket(address);
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    answer
}

/// Of an alert that is not encrypted: its description (RFC 8446 §6).
fn alert(answer: &[u8]) -> Option<u8> {
    match answer {
        [21, 3, _, 0, 2, 2, description] => Some(*description),
        _ => None,
    }
}

const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;

#[test]
fn versions_1_2_and_1_3_are_spoken_and_the_certificate_is_the_one_of_the_file() {
    let server = Running::echo(patient());
    for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut client = connect(server.address(), &client_config(&[version])).upgrade();
        client.exchange("hello");
        let session = client.stream.connected().unwrap();
        assert_eq!(session.protocol_version(), Some(number));
        assert_eq!(session.peer_certificates(), Some(&[FIRST.certificate()][..]));
        drop(session);
        client.leave();
    }
}

#[test]
fn alpn_is_http_1_1_or_nothing() {
    let server = Running::echo(patient());
    for version in [&TLS12, &TLS13] {
        let offering = |protocols: &[&str]| {
            let mut config = ClientConfig::clone(&client_config(&[version]));
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            connect(server.address(), &Arc::new(config))
        };
        for (protocols, selected) in [(&["h2", "http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
            let mut client = offering(protocols).upgrade();
            assert_eq!(client.stream.connected().unwrap().alpn_protocol(), selected);
            client.exchange("hello");
        }
        // RFC 7301 §3.2: no protocol in common.
        let error = offering(&["h2"]).stream.connected().map(drop).unwrap_err();
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    }
}

#[test]
fn a_client_that_comes_back_needs_no_new_key_exchange() {
    let server = Running::echo(patient());
    for version in [&TLS12, &TLS13] {
        let config = client_config(&[version]);
        let kinds = [(); 3].map(|()| {
            let mut client = connect(server.address(), &config).upgrade();
            client.exchange("hello"); // with it come the tickets of version 1.3
            let kind = client.stream.connected().unwrap().handshake_kind();
            client.leave();
            kind
        });
        assert_eq!(kinds[0], Some(HandshakeKind::Full));
        assert_eq!(kinds[1..], [Some(HandshakeKind::Resumed); 2], "{version:?}");
    }
}

#[test]
fn the_close_frame_comes_first_then_close_notify_then_the_end_of_the_socket() {
    let server = Running::echo(patient());
    for version in [&TLS12, &TLS13] {
        let mut client = connect(server.address(), &client_config(&[version])).upgrade();
        client.send(FIN | CLOSE, &close_payload(1000, ""));
        assert_eq!(client.frame(), ServerFrame::new(CLOSE, &close_payload(1000, "")));
        client.expect_end(); // without close_notify it is an error
        assert_eq!(client.stream.socket().read(&mut [0]).unwrap(), 0, "TCP ends too, and nothing is behind it");
    }
}

#[test]
fn an_end_without_close_notify_is_an_end_and_replies_still_arrive() {
    let (app, record) = recording(Echo);
    let server = Running::start(config(patient()), app);
    let mut client = Client::open(server.address());
    client.send_text("last words");
    client.stream.socket().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.text(), "last words");
    client.expect_end();
    assert_eq!(record.next_end(), End::Lost);

    // Behind a Close frame it is as clean as any: that frame is the proof.
    let mut client = Client::open(server.address());
    client.send_close(1000);
    client.stream.socket().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.close_frame().0, 1000);
    client.expect_end();
    assert_eq!(record.next_end(), End::ClosedByPeer(Some(CloseCode::NORMAL)));
}

#[test]
fn close_notify_with_the_last_frame_in_one_segment_ends_the_connection() {
    // Nothing more comes from the socket, so nothing more is reported.
    let (app, record) = recording(Echo);
    let server = Running::start(config(patient()), app);
    for version in [&TLS12, &TLS13] {
        let client = connect(server.address(), &client_config(&[version])).upgrade();
        let mut session = client.stream.connected().unwrap();
        session.writer().write_all(&client_frame(FIN | TEXT, b"bye")).unwrap();
        session.send_close_notify();
        let mut ciphertext = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut ciphertext).unwrap();
        }
        drop(session);
        client.stream.socket().write_all(&ciphertext).unwrap();
        let mut client = client;
        assert_eq!(client.text(), "bye");
        client.expect_end();
        assert_eq!(record.next_end(), End::Lost);
    }
}

#[test]
fn what_is_no_tls_gets_an_alert_and_the_end_and_disturbs_nobody() {
    let server = Running::echo(patient());
    let mut other = Client::open(server.address());
    // A ClientHello of an old version, in records of that version: random, no session, one cipher suite, no compression.
    let hello = |version: u8| {
        let body = [&[3, version][..], &[7; 32], &[0, 0, 2, 0, 0x2f, 1, 0]].concat();
        let header = [22, 3, version, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
        [&header[..], &body].concat()
    };
    for version in [0, 1, 2] {
        let alert = alert(&answer(server.address(), &hello(version)));
        assert!(matches!(alert, Some(HANDSHAKE_FAILURE | PROTOCOL_VERSION)), "3.{version}: {alert:?}");
    }
    // Of SSL 2; of nothing at all; an endless record; application data before the handshake; WebSocket.
    let ssl2 = b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x07\x00\xc0";
    for bytes in [&ssl2[..], &[0xff; 3000], &[22, 3, 3, 0xff, 0xff], b"\x17\x03\x03\x00\x01\x00", b"\x81\x85kkkkhello"]
    {
        let answer = answer(server.address(), bytes);
        assert!(alert(&answer).is_some(), "{bytes:x?}: {answer:x?}");
    }
    other.exchange("all is well");
    other.leave();
}

#[test]
fn broken_ciphertext_ends_its_connection_alone() {
    let (app, record) = recording(Echo);
    let server = Running::start(config(patient()), app);
    let mut other = Client::open(server.address());
    let client = Client::open(server.address());
    drop(client.stream.connected().unwrap());
    client.stream.socket().write_all(&[23, 3, 3, 0, 40].into_iter().chain([7; 40]).collect::<Vec<u8>>()).unwrap();
    assert_eq!(record.next_end(), End::Reset);
    other.exchange("all is well");
    other.leave();
}

#[test]
fn plain_http_is_told_that_this_port_speaks_tls() {
    let server = Running::echo(patient());
    for request in ["GET / HTTP/1.1\r\nHost: h\r\n\r\n", "POST /x HTTP/1.1\r\n", "G"] {
        let answer = String::from_utf8(answer(server.address(), request.as_bytes())).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("\r\nConnection: close"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head} {}", body.len());
        assert!(body.contains("wss://"), "{body}");
    }
}

#[test]
fn who_stops_in_the_midst_of_the_handshake_is_dropped_at_the_end_of_the_time() {
    let limits = Limits { handshake_timeout: Duration::from_millis(300), close_timeout: NEVER, ..Limits::default() };
    let server = Running::echo(limits.clone());
    let start = Instant::now();
    let mut hello = Vec::new();
    let config = client_config(&[&TLS13]);
    let mut session = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    session.write_tls(&mut hello).unwrap();
    // Not a byte, a part of the first message, and all of it but not what comes next.
    let mut sockets = [0, 1, hello.len() / 2, hello.len()].map(|count| {
        let mut socket = socket(server.address());
        socket.write_all(&hello[..count]).unwrap();
        socket
    });
    for socket in &mut sockets {
        let _ = socket.read_to_end(&mut Vec::new()).unwrap();
    }
    assert!(start.elapsed() >= limits.handshake_timeout);
    // With TLS, but without a request, it can be told.
    let mut silent = Client::connect(server.address());
    crate::refusals::expect_refusal(&mut silent, 408, "handshake_timeout");
}
