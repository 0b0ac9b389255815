//! §10.2: the pages that may open a connection, and the hosts by which a server on loopback may be asked.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use frameloop::chat::Echo;
use frameloop::protocol::Limits;
use frameloop::protocol::handshake::origin::Origins;
use frameloop::server::net::{Net, Ready};
use frameloop::server::tcp::Tcp;
use frameloop::server::transport::Stream;
use frameloop::server::{Config, Server, Stopper};

use crate::client::Client;
use crate::harness::{DEADLINE, Running, config};
use crate::refusals::expect_refusal;
use crate::stream::files;
use crate::wire::REQUEST_HEAD;

fn origins(patterns: &[&str]) -> Origins {
    let mut origins = Origins::default();
    patterns.iter().for_each(|pattern| origins.allow(pattern).expect("it is an origin"));
    origins
}

/// For an echo that lets pages of these origins in.
fn letting_in(patterns: &[&str]) -> Config {
    Config { origins: origins(patterns), ..config(Limits::default()) }
}

/// The same that believes those who come from here.
fn behind_proxy(config: Config, proxy: &str) -> Config {
    Config { trusted_proxies: vec![proxy.parse().unwrap()], ..config }
}

/// A server that is reached over loopback.
fn server(config: Config) -> Running {
    Running::start(config, Echo)
}

/// A network whose connections come from elsewhere, by what it says of them: there need not be another on this machine.
struct Elsewhere(Tcp);

/// From where they come.
const ELSEWHERE: &str = "192.0.2.1:1234";

impl Net for Elsewhere {
    type Transport = Stream;

    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        self.0.poll(ready, timeout)
    }

    fn now(&mut self) -> Instant {
        self.0.now()
    }

    fn accept(&mut self, listener: usize) -> io::Result<(Stream, SocketAddr)> {
        self.0.accept(listener).map(|(stream, _)| (stream, ELSEWHERE.parse().unwrap()))
    }

    fn is_loopback(&self, listener: usize) -> bool {
        self.0.is_loopback(listener)
    }

    fn refuse_next(&mut self, listener: usize, refuse: impl FnOnce(Stream)) -> io::Result<SocketAddr> {
        self.0.refuse_next(listener, refuse)
    }

    fn register(&mut self, stream: &mut Stream, key: usize) -> io::Result<()> {
        self.0.register(stream, key)
    }

    fn stop_requests(&mut self) -> usize {
        self.0.stop_requests()
    }

    fn stop_listening(&mut self) {
        self.0.stop_listening();
    }
}

/// A server on all interfaces that is reached from [`ELSEWHERE`].
struct Public {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Public {
    fn start(config: Config) -> Public {
        let config = everywhere(config);
        let (bound, when_bound) = mpsc::channel();
        let thread = thread::spawn(move || {
            let tcp = Tcp::bind(&config).expect("the address can be listened on");
            bound.send((tcp.addresses()[0], tcp.stopper().unwrap())).expect("the test waits for it");
            Server::with_net(Elsewhere(tcp), &config, Echo).run()
        });
        let (address, stopper) = when_bound.recv_timeout(DEADLINE).expect("the server starts");
        Public { address, stopper, thread: Some(thread) }
    }
}

impl Drop for Public {
    fn drop(&mut self) {
        self.stopper.stop();
        self.stopper.stop();
        let result = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            result.unwrap().expect("the server does not panic").expect("nothing that a peer does ends the server");
        }
    }
}

fn everywhere(config: Config) -> Config {
    Config { listen: vec!["0.0.0.0:0".to_owned()], ..config }
}

/// A server of either kind.
trait Reachable {
    fn port(&self) -> u16;

    fn connect(&self) -> Client {
        Client::connect(([127, 0, 0, 1], self.port()).into())
    }
}

impl Reachable for Running {
    fn port(&self) -> u16 {
        self.address().port()
    }
}

impl Reachable for Public {
    fn port(&self) -> u16 {
        self.address.port()
    }
}

/// Sends the request with these lines in place of its `Host`.
fn ask(server: &impl Reachable, lines: &str) -> Client {
    let mut client = server.connect();
    let head = std::str::from_utf8(REQUEST_HEAD).unwrap();
    client.write(head.replacen("Host: localhost\r\n", lines, 1).as_bytes());
    client
}

fn accepted(server: &impl Reachable, lines: &str) {
    let mut client = ask(server, lines);
    let head = client.response_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{lines:?}: {head}");
    client.exchange("in");
    client.leave();
}

