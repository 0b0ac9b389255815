//! Connections of one address, whom a proxy speaks for, and new connections a second.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::time::Instant;

use frameloop::chat::Echo;
use frameloop::protocol::Limits;
use frameloop::server::Config;

use crate::client::Client;
use crate::harness::{DEADLINE, NEVER, Running, config};
use crate::refusals::{expect_refusal, expect_two_then_503, value};
use crate::stream::{REFUSED_AT_ONCE, files};
use crate::wire::REQUEST_HEAD;

fn start(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = config(Limits { ping_interval: NEVER, close_timeout: NEVER, ..Limits::default() });
    change(&mut config);
    Running::start(config, Echo)
}

/// A client of the server's own address that says these lines, and for whom it speaks.
fn ask(server: &Running, lines: &str) -> Client {
    let mut client = Client::connect(server.address());
    let _ = client.try_write(&[&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], lines.as_bytes(), b"\r\n"].concat());
    client
}

fn open_for(server: &Running, lines: &str) -> Client {
    let mut client = ask(server, lines);
    let head = client.response_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{lines:?}: {head}");
    client
}

/// Tries until somebody comes in: the end of a connection takes a turn of the server's to be known.
fn open_soon(server: &Running, lines: &str) -> Client {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut client = ask(server, lines);
        if client.response_head().starts_with("HTTP/1.1 101 ") {
            return client;
        }
        assert!(Instant::now() < deadline, "a place is free, and nobody gets it");
    }
}

#[test]
fn above_the_limit_of_an_address_is_429_until_one_of_it_has_gone() {
    let server = start(|config| config.connections_per_address_max = Some(2));
    let (mut first, second) = (Client::open(server.address()), Client::open(server.address()));
    for _ in 0..3 {
        let head = expect_refusal(&mut ask(&server, ""), 429, "connection_limit");
        assert_eq!(value(&head, "Retry-After"), Some("10"));
    }
    // At the door already: nobody has to ask first.
    expect_refusal(&mut Client::connect(server.address()), 429, "connection_limit");
    let mut other = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2).into(), server.address()).upgrade();
    other.exchange("another address");
    second.leave();
    let third = open_soon(&server, "");
    expect_refusal(&mut ask(&server, ""), 429, "connection_limit");
    first.exchange("those inside do not notice");
    third.leave();
    first.leave();
    open_soon(&server, "").leave();
}

#[test]
fn connections_of_an_address_count_whatever_became_of_them_until_they_are_gone() {
    let server = start(|config| config.connections_per_address_max = Some(1));
    let silent = Client::connect(server.address());
    expect_refusal(&mut ask(&server, ""), 429, "connection_limit");
    drop(silent);
    // One that was refused, and has all of its answer, but holds its connection.
    let deadline = Instant::now() + DEADLINE;
    let held = loop {
        let mut client = Client::connect(server.address());
        let _ = client.try_write(b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if client.response_head().starts_with("HTTP/1.1 405 ") {
            break client;
        }
        assert!(Instant::now() < deadline, "a place is free, and nobody gets it");
    };
    expect_refusal(&mut ask(&server, ""), 429, "connection_limit");
    drop(held);
    open_soon(&server, "").leave();
}

#[test]
fn a_crowd_over_the_limit_of_its_address_takes_no_place_of_others() {
    let server = start(|config| {
        config.connections_per_address_max = Some(1);
        config.connections_max = 2;
    });
    let mut inside = Client::open(server.address());
    let mut crowd: Vec<Client> = (0..REFUSED_AT_ONCE).map(|_| Client::connect(server.address())).collect();
    for client in &mut crowd {
        expect_refusal(client, 429, "connection_limit");
    }
    let mut other = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2).into(), server.address()).upgrade();
    other.exchange("in");
    inside.exchange("in");
}

