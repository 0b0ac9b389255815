//! The outbox of a scene: it keeps what the hub sends and closes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::time::Instant;

use crate::protocol::{CloseCode, Message, SharedFrame};
use crate::server::{ConnId, Outbox};

/// Keeps what the hub does.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) now: Instant,
    pub(super) sent: BTreeMap<ConnId, VecDeque<String>>,
    pub(super) closed: BTreeMap<ConnId, (CloseCode, String)>,
    /// What waits for a peer, as the scene says.
    pub(super) queued: BTreeMap<ConnId, usize>,
    /// Whose drain is to be told.
    pub(super) awaited: Vec<ConnId>,
    pub(super) overload_codes: BTreeMap<ConnId, CloseCode>,
}

impl Recorder {
    pub(super) fn new() -> Recorder {
        Recorder {
            now: Instant::now(),
            sent: BTreeMap::new(),
            closed: BTreeMap::new(),
            queued: BTreeMap::new(),
            awaited: Vec::new(),
            overload_codes: BTreeMap::new(),
        }
    }

    fn keep(&mut self, to: ConnId, text: &[u8]) {
        // As the server: nothing goes to a connection that is being closed.
        if !self.closed.contains_key(&to) {
            let text = String::from_utf8(text.to_vec()).expect("the hub sends text");
            self.sent.entry(to).or_default().push_back(text);
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
        self.awaited.push(to);
    }

    fn set_overload_code(&mut self, to: ConnId, code: CloseCode) {
        self.overload_codes.insert(to, code);
    }

    fn close(&mut self, to: ConnId, code: CloseCode, reason: &str) {
        self.closed.entry(to).or_insert((code, reason.to_owned()));
    }

    fn note(&mut self, _about: ConnId, _what: &'static str, _detail: &dyn Display) {}

    fn now(&self) -> Instant {
        self.now
    }

    fn unix_ms(&self) -> u64 {
        UNIX_MS
    }
}

/// The time of day on the page.
const UNIX_MS: u64 = 1_734_190_000_123;
