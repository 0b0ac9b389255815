//! §4.2: what a server does with a client's request (§4.2.1), and its answer (§4.2.2). The rules for each part of the
//! request stand in `section_4_1`.

use frameloop::chat::Echo;
use frameloop::protocol::{HandshakeError, Limits, Message, State};
use frameloop::server::Config;
use tungstenite::handshake::derive_accept_key;

use crate::client::{Client, library_client};
use crate::driver::Link;
use crate::harness::{Running, config};
use crate::request::{Answer, accepted, and, refused, with};
use crate::wire::{REQUEST_HEAD, ServerFrame, TEXT, server_frames, server_response};

// ---- §4.2.1

/// One request for each rule. `refused` shows that what follows is not processed.
#[test]
fn a_request_that_breaks_a_rule_gets_an_http_error_and_nothing_after_it_is_processed() {
    for (head, error, status) in [
        (with("GET", "GET /c HTTP/1.0\r\n"), HandshakeError::HttpVersion, 400),
        (with("GET", "POST /c HTTP/1.1\r\n"), HandshakeError::MethodNotGet, 405),
        (with("Host", ""), HandshakeError::Host, 400),
        (with("Upgrade", ""), HandshakeError::NotAnUpgrade, 426),
        (with("Connection", ""), HandshakeError::ConnectionWithoutUpgrade, 400),
        (with("Sec-WebSocket-Key", ""), HandshakeError::Key, 400),
        (with("Sec-WebSocket-Version", ""), HandshakeError::Version, 426),
        (and("Sec-WebSocket-Protocol: a b\r\n"), HandshakeError::Subprotocols, 400),
        (and("Sec-WebSocket-Extensions: a;\r\n"), HandshakeError::Extensions, 400),
    ] {
        let answer = refused(&head, error, status);
        assert!(answer.lines[0].starts_with(&format!("HTTP/1.1 {status} ")), "{:?}", answer.lines);
        assert!(answer.values("Connection")[0].ends_with("close"), "RFC 9112 §9.6: {:?}", answer.lines);
    }
}

#[test]
fn the_order_of_the_header_fields_is_not_important() {
    let head = std::str::from_utf8(REQUEST_HEAD).unwrap();
    let lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    let (first, fields) = lines.split_first().unwrap();
    for turn in 0..fields.len() {
        let mut fields = fields.to_vec();
        fields.rotate_left(turn);
        for _ in 0..2 {
            fields.reverse();
            accepted(format!("{first}\r\n{}\r\n\r\n", fields.join("\r\n")).as_bytes());
        }
    }
}

#[test]
fn the_names_of_header_fields_are_compared_without_case() {
    for change in [str::to_ascii_lowercase, str::to_ascii_uppercase] {
        let head = std::str::from_utf8(REQUEST_HEAD).unwrap();
        let lines = head.split("\r\n").map(|line| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", change(name)),
            None => line.to_owned(),
        });
        accepted(lines.collect::<Vec<_>>().join("\r\n").as_bytes());
    }
}

#[test]
fn the_value_websocket_and_the_token_upgrade_are_compared_without_case() {
    for value in ["websocket", "WebSocket", "WEBSOCKET", "wEBsOCKET"] {
        accepted(&with("Upgrade", &format!("Upgrade: {value}\r\n")));
    }
    for value in ["upgrade", "Upgrade", "UPGRADE", "keep-alive, uPGRADE"] {
        accepted(&with("Connection", &format!("Connection: {value}\r\n")));
    }
}

#[test]
fn the_key_is_compared_with_case() {
    let lower = Answer::to(&with("Sec-WebSocket-Key", "Sec-WebSocket-Key: dghlihnhbxbszsbub25jzq==\r\n"), &[]);
    let sample = Answer::to(REQUEST_HEAD, &[]);
    assert_ne!(lower.values("Sec-WebSocket-Accept"), sample.values("Sec-WebSocket-Accept"));
}

#[test]
fn a_request_without_origin_is_answered_as_one_with_it() {
    let server = Running::echo(Limits::default());
    let with_origin = response_of(&server, &and("Origin: http://localhost\r\n"));
    assert_eq!(response_of(&server, REQUEST_HEAD), with_origin);
    let request = accepted(REQUEST_HEAD);
    assert!(request.header("Origin").is_empty(), "whoever asks learns that there was none, and no browser");
}

#[test]
fn unknown_header_fields_are_ignored() {
    let unknown = Answer::to(&and("Foo: bar\r\nSec-WebSocket-Foo: bar\r\nUpgrade-Insecure-Requests: 1\r\n"), &[]);
    assert_eq!(unknown.lines, Answer::to(REQUEST_HEAD, &[]).lines);
}

// ---- §4.2.2

