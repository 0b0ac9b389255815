//! Documents over HTTP: an application answers where it is asked for no WebSocket, and the loop serves all others meanwhile.

use std::time::{Duration, Instant};

use frameloop::chat::Echo;
use frameloop::protocol::{Document, DocumentRequest, HandshakeError, Limits, Message};
use frameloop::server::{App, ConnId, Outbox};

use crate::client::Client;
use crate::harness::{DEADLINE, Late, NEVER, Running, config};
use crate::refusals::expect_refusal;

/// An echo with one long document.
struct Library(Document);

impl App for Library {
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        Echo.on_message(id, message, out);
    }

    fn on_document_request(&mut self, request: &DocumentRequest) -> Result<Document, HandshakeError> {
        if request.path() == "/book" { Ok(self.0.clone()) } else { Err(HandshakeError::NotFound) }
    }
}

const BOOK_BYTES: usize = 12 * 1024 * 1024;

fn library(limits: Limits) -> Running {
    Running::start(config(limits), Late(|| Library(Document::new("text/plain", vec![b'x'; BOOK_BYTES]))))
}

fn get(client: &mut Client, path: &str) {
    client.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
}

#[test]
fn a_document_comes_whole_and_then_the_connection_ends() {
    let server = library(Limits { ping_interval: NEVER, ..Limits::default() });
    let mut client = Client::connect(server.address());
    get(&mut client, "/book?page=1");
    let head = client.response_head();
    assert!(head.contains(&format!("\r\nContent-Length: {BOOK_BYTES}\r\n")), "{head}");
    let body = client.rest();
    assert!(body.len() == BOOK_BYTES && body.iter().all(|&byte| byte == b'x'));
    let mut client = Client::connect(server.address());
    get(&mut client, "/other");
    expect_refusal(&mut client, 404, "not_found");
    Client::open(server.address()).exchange("and WebSockets open as before");
}

#[test]
fn where_an_application_has_no_documents_the_answer_says_so() {
    let server = Running::echo(Limits::default());
    let mut client = Client::connect(server.address());
    get(&mut client, "/");
    expect_refusal(&mut client, 426, "not_an_upgrade");
}

#[test]
fn a_slow_reader_of_a_document_has_time_as_long_as_it_reads_and_delays_nobody() {
    let close_timeout = Duration::from_millis(300);
    let server = library(Limits { close_timeout, ping_interval: NEVER, ..Limits::default() });
    let mut other = Client::open(server.address());
    let mut slow = Client::connect_with_small_buffers(server.address());
    get(&mut slow, "/book");
    let begin = Instant::now();
    let (mut bytes, mut reads) = (0, 0);
    // It reads for three times as long as a client has that reads nothing: a little every now and then.
    while begin.elapsed() < 3 * close_timeout {
        if begin.elapsed() >= reads * close_timeout / 30 {
            reads += 1;
            bytes += slow.fill(DEADLINE).expect("more comes");
        }
        other.exchange("meanwhile");
    }
    // And then it reads nothing, several times as long: what comes after that is only what was on its way.
    while begin.elapsed() < 8 * close_timeout {
        other.exchange("meanwhile");
    }
    while let Ok(count @ 1..) = slow.fill(DEADLINE) {
        bytes += count;
    }
    assert!(bytes < BOOK_BYTES, "a client that reads nothing keeps its connection");
}
