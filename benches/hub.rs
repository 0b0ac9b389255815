//! The chat server without a network: what one message costs, and a member that comes and goes.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod harness;

use std::fmt::Display;
use std::time::Instant;

use frameloop::chat::Hub;
use frameloop::protocol::{CloseCode, End, Message, Request, SharedFrame};
use frameloop::server::{App, ConnId, Outbox};
use harness::{Bench, Work, bytes};

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// 64 bytes.
const CHAT: &str = r#"{"type":"chat","msg":"hello, all of you who may be listening!!"}"#;

const RECEIVERS: u32 = 100;
const GUESTS: u32 = 256;

/// Counts what would be sent.
struct Count {
    frames: usize,
    notes: usize,
    now: Instant,
}

impl Outbox for Count {
    fn send(&mut self, _to: ConnId, _message: Message<'_>) {
        self.frames += 1;
    }

    fn send_shared(&mut self, _to: ConnId, _frame: &SharedFrame) {
        self.frames += 1;
    }

    fn queued_bytes(&self, _to: ConnId) -> usize {
        0
    }

    fn notify_drained(&mut self, _to: ConnId) {}

    fn set_overload_code(&mut self, _to: ConnId, _code: CloseCode) {}

    fn close(&mut self, _to: ConnId, _code: CloseCode, _reason: &str) {}

    fn note(&mut self, _about: ConnId, _what: &'static str, _detail: &dyn Display) {
        self.notes += 1;
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn unix_ms(&self) -> u64 {
        1_734_190_000_123
    }
}

fn main() {
    let mut bench = Bench::start();
    let request = Request::parse(HEAD).expect("a valid request");
    let (mut hub, mut out) = (Hub::default(), Count { frames: 0, notes: 0, now: Instant::now() });
    for index in 0..=RECEIVERS {
        hub.on_open(ConnId::for_test(index), &request, &mut out);
    }
    let sender = ConnId::for_test(7);
    let per_receiver = Work { operations: RECEIVERS as usize, bytes: 0 };
    bench.case("a chat of 64 B to 100, each of them", per_receiver, RECEIVERS as usize, || {
        out.frames = 0;
        hub.on_message(sender, Message::text(CHAT), &mut out);
        out.frames
    });
    bench.case("a message that is no JSON, and its answer", bytes(0), (1, 1), || {
        (out.frames, out.notes) = (0, 0);
        hub.on_message(sender, Message::text("hello"), &mut out);
        (out.frames, out.notes)
    });
    // Many of them: where one of them lies in the tables is up to the hash, which is another in each run.
    let work = Work { operations: GUESTS as usize, bytes: 0 };
    bench.case("a member that comes and goes, among 100", work, RECEIVERS as usize + 1, || {
        for guest in (RECEIVERS + 1..).take(GUESTS as usize).map(ConnId::for_test) {
            hub.on_open(guest, &request, &mut out);
            hub.on_close(guest, &End::Lost, &mut out);
        }
        hub.lobby().len()
    });
}