/// Items 5.1 to 5.4, and nothing that only some clients understand.
#[test]
fn a_request_that_keeps_all_rules_gets_101_with_the_four_parts_of_the_handshake() {
    let answer = Answer::to(REQUEST_HEAD, &[]);
    assert_eq!(answer.lines[0], "HTTP/1.1 101 Switching Protocols");
    assert_eq!(answer.values("Upgrade"), ["websocket"]);
    assert_eq!(answer.values("Connection"), ["Upgrade"]);
    assert_eq!(answer.values("Sec-WebSocket-Accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="], "the value of the NOTE");
    assert_eq!(answer.lines.len(), 4, "{:?}", answer.lines);
    assert_eq!(answer.body, b"", "what follows are frames");
}

/// Item 5.4, against the computation of another library.
#[test]
fn the_accept_value_is_the_base64_of_the_sha_1_of_the_key_and_the_guid() {
    for i in 0..64_usize {
        let key: String = (0..21).map(|j| char::from(b'A' + (i * (7 + j) % 26) as u8)).collect();
        let key = format!("{key}A==");
        let answer = Answer::to(&with("Sec-WebSocket-Key", &format!("Sec-WebSocket-Key: \t{key}  \r\n")), &[]);
        assert_eq!(answer.values("Sec-WebSocket-Accept"), [derive_accept_key(key.as_bytes())], "{key}");
    }
}

#[test]
fn a_client_of_another_make_takes_the_response() {
    let subprotocols = vec!["chat".to_owned()];
    let server = Running::start(Config { subprotocols, ..config(Limits::default()) }, Echo);
    let mut client = library_client(server.address());
    client.send(tungstenite::Message::text("hello")).unwrap();
    assert_eq!(client.read().unwrap(), tungstenite::Message::text("hello"));
    client.close(None).unwrap();
    while client.read().is_ok() {}
}

#[test]
fn after_the_response_the_server_may_send_at_once() {
    let mut link = Link::connecting(Limits::default());
    link.receive(REQUEST_HEAD);
    assert_eq!(link.connection.state(), State::Open);
    link.connection.send(Message::text("welcome"), link.now);
    let bytes = link.take(usize::MAX);
    let (status, frames) = server_response(&bytes);
    assert_eq!(status, 101, "the response comes first");
    assert_eq!(server_frames(frames), [ServerFrame::new(TEXT, b"welcome")]);
}

#[test]
fn every_resource_name_is_a_service_of_this_server() {
    let server = Running::echo(Limits::default());
    let response = response_of(&server, REQUEST_HEAD);
    for target in ["/", "/a/b/c", "/?a=b", "/%00", "http://localhost/"] {
        let head = with("GET", &format!("GET {target} HTTP/1.1\r\n"));
        assert_eq!(response_of(&server, &head), response, "{target}");
    }
}

/// The head of the response of a real server, which must be a 101.
fn response_of(server: &Running, head: &[u8]) -> String {
    let mut client = Client::connect(server.address());
    client.write(head);
    let response = client.response_head();
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    response
}

#[test]
fn a_connection_that_the_server_does_not_wish_gets_an_http_error() {
    let server = Running::start(Config { connections_max: 1, ..config(Limits::default()) }, Echo);
    let _first = Client::open(server.address());
    let mut second = Client::connect(server.address());
    second.write(REQUEST_HEAD);
    let response = second.response_head().to_ascii_lowercase();
    assert!(response.starts_with("http/1.1 503 service unavailable\r\n"), "{response}");
    assert!(!response.contains("\r\nupgrade:") && !response.contains("sec-websocket-accept"), "{response}");
}

#[test]
fn a_subprotocol_is_selected_from_those_that_the_client_listed() {
    for (offers, ours, selected) in [
        ("chat", &["chat"][..], "chat"),
        ("superchat, chat", &["chat", "superchat"], "superchat"),
        ("other, chat", &["superchat", "chat"], "chat"),
        ("other\r\nSec-WebSocket-Protocol: chat", &["chat"], "chat"),
    ] {
        let answer = Answer::to(&and(&format!("Sec-WebSocket-Protocol: {offers}\r\n")), ours);
        assert_eq!(answer.values("Sec-WebSocket-Protocol"), [selected], "{offers:?}");
    }
}

#[test]
fn no_subprotocol_is_named_where_none_is_agreed_on() {
    for (offers, ours) in [
        ("", &["chat"][..]), // the client has no such field
        ("Sec-WebSocket-Protocol: chat\r\n", &[]),
        ("Sec-WebSocket-Protocol: other\r\n", &["chat"]),
        ("Sec-WebSocket-Protocol: CHAT\r\n", &["chat"]),
        ("Sec-WebSocket-Protocol: chat2, cha\r\n", &["chat"]),
    ] {
        let answer = Answer::to(&and(offers), ours);
        assert_eq!(answer.status, 101, "{offers:?}");
        assert!(answer.values("Sec-WebSocket-Protocol").is_empty(), "{offers:?}: {:?}", answer.lines);
    }
}
