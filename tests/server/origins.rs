//! §10.2: the pages that may open a connection, and the hosts by which a server on loopback may be asked.

use frameloop::chat::Echo;
use frameloop::protocol::Limits;
use frameloop::protocol::handshake::origin::Origins;
use frameloop::server::Config;

use crate::client::Client;
use crate::harness::{Running, config};
use crate::refusals::expect_refusal;
use crate::wire::REQUEST_HEAD;

fn origins(patterns: &[&str]) -> Origins {
    let mut origins = Origins::default();
    patterns.iter().for_each(|pattern| origins.allow(pattern).expect("it is an origin"));
    origins
}

/// An echo at this address that lets pages of these origins in, and believes whoever comes from here if it should.
fn server(listen: &str, patterns: &[&str], is_behind_proxy: bool) -> Running {
    let trusted_proxies = if is_behind_proxy { vec!["127.0.0.0/8".parse().unwrap()] } else { vec![] };
    let listen = vec![listen.to_owned()];
    Running::start(Config { listen, origins: origins(patterns), trusted_proxies, ..config(Limits::default()) }, Echo)
}

const LOOPBACK: &str = "127.0.0.1:0";

/// The interface of loopback is one of all.
const EVERYWHERE: &str = "0.0.0.0:0";

fn connect(server: &Running) -> Client {
    let port = server.address().port();
    Client::connect(([127, 0, 0, 1], port).into())
}

/// Sends the request with these lines in place of its `Host`.
fn ask(server: &Running, lines: &str) -> Client {
    let mut client = connect(server);
    let head = std::str::from_utf8(REQUEST_HEAD).unwrap();
    client.write(head.replacen("Host: localhost\r\n", lines, 1).as_bytes());
    client
}

fn accepted(server: &Running, lines: &str) {
    let mut client = ask(server, lines);
    let head = client.response_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{lines:?}: {head}");
    client.exchange("in");
    client.leave();
}

fn refused(server: &Running, lines: &str, word: &str) {
    expect_refusal(&mut ask(server, lines), 403, word);
}

#[test]
fn a_page_of_the_same_host_may_connect_and_one_of_another_must_be_let_in() {
    let server = server(EVERYWHERE, &["https://app.example.com", "https://*.example.org", "null"], false);
    for (host, origin) in [
        ("chat.example.net:8765", "http://chat.example.net:8765"),
        ("chat.example.net", "https://chat.example.net"),
        ("chat.example.net", "https://app.example.com"),
        ("chat.example.net", "https://a.b.example.org"),
        ("chat.example.net", "null"),
    ] {
        accepted(&server, &format!("Host: {host}\r\nOrigin: {origin}\r\n"));
    }
    accepted(&server, "Host: chat.example.net\r\n");
    for origin in ["http://chat.example.net:8766", "https://evil.example", "https://example.org", "http://localhost"] {
        refused(&server, &format!("Host: chat.example.net:8765\r\nOrigin: {origin}\r\n"), "origin_not_allowed");
    }
}

#[test]
fn on_loopback_any_page_of_loopback_may_connect_by_a_name_of_loopback() {
    let server = server(LOOPBACK, &[], false);
    for host in ["localhost", "127.0.0.1:8765", "[::1]", "app.localhost:1"] {
        accepted(&server, &format!("Host: {host}\r\nOrigin: http://localhost:5173\r\n"));
        accepted(&server, &format!("Host: {host}\r\nOrigin: https://127.0.0.1\r\n"));
        accepted(&server, &format!("Host: {host}\r\n"));
    }
    refused(&server, "Host: localhost\r\nOrigin: https://evil.example\r\n", "origin_not_allowed");
    refused(&server, "Host: evil.example\r\nOrigin: http://evil.example\r\n", "host_not_allowed");
    refused(&server, "Host: evil.example\r\n", "host_not_allowed");
}

#[test]
fn documents_are_for_a_known_host_and_for_any_page() {
    let server = server(LOOPBACK, &[], false);
    let get = |method: &str, host: &str| {
        let mut client = connect(&server);
        let origin = "Origin: https://elsewhere.example";
        client.write(format!("{method} / HTTP/1.1\r\nHost: {host}\r\n{origin}\r\n\r\n").as_bytes());
        client
    };
    expect_refusal(&mut get("GET", "localhost"), 426, "not_an_upgrade");
    expect_refusal(&mut get("GET", "evil.example"), 403, "host_not_allowed");
    let mut client = get("HEAD", "evil.example");
    assert!(client.response_head().starts_with("HTTP/1.1 403 "));
    assert_eq!(client.rest(), b"", "a HEAD has no body");
}

#[test]
fn on_loopback_the_hosts_of_the_origins_that_are_let_in_are_known() {
    let server = server(LOOPBACK, &["https://app.example.com"], false);
    accepted(&server, "Host: app.example.com\r\nOrigin: https://app.example.com\r\n");
    accepted(&server, "Host: localhost\r\nOrigin: https://app.example.com\r\n");
    refused(&server, "Host: www.example.com\r\n", "host_not_allowed");
}

#[test]
fn a_star_lets_all_pages_in_by_any_host() {
    let server = server(LOOPBACK, &["*"], false);
    for lines in ["Origin: https://evil.example\r\n", "Origin: null\r\nOrigin: twice\r\n", ""] {
        accepted(&server, &format!("Host: evil.example\r\n{lines}"));
    }
}

#[test]
fn behind_a_trusted_proxy_the_forwarded_host_is_the_servers_own() {
    let page = "Host: localhost:8765\r\nOrigin: https://chat.example.net\r\n";
    let behind = server(EVERYWHERE, &[], true);
    accepted(&behind, &format!("{page}X-Forwarded-Host: chat.example.net\r\n"));
    refused(&behind, page, "origin_not_allowed");
    refused(&behind, &format!("{page}X-Forwarded-Host: evil.example\r\n"), "origin_not_allowed");
    let twice = "X-Forwarded-Host: chat.example.net\r\nX-Forwarded-Host: chat.example.net\r\n";
    refused(&behind, &format!("{page}{twice}"), "host_not_allowed");

    let alone = server(EVERYWHERE, &[], false);
    refused(&alone, &format!("{page}X-Forwarded-Host: chat.example.net\r\n"), "origin_not_allowed");

    // On loopback, where a proxy usually asks, both names must be known.
    let behind = server(LOOPBACK, &["https://chat.example.net"], true);
    accepted(&behind, &format!("{page}X-Forwarded-Host: chat.example.net\r\n"));
    refused(&behind, &format!("{page}X-Forwarded-Host: evil.example\r\n"), "host_not_allowed");
}

#[test]
fn an_address_of_loopback_that_others_reach_too_is_judged_by_its_listener() {
    let server = server(EVERYWHERE, &[], false);
    accepted(&server, "Host: anything.example\r\n");
    refused(&server, "Host: chat.example\r\nOrigin: http://localhost:3000\r\n", "origin_not_allowed");
}