#[test]
fn who_comes_through_a_trusted_proxy_counts_by_its_own_address() {
    let server = start(|config| {
        config.connections_per_address_max = Some(1);
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    });
    let ann = "X-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n";
    let bob = "X-Forwarded-For: 192.0.2.2\r\n";
    let at_ann = open_for(&server, ann);
    let at_bob = open_for(&server, bob);
    expect_refusal(&mut ask(&server, ann), 429, "connection_limit");
    expect_refusal(
        &mut ask(&server, "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 192.0.2.1\r\n"),
        429,
        "connection_limit",
    );
    at_ann.leave();
    open_soon(&server, ann).leave();
    at_bob.leave();
    // The other one is not trusted: what it says is nothing, and it counts itself.
    let stranger = IpAddr::from([127, 0, 0, 2]);
    let speak = |server: &Running| {
        let mut client = Client::connect_from(stranger, server.address());
        let _ = client
            .try_write(&[&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], b"X-Forwarded-For: 192.0.2.3\r\n\r\n"].concat());
        client
    };
    let mut first = speak(&server);
    assert!(first.response_head().starts_with("HTTP/1.1 101 "));
    expect_refusal(&mut speak(&server), 429, "connection_limit");
    open_for(&server, "X-Forwarded-For: 192.0.2.3\r\n").leave();
}

#[test]
fn what_a_trusted_proxy_must_not_write_is_refused() {
    let server = start(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]);
    expect_refusal(&mut ask(&server, "X-Forwarded-For: unknown\r\n"), 400, "malformed_head");
    open_for(&server, "X-Forwarded-For: unknown, 192.0.2.1, 127.0.0.7\r\n").leave();
    open_for(&server, "").leave();
}

#[test]
fn documents_count_by_address_too() {
    let server = start(|config| {
        config.connections_per_address_max = Some(1);
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    });
    let get = |client: &str| {
        let mut connection = Client::connect(server.address());
        connection.write(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n\r\n").as_bytes());
        connection
    };
    let _open = open_for(&server, "X-Forwarded-For: 192.0.2.1\r\n");
    expect_refusal(&mut get("192.0.2.1"), 429, "connection_limit");
    expect_refusal(&mut get("192.0.2.2"), 426, "not_an_upgrade");
}

#[test]
fn above_the_rate_is_503_and_time_brings_places() {
    let server = start(|config| config.accept_rate = Some(1));
    let (mut one, two) = (Client::open(server.address()), Client::open(server.address()));
    let begin = Instant::now();
    let deadline = begin + DEADLINE;
    let mut refusals = 0;
    // Two came in at once: that is all for the first second.
    let three = loop {
        let mut client = ask(&server, "");
        let head = client.response_head();
        if head.starts_with("HTTP/1.1 101 ") {
            break client;
        }
        assert!(head.starts_with("HTTP/1.1 503 ") && Instant::now() < deadline, "{head}");
        assert_eq!(value(&head, "Retry-After"), Some("1"));
        refusals += 1;
        one.exchange("those inside do not notice");
        if refusals == 1 {
            let mut other = Client::connect_from(Ipv4Addr::new(127, 0, 0, 2).into(), server.address()).upgrade();
            other.exchange("another address");
        }
    };
    assert!(refusals > 0);
    [one, two, three].into_iter().for_each(Client::leave);
}

#[test]
fn who_comes_through_a_trusted_proxy_has_a_rate_of_its_own() {
    let server = start(|config| {
        config.accept_rate = Some(1);
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    });
    expect_two_then_503(|| ask(&server, "X-Forwarded-For: 192.0.2.1\r\n"));
    for client in 2..10 {
        open_for(&server, &format!("X-Forwarded-For: 192.0.2.{client}\r\n")).leave();
    }
}

#[test]
fn a_proxy_that_ends_within_its_header_is_dropped() {
    let server = start(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        config.proxy_protocol = true;
    });
    // Without TLS in any case: what a client says of it would be a broken header.
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(b"PROXY TCP4 ").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    let end = socket.read_to_end(&mut bytes);
    assert!(end.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true));
    // The server's end of TLS, which has not begun, is an alert.
    let is_silent = bytes.is_empty() || (files().is_some() && bytes == b"\x15\x03\x03\0\x02\x01\0");
    assert!(is_silent, "{}", bytes.escape_ascii());
}

#[test]
fn where_proxies_speak_first_a_stranger_is_dropped() {
    let server = start(|config| {
        config.trusted_proxies = vec!["127.0.0.2".parse().unwrap()];
        config.proxy_protocol = true;
    });
    let mut client = Client::connect(server.address());
    match client.fill(DEADLINE) {
        Ok(count) => assert_eq!(count, 0, "not a byte"),
        // Over TLS the end comes within its handshake.
        Err(error) => assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}"),
    }
}
