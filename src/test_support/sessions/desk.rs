//! What the hub hands out: kept for each connection until it is looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use crate::chat::hub::options::SIGNAL_QUEUE_BYTES_MAX;
use crate::protocol::{CloseCode, Message, SharedFrame};
use crate::server::{ConnId, Outbox};

/// The outbox of all connections, and the clock.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) now: Instant,
    pub(super) lines: BTreeMap<ConnId, Line>,
}

/// One connection, from its beginning until its end was told.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) sent: Vec<String>,
    pub(super) closed: Option<(u16, String)>,
    /// What waits for the peer, as the input has it.
    pub(super) queued: usize,
    /// So much more waits with each byte that is sent.
    pub(super) weight: usize,
    pub(super) is_awaited: bool,
}

impl Desk {
    fn keep(&mut self, to: ConnId, payload: &[u8]) {
        let line = self.open_line(to);
        let is_signal = payload.starts_with(br#"{"type":"signal""#);
        assert!(!is_signal || line.queued <= SIGNAL_QUEUE_BYTES_MAX, "a slow reader gets no signals");
        line.queued += line.weight * payload.len();
        line.sent.push(String::from_utf8(payload.to_vec()).expect("the hub sends text"));
    }

    fn open_line(&mut self, id: ConnId) -> &mut Line {
        let line = self.lines.get_mut(&id).expect("nothing goes to a connection that is gone");
        assert_eq!(line.closed, None, "nothing goes to a connection that is being closed");
        line
    }
}

impl Outbox for Desk {
    fn send(&mut self, to: ConnId, message: Message<'_>) {
        self.keep(to, message.as_bytes());
    }

    fn send_shared(&mut self, to: ConnId, frame: &SharedFrame) {
        self.keep(to, frame.payload());
    }

    fn queued_bytes(&self, to: ConnId) -> usize {
        self.lines[&to].queued
    }

    fn notify_drained(&mut self, to: ConnId) {
        self.open_line(to).is_awaited = true;
    }

    fn set_overload_code(&mut self, to: ConnId, code: CloseCode) {
        self.open_line(to);
        assert_eq!(code, CloseCode::SLOW_CONSUMER);
    }

    fn close(&mut self, to: ConnId, code: CloseCode, reason: &str) {
        self.open_line(to).closed = Some((code.number(), reason.to_owned()));
    }

    fn note(&mut self, _about: ConnId, _what: &'static str, detail: &dyn fmt::Display) {
        assert!(!detail.to_string().is_empty());
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn unix_ms(&self) -> u64 {
        UNIX_MS
    }
}

/// The time of day, which nothing depends on.
pub(super) const UNIX_MS: u64 = 1_734_190_000_123;
