//! What an application can wait for: a peer that is drained, its own time, the end of the server; and what a slow peer is
//! told.

use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use frameloop::protocol::{CloseCode, End, HandshakeError, Limits, Message, Request, SharedFrame};
use frameloop::server::{App, ConnId, DRAINED_BYTES_MAX, Outbox};

use crate::client::Client;
use crate::harness::{NEVER, Running, config, recording};
use crate::refusals::expect_refusal;
use crate::wire::REQUEST_HEAD;

/// Answers with more than a queue holds, one piece whenever the one before is out; and reports what waited then.
struct Pieces {
    left: usize,
    waiting: Sender<usize>,
}

impl Pieces {
    const BYTES: usize = 100_000;

    fn send(&mut self, id: ConnId, out: &mut impl Outbox) {
        if self.left > 0 {
            self.left -= 1;
            out.send_shared(id, &SharedFrame::binary(&[7; Pieces::BYTES]));
            out.notify_drained(id);
        }
    }
}

impl App for Pieces {
    fn on_message(&mut self, id: ConnId, _message: Message<'_>, out: &mut impl Outbox) {
        self.send(id, out);
    }

    fn on_drained(&mut self, id: ConnId, out: &mut impl Outbox) {
        self.waiting.send(out.queued_bytes(id)).unwrap();
        self.send(id, out);
    }
}

#[test]
fn what_is_longer_than_a_queue_is_sent_as_the_peer_drains() {
    let (waiting, waited) = mpsc::channel();
    let limits = Limits { queue_bytes_max: 2 * Pieces::BYTES, ..Limits::default() };
    let server = Running::start(config(limits), Pieces { left: 100, waiting });
    let mut client = Client::connect_with_small_buffers(server.address()).upgrade();
    client.send_text("go");
    for _ in 0..100 {
        assert_eq!(client.frame().payload.len(), Pieces::BYTES);
    }
    client.leave();
    server.stop();
    server.wait().unwrap();
    let waited: Vec<usize> = waited.iter().collect();
    assert_eq!(waited.len(), 100, "once for each time that it asked");
    assert!(waited.iter().all(|&bytes| bytes <= DRAINED_BYTES_MAX), "{waited:?}");
}

/// Takes requests for one resource, and refuses all others as they say themselves.
struct Choosy;

impl App for Choosy {
    fn on_request(&mut self, request: &Request, _out: &impl Outbox) -> Result<(), HandshakeError> {
        match request.target() {
            "/401" => Err(HandshakeError::Unauthorized("nobody is known here")),
            "/403" => Err(HandshakeError::Origin),
            "/404" => Err(HandshakeError::NotFound),
            "/429" => Err(HandshakeError::UserLimit),
            "/503" => Err(HandshakeError::Overloaded),
            _ => Ok(()),
        }
    }

    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        out.send(id, Message::text(request.target()));
    }

    fn on_message(&mut self, _id: ConnId, _message: Message<'_>, _out: &mut impl Outbox) {}

    fn on_close(&mut self, _id: ConnId, end: &End, _out: &mut impl Outbox) {
        assert!(!matches!(end, End::Refused(_)), "what was refused was never open");
    }
}

#[test]
fn an_application_refuses_a_request_with_a_status_of_its_choice_and_hears_no_more_of_it() {
    let server = Running::start(config(Limits::default()), Choosy);
    let ask = |path: &str| {
        let head = std::str::from_utf8(REQUEST_HEAD).unwrap().replacen("/c", path, 1);
        let mut client = Client::connect(server.address());
        client.write(head.as_bytes());
        client
    };
    for (path, status, word, header) in [
        ("/401", 401, "unauthorized", "WWW-Authenticate: Bearer\r\n"),
        ("/403", 403, "origin_not_allowed", ""),
        ("/404", 404, "not_found", ""),
        ("/429", 429, "user_limit", "Retry-After: 10\r\n"),
        ("/503", 503, "overloaded", "Retry-After: 1\r\n"),
    ] {
        let head = expect_refusal(&mut ask(path), status, word);
        assert!(head.contains(header), "{head}");
    }
    let mut client = ask("/room");
    client.response_head();
    assert_eq!(client.frame().payload, b"/room", "those that it takes open as before");
    server.stop();
    server.wait().unwrap();
}

