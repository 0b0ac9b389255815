//! The PROXY protocol: who a connection is for stands before all that its client says.

use std::time::Duration;

use frameloop::chat::Echo;
use frameloop::protocol::Limits;
use frameloop::server::Config;

use crate::client::Client;
use crate::harness::{NEVER, Running, config};
use crate::refusals::{expect_refusal, expect_two_then_503};
use crate::wire::REQUEST_HEAD;

/// A server whose proxies are on this machine.
fn start(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = config(Limits { ping_interval: NEVER, ..Limits::default() });
    config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    config.proxy_protocol = true;
    change(&mut config);
    Running::start(config, Echo)
}

/// A connection that begins with these bytes, below TLS where there is TLS.
fn begin(server: &Running, pieces: &[&[u8]]) -> Client {
    Client::connect_behind(server.address(), pieces)
}

/// Version 2 for a TCP connection from 192.0.2.1:2, with something more that is skipped.
fn binary() -> Vec<u8> {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let addresses = [192, 0, 2, 1, 10, 0, 0, 1, 0, 2, 0, 80];
    [&signature[..], &[0x21, 0x11, 0, 16], &addresses, &[4, 0, 1, 0]].concat()
}

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 10.0.0.1 2 80\r\n";

#[test]
fn a_header_comes_first_whole_or_in_any_pieces_and_the_client_speaks_behind_it() {
    let server = start(|_| {});
    let binary = binary();
    let headers: [&[u8]; 4] = [LINE, b"PROXY UNKNOWN\r\n", b"PROXY TCP6 2001:db8::1 ::1 2 80\r\n", &binary];
    for header in headers {
        begin(&server, &[header]).upgrade().exchange("whole");
        for cut in [1, header.len() / 2, header.len() - 1] {
            begin(&server, &[&header[..cut], &header[cut..]]).upgrade().exchange("in two pieces");
        }
    }
}

#[test]
fn what_is_no_header_ends_the_connection_without_a_word() {
    let server = start(|_| {});
    for first in
        [&b"GET / HTTP/1.1\r\n"[..], b"PROXY TCP4 192.0.2.1 10.0.0.1 2 99999\r\n", b"PROXY \r\n", b"\x16\x03\x01"]
    {
        begin(&server, &[first]).expect_dropped();
    }
    begin(&server, &[LINE]).upgrade().exchange("others do not notice");
}

#[test]
fn connections_count_for_the_address_in_the_header() {
    let server = start(|config| config.connections_per_address_max = Some(1));
    let mut first = begin(&server, &[LINE]).upgrade();
    // At the header already: nobody has to ask first.
    expect_refusal(&mut begin(&server, &[&binary()]), 429, "connection_limit");
    begin(&server, &[b"PROXY TCP4 192.0.2.7 10.0.0.1 2 80\r\n"]).upgrade().exchange("another address");
    first.exchange("as before");
}

#[test]
fn a_header_that_does_not_come_is_waited_for_as_long_as_for_a_request() {
    let mut limits = Limits { ping_interval: NEVER, ..Limits::default() };
    (limits.handshake_timeout, limits.close_timeout) = (Duration::from_millis(200), Duration::from_millis(200));
    let server = start(|config| config.limits = limits);
    begin(&server, &[&LINE[..10]]).expect_dropped();
}

#[test]
fn the_rate_is_that_of_the_address_in_the_header() {
    let server = start(|config| config.accept_rate = Some(1));
    expect_two_then_503(|| ask(&server, LINE, ""));
    for client in 2..10 {
        let line = format!("PROXY TCP4 192.0.2.{client} 10.0.0.1 2 80\r\n");
        begin(&server, &[line.as_bytes()]).upgrade().leave();
    }
}

/// A request behind this header, with these lines.
fn ask(server: &Running, header: &[u8], lines: &str) -> Client {
    let mut client = begin(server, &[header]);
    let _ = client.try_write(&[&REQUEST_HEAD[..REQUEST_HEAD.len() - 2], lines.as_bytes(), b"\r\n"].concat());
    client
}

#[test]
fn a_proxy_behind_another_is_looked_into() {
    let server = start(|config| config.connections_per_address_max = Some(1));
    let behind = b"PROXY TCP4 127.0.0.9 10.0.0.1 2 80\r\n";
    let mut first = ask(&server, behind, "X-Forwarded-For: 192.0.2.1\r\n");
    assert!(first.response_head().starts_with("HTTP/1.1 101 "));
    expect_refusal(&mut ask(&server, behind, "X-Forwarded-For: 192.0.2.1\r\n"), 429, "connection_limit");
    expect_refusal(&mut begin(&server, &[LINE]), 429, "connection_limit");
}

#[test]
fn behind_a_header_that_names_nobody_the_client_cannot_choose_its_address_or_host() {
    let server = start(|config| config.connections_per_address_max = Some(1));
    let local: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let unspecified: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";
    let unix = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8"[..], &[0; 216]].concat();
    let mut first = ask(&server, b"PROXY UNKNOWN\r\n", "X-Forwarded-For: nobody\r\n");
    let head = first.response_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "what it says is not even looked at: {head}");
    // All of them count for the proxy, whomever they claim to be.
    for (number, header) in [b"PROXY UNKNOWN\r\n", local, unspecified, &unix].into_iter().enumerate() {
        let lines = format!("X-Forwarded-For: 192.0.2.{number}\r\n");
        expect_refusal(&mut ask(&server, header, &lines), 429, "connection_limit");
    }
    begin(&server, &[LINE]).upgrade().exchange("another address");
    first.leave();

    let server = start(|_| {});
    let forwarded = "Origin: https://evil.example\r\nX-Forwarded-Host: localhost\r\n";
    for header in [b"PROXY UNKNOWN\r\n", local, unspecified, &unix] {
        expect_refusal(&mut ask(&server, header, forwarded), 403, "origin_not_allowed");
        // On loopback one that is foreign would be refused, if anybody looked at it.
        let mut client = ask(&server, header, "X-Forwarded-Host: evil.example\r\n");
        assert!(client.response_head().starts_with("HTTP/1.1 101 "));
        client.leave();
    }
}
