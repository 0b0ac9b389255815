//! §4.2.2: a handshake that is refused gets an HTTP response that says why, and then the end of the connection.

use std::time::Instant;

use frameloop::chat::Echo;
use frameloop::protocol::Limits;
use frameloop::protocol::limits::{HEAD_BYTES_MAX, HEADER_COUNT_MAX};
use frameloop::server::Config;
use serde_json::Value;

use crate::client::Client;
use crate::harness::{DEADLINE, NEVER, Running, config};
use crate::stream::REFUSED_AT_ONCE;
use crate::wire::REQUEST_HEAD;

/// The client gets one response with this status and a JSON body, and then the end. Returns its head.
/// Lets clients come in one after the other until one is refused for the rate of `--accept-rate` 1: two at once, and one for
/// each second that this takes.
pub(crate) fn expect_two_then_503(mut ask: impl FnMut() -> Client) {
    let deadline = Instant::now() + DEADLINE;
    let mut inside = Vec::new();
    loop {
        let mut client = ask();
        let head = client.response_head();
        if head.starts_with("HTTP/1.1 503 ") {
            break;
        }
        assert!(head.starts_with("HTTP/1.1 101 ") && Instant::now() < deadline, "{head}");
        inside.push(client);
    }
    assert!(inside.len() >= 2);
}

pub(crate) fn expect_refusal(client: &mut Client, status: u16, word: &str) -> String {
    let head = client.response_head();
    let body = String::from_utf8(client.rest()).unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{status} {word}: {head}{body}");
    assert_eq!(value(&head, "Content-Length"), Some(body.len().to_string().as_str()), "{head}{body}");
    assert_eq!(value(&head, "Content-Type"), Some("application/json"));
    assert!(value(&head, "Connection").is_some_and(|value| value.ends_with("close")), "{head}");
    let json: Value = serde_json::from_str(&body).expect("the body is JSON");
    assert_eq!(json["error"], word, "{body}");
    assert!(!json["message"].as_str().unwrap().is_empty());
    head
}

/// The value of a header field.
pub(crate) fn value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The request with a part of it replaced.
fn request(from: &str, to: &str) -> Vec<u8> {
    let head = std::str::from_utf8(REQUEST_HEAD).unwrap();
    assert!(head.contains(from));
    head.replacen(from, to, 1).into_bytes()
}

#[test]
fn each_rule_that_a_request_breaks_has_its_status() {
    let server = Running::echo(Limits::default());
    let many_fields = "a: b\r\n".repeat(HEADER_COUNT_MAX) + "Host: localhost\r\n";
    let long_field = format!("Host: localhost\r\nCookie: {}\r\n", "x".repeat(HEAD_BYTES_MAX));
    for (request, status, word) in [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n".to_vec(), 400, "malformed_head"), // TLS
        (request("GET /c HTTP/1.1\r\n", "GET /c HTTP/1.1\n"), 400, "malformed_head"),
        (request("Host: localhost", "Host : h"), 400, "malformed_head"),
        (request("HTTP/1.1", "HTTP/1.0"), 400, "http_version"),
        (request("Host: localhost\r\n", ""), 400, "bad_host"),
        (request("Host: localhost\r\n", "Host: localhost\r\nHost: localhost\r\n"), 400, "bad_host"),
        (request("Host: localhost\r\n", "Host: localhost\r\nContent-Length: 5\r\n"), 400, "request_body"),
        (request("Host: localhost\r\n", "Host: localhost\r\nTransfer-Encoding: chunked\r\n"), 400, "request_body"),
        (request("Connection: Upgrade\r\n", ""), 400, "connection_without_upgrade"),
        (request("Key: dGhl", "Key: "), 400, "bad_key"),
        (request("Host: localhost\r\n", "Host: localhost\r\nSec-WebSocket-Version: 13\r\n"), 400, "bad_version"),
        (request("Host: localhost\r\n", "Host: localhost\r\nSec-WebSocket-Protocol: a b\r\n"), 400, "bad_subprotocols"),
        (request("Host: localhost\r\n", "Host: localhost\r\nSec-WebSocket-Extensions: ;\r\n"), 400, "bad_extensions"),
        (request("GET", "POST"), 405, "method_not_get"),
        (request("Upgrade: websocket\r\n", ""), 426, "not_an_upgrade"),
        (request("Version: 13", "Version: 8"), 426, "bad_version"),
        (request("Host: localhost\r\n", &many_fields), 431, "too_many_headers"),
        (request("Host: localhost\r\n", &long_field), 431, "head_too_large"),
    ] {
        let mut client = Client::connect(server.address());
        client.write(&request);
        let head = expect_refusal(&mut client, status, word);
        match status {
            405 => assert_eq!(value(&head, "Allow"), Some("GET")),
            426 => assert_eq!(value(&head, "Sec-WebSocket-Version"), Some("13"), "§4.4"),
            _ => {}
        }
    }
}

#[test]
fn a_refusal_reaches_a_client_that_goes_on_sending() {
    // Were the connection dropped with bytes unread, it would be reset, and the response lost.
    let server = Running::echo(Limits::default());
    for request in [vec![b'x'; 4 * 1024 * 1024], [b"DELETE / HTTP/1.1\r\n\r\n", &vec![0; 1024 * 1024][..]].concat()] {
        let mut client = Client::connect(server.address());
        client.write(&request);
        let head = client.response_head();
        assert!(head.starts_with("HTTP/1.1 4"), "{head}");
        client.rest();
    }
}

#[test]
fn connections_above_the_maximum_get_503_until_there_is_room() {
    let server = Running::start(Config { connections_max: 2, ..config(Limits::default()) }, Echo);
    let mut open = [Client::open(server.address()), Client::open(server.address())];
    for _ in 0..3 {
        let mut client = Client::connect(server.address());
        client.write(REQUEST_HEAD);
        let head = expect_refusal(&mut client, 503, "overloaded");
        assert_eq!(value(&head, "Retry-After"), Some("1"));
    }
    open[1].exchange("those inside do not notice");
    let [first, mut second] = open;
    first.leave();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut client = Client::connect(server.address());
        client.write(REQUEST_HEAD);
        if client.response_head().starts_with("HTTP/1.1 101 ") {
            client.leave();
            break;
        }
        assert!(Instant::now() < deadline, "a place is free, and nobody gets it");
    }
    second.exchange("those inside do not notice");
    second.leave();
}

#[test]
fn many_that_are_refused_and_stay_do_not_take_the_place_of_anybody() {
    let limits = Limits { close_timeout: NEVER, ..Limits::default() };
    let server = Running::start(Config { connections_max: 1, ..config(limits) }, Echo);
    let mut inside = Client::open(server.address());
    let mut refused: Vec<Client> = (0..REFUSED_AT_ONCE).map(|_| Client::connect(server.address())).collect();
    for client in &mut refused {
        expect_refusal(client, 503, "overloaded");
    }
    inside.exchange("hello");
    inside.leave();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut client = Client::connect(server.address());
        let _ = client.try_write(REQUEST_HEAD); // it may have been dropped already
        if client.fill(DEADLINE).is_ok_and(|count| count > 0 && client.response_head().starts_with("HTTP/1.1 101 ")) {
            return client.leave();
        }
        assert!(Instant::now() < deadline, "a place is free, and nobody gets it");
    }
}