/// Sends its peer the time that it waited, as often as it was asked for.
#[derive(Default)]
struct Alarm {
    set: Vec<(Instant, ConnId)>,
}

impl App for Alarm {
    fn on_message(&mut self, id: ConnId, _message: Message<'_>, out: &mut impl Outbox) {
        self.set.push((out.now(), id));
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.set.iter().map(|(time, _)| *time + Alarm::WAIT).min()
    }

    fn on_timeout(&mut self, out: &mut impl Outbox) {
        // The first only: the server comes back for the others.
        let (time, id) = self.set.remove(0);
        let waited = out.now() - time;
        out.send(id, Message::Text(waited.as_millis().to_string().into()));
    }
}

impl Alarm {
    const WAIT: Duration = Duration::from_millis(30);
}

#[test]
fn the_server_wakes_up_for_its_application() {
    // Nothing else wakes it up: there is no ping, and the client is silent.
    let limits = Limits { ping_interval: NEVER, handshake_timeout: NEVER, ..Limits::default() };
    let server = Running::start(config(limits), Alarm::default());
    let mut client = Client::open(server.address());
    for _ in 0..3 {
        client.send_text("wake me");
    }
    for _ in 0..3 {
        let waited: u128 = client.text().parse().unwrap();
        assert!(waited >= Alarm::WAIT.as_millis(), "{waited} ms");
    }
}

/// Tells the first of its peers a reason of its own.
#[derive(Default)]
struct Farewell {
    first: Option<ConnId>,
}

impl App for Farewell {
    fn on_open(&mut self, id: ConnId, _request: &Request, _out: &mut impl Outbox) {
        self.first.get_or_insert(id);
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        out.send(id, message);
    }

    fn on_stop(&mut self, out: &mut impl Outbox) {
        if let Some(first) = self.first {
            out.send(first, Message::Text("come back".into()));
            out.close(first, CloseCode::SERVICE_RESTART, "restart");
        }
    }
}

#[test]
fn an_application_may_close_in_its_own_way_when_the_server_stops() {
    let server = Running::start(config(Limits::default()), Farewell::default());
    let mut clients = [Client::open(server.address()), Client::open(server.address())];
    clients.iter_mut().for_each(|client| client.exchange("hello"));
    server.stop();
    assert_eq!(clients[0].text(), "come back");
    assert_eq!(clients[0].close_frame(), (1012, "restart".to_owned()));
    assert_eq!(clients[1].close_frame(), (1001, "shutdown".to_owned()));
}

/// Sends more than its peers take, who are told so in its own words.
#[derive(Debug, Default)]
struct Flood;

impl App for Flood {
    fn on_open(&mut self, id: ConnId, _request: &Request, out: &mut impl Outbox) {
        out.set_overload_code(id, CloseCode::SLOW_CONSUMER);
    }

    fn on_message(&mut self, id: ConnId, _message: Message<'_>, out: &mut impl Outbox) {
        let frame = SharedFrame::binary(&[7; 100_000]);
        for _ in 0..3 {
            out.send_shared(id, &frame);
        }
    }
}

#[test]
fn a_slow_reader_is_told_so_with_the_code_that_the_application_set() {
    let (app, record) = recording(Flood);
    let limits = Limits { queue_bytes_max: 250_000, ..Limits::default() };
    let server = Running::start(config(limits), app);
    let mut client = Client::open(server.address());
    client.send_text("go");
    assert_eq!(client.close_frame(), (4101, "slow_consumer".to_owned()));
    client.expect_end();
    assert_eq!(record.next_end(), End::QueueFull(CloseCode::SLOW_CONSUMER));
}