fn refused(server: &impl Reachable, lines: &str, word: &str) {
    expect_refusal(&mut ask(server, lines), 403, word);
}

#[test]
fn a_page_of_the_same_host_may_connect_and_one_of_another_must_be_let_in() {
    let server = Public::start(letting_in(&["https://app.example.com", "https://*.example.org", "null"]));
    for (host, origin) in [
        ("chat.example.net:8765", "https://chat.example.net:8765"),
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
fn a_page_of_plain_http_is_of_the_same_host_where_the_connection_is_plain_too() {
    let server = Public::start(letting_in(&[]));
    for host in ["chat.example.net", "chat.example.net:8765"] {
        let lines = format!("Host: {host}\r\nOrigin: http://{host}\r\n");
        match files() {
            None => accepted(&server, &lines),
            Some(_) => refused(&server, &lines, "origin_not_allowed"),
        }
    }
    let listed = Public::start(letting_in(&["http://chat.example.net"]));
    accepted(&listed, "Host: chat.example.net\r\nOrigin: http://chat.example.net\r\n");
}

#[test]
fn on_loopback_any_page_of_loopback_may_connect_by_a_name_of_loopback() {
    let server = server(letting_in(&[]));
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
    let server = server(letting_in(&[]));
    let get = |method: &str, host: &str| {
        let mut client = server.connect();
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
    let server = server(letting_in(&["https://app.example.com"]));
    accepted(&server, "Host: app.example.com\r\nOrigin: https://app.example.com\r\n");
    accepted(&server, "Host: localhost\r\nOrigin: https://app.example.com\r\n");
    refused(&server, "Host: www.example.com\r\n", "host_not_allowed");
}

#[test]
fn a_star_lets_all_pages_in_by_any_host() {
    let server = server(letting_in(&["*"]));
    for lines in ["Origin: https://evil.example\r\n", "Origin: null\r\nOrigin: twice\r\n", ""] {
        accepted(&server, &format!("Host: evil.example\r\n{lines}"));
    }
}

#[test]
fn behind_a_trusted_proxy_the_forwarded_host_is_the_servers_own() {
    let page = "Host: localhost:8765\r\nOrigin: https://chat.example.net\r\n";
    let behind = Public::start(behind_proxy(letting_in(&[]), "192.0.2.1"));
    accepted(&behind, &format!("{page}X-Forwarded-Host: chat.example.net\r\n"));
    refused(&behind, page, "origin_not_allowed");
    refused(&behind, &format!("{page}X-Forwarded-Host: evil.example\r\n"), "origin_not_allowed");
    let twice = "X-Forwarded-Host: chat.example.net\r\nX-Forwarded-Host: chat.example.net\r\n";
    refused(&behind, &format!("{page}{twice}"), "host_not_allowed");

    let alone = Public::start(letting_in(&[]));
    refused(&alone, &format!("{page}X-Forwarded-Host: chat.example.net\r\n"), "origin_not_allowed");

    // On loopback, where a proxy usually asks, both names must be known.
    let behind = server(behind_proxy(letting_in(&["https://chat.example.net"]), "127.0.0.0/8"));
    accepted(&behind, &format!("{page}X-Forwarded-Host: chat.example.net\r\n"));
    refused(&behind, &format!("{page}X-Forwarded-Host: evil.example\r\n"), "host_not_allowed");
}

#[test]
fn who_reaches_an_address_of_all_interfaces_over_loopback_is_judged_as_on_loopback() {
    let server = server(everywhere(letting_in(&["https://app.example.com"])));
    // A name of the attacker's that leads to this machine: for the browser page and server are of one host.
    for scheme in ["http", "https"] {
        refused(&server, &format!("Host: evil.example\r\nOrigin: {scheme}://evil.example\r\n"), "host_not_allowed");
    }
    refused(&server, "Host: evil.example\r\n", "host_not_allowed");
    let mut document = server.connect();
    document.write(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    expect_refusal(&mut document, 403, "host_not_allowed");
    accepted(&server, "Host: app.example.com\r\nOrigin: https://app.example.com\r\n");
    accepted(&server, "Host: localhost:8765\r\nOrigin: http://localhost:3000\r\n");
    accepted(&server, "Host: 127.0.0.1\r\n");
    let elsewhere = Public::start(letting_in(&[]));
    accepted(&elsewhere, "Host: anything.example\r\n");
    refused(&elsewhere, "Host: chat.example\r\nOrigin: http://localhost:3000\r\n", "origin_not_allowed");
}
