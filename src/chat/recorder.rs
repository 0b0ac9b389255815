//! The outbox of tests of the hub without sockets: it keeps what the hub does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::time::Instant;

use crate::protocol::{CloseCode, Message, Request, SharedFrame};
use crate::server::{ConnId, Outbox};

/// Keeps what the hub does.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) now: Instant,
    /// The time of day.
    pub(super) unix_ms: u64,
    pub(super) sent: BTreeMap<ConnId, Vec<String>>,
    pub(super) closed: BTreeMap<ConnId, (CloseCode, String)>,
    /// What waits for a peer, as the test says.
    pub(super) queued: BTreeMap<ConnId, usize>,
    /// All that is sent waits as well.
    pub(super) queued_by_sending: bool,
    /// Whose drain is to be told.
    pub(super) awaited: BTreeSet<ConnId>,
    pub(super) overload_codes: BTreeMap<ConnId, CloseCode>,
    pub(super) notes: Vec<String>,
    /// Who may send only short messages.
    pub(super) restricted: BTreeSet<ConnId>,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder {
            now: Instant::now(),
            unix_ms: UNIX_MS,
            sent: BTreeMap::new(),
            closed: BTreeMap::new(),
            queued: BTreeMap::new(),
            queued_by_sending: false,
            awaited: BTreeSet::new(),
            overload_codes: BTreeMap::new(),
            notes: Vec::new(),
            restricted: BTreeSet::new(),
        }
    }
}

impl Recorder {
    fn keep(&mut self, to: ConnId, text: &[u8]) {
        // As the server: nothing goes to a connection that is being closed.
        if !self.closed.contains_key(&to) {
            if self.queued_by_sending {
                *self.queued.entry(to).or_default() += text.len();
            }
            let text = String::from_utf8(text.to_vec()).expect("the hub sends text");
            self.sent.entry(to).or_default().push(text);
        }
    }
}

impl Outbox for Recorder {
    fn send(&mut self, to: ConnId, message: Message<'_>) {
        self.keep(to, message.as_bytes());
    }

    fn send_shared(&mut self, to: ConnId, frame: &SharedFrame) {
        self.keep(to, frame.payload());
    }

    fn queued_bytes(&self, to: ConnId) -> usize {
        self.queued.get(&to).copied().unwrap_or(0)
    }

    fn notify_drained(&mut self, to: ConnId) {
        self.awaited.insert(to);
    }

    fn set_overload_code(&mut self, to: ConnId, code: CloseCode) {
        self.overload_codes.insert(to, code);
    }

    fn restrict(&mut self, to: ConnId, is_restricted: bool) {
        if is_restricted {
            self.restricted.insert(to)
        } else {
            self.restricted.remove(&to)
        };
    }

    fn close(&mut self, to: ConnId, code: CloseCode, reason: &str) {
        self.closed.entry(to).or_insert((code, reason.to_owned()));
    }

    fn note(&mut self, about: ConnId, what: &'static str, detail: &dyn Display) {
        self.notes.push(format!("{about} {what}: {detail}"));
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn unix_ms(&self) -> u64 {
        self.unix_ms
    }
}

/// The opening handshake of a client, with further header fields.
pub(super) fn upgrade_request(fields: &str) -> Request {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    );
    Request::parse(request.as_bytes()).expect("it keeps all rules")
}

/// The time of day in tests, unless they say something else, and on the page of the protocol.
pub(super) const UNIX_MS: u64 = 1_734_190_000_123;
