//! The chat server, which also echoes what asks for it, with an ear at everything that goes in and out: what each client must receive is known from here.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use frameloop::chat::Hub;
use frameloop::protocol::{CloseCode, End, Message, Request, SharedFrame};
use frameloop::server::{App, ConnId, Outbox};

use super::memory::uncounted;
use super::world::{Shared, World};

/// What the application saw.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) turn: u64,
    /// The clients whose `on_open` came, and `on_close` did not.
    pub(crate) open: HashMap<ConnId, usize>,
    /// By the clients' indices.
    pub(crate) seen: Vec<Seen>,
    /// Of those that are open, so many the application has closed itself.
    closing: usize,
    /// Frames given to the server in this turn, each receiver counted.
    pub(crate) deliveries: usize,
    /// The clients whose `on_close` came in this turn.
    pub(crate) ended: Vec<usize>,
}

/// What the application saw of one client, and what the client said and must hear.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) id: Option<ConnId>,
    /// What it said and the application has not heard, oldest first.
    pub(crate) said: VecDeque<Rc<str>>,
    /// What it was sent and has not received, oldest first.
    pub(crate) expected: VecDeque<Expected>,
    pub(crate) pushed_in_turn: usize,
    /// Bytes that were sent to it since its socket last had room for all.
    pub(crate) pushed: usize,
    /// Of these, the least that can be in its queue.
    pub(crate) queued: usize,
    /// The application has closed it.
    pub(crate) closed_at: Option<Instant>,
    pub(crate) end: Option<Ended>,
}

pub(crate) struct Expected {
    pub(crate) text: Rc<str>,
    /// The turn in which it was sent.
    pub(crate) turn: u64,
    /// The server had read the client's Close frame, and what is sent behind one is dropped.
    pub(crate) may_be_late: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) at: Instant,
    pub(crate) turn: u64,
}

impl Record {
    /// The clients that are members of the room.
    pub(crate) fn members(&self) -> usize {
        self.open.len() - self.closing
    }

    fn pushed(&mut self, to: ConnId, text: Rc<str>, frame_len: usize, is_answer: bool, world: &World) {
        let client = *self.open.get(&to).expect("the hub sends to one that it was told has gone");
        // What is answered stood before the Close frame.
        let may_be_late = !is_answer && world.sockets[client].is_close_read();
        self.deliveries += 1;
        let seen = &mut self.seen[client];
        assert!(seen.closed_at.is_none(), "the hub sends to one that it has closed");
        seen.pushed_in_turn += frame_len;
        seen.expected.push_back(Expected { text, turn: self.turn, may_be_late });
    }
}

/// The hub, and the record of all that goes in and out.
pub(crate) struct Recorder {
    pub(crate) hub: Hub,
    pub(crate) record: Rc<RefCell<Record>>,
    pub(crate) world: Shared,
}

impl Recorder {
    fn check_members(&self) {
        assert_eq!(self.hub.lobby().len(), self.record.borrow().members(), "the members of the room");
    }
}

impl App for Recorder {
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        let client: usize = request.target()[1..].parse().expect("the target is the client's index");
        uncounted(|| {
            let mut record = self.record.borrow_mut();
            assert!(record.open.insert(id, client).is_none(), "two connections with one id");
            let before = record.seen[client].id.replace(id);
            assert!(before.is_none(), "one connection is opened twice");
        });
        self.hub.on_open(id, request, &mut Tap::new(out, &self.record, &self.world, id));
        assert!(self.hub.session(id).is_some());
        self.check_members();
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        self.world.borrow_mut().has_progress = true;
        assert!(self.world.borrow().stopped_at.is_none(), "a message from a connection that was closed by the stop");
        let mut is_echo = false;
        let is_chat = uncounted(|| {
            let mut record = self.record.borrow_mut();
            let client = *record.open.get(&id).expect("a message from a connection that is not open");
            let seen = &mut record.seen[client];
            assert!(seen.closed_at.is_none(), "a message from a connection that was closed");
            let Some(said) = seen.said.pop_front() else { panic!("client {client} did not say {message:?}") };
            match message {
                Message::Text(ref text) => assert_eq!(&said[..], &text[..], "of client {client}"),
                Message::Binary(_) => assert_eq!(&said[..], BINARY, "of client {client}"),
            }
            is_echo = said.starts_with(ECHO);
            said.starts_with(CHAT)
        });
        let mut tap = Tap::new(out, &self.record, &self.world, id);
        match message {
            // It is given away, not lent: the server sends it from where it lies.
            Message::Text(text) if is_echo => tap.send(id, Message::Text(Cow::Owned(text.into_owned()))),
            message => self.hub.on_message(id, message, &mut tap),
        }
        let sent = tap.sent;
        if is_chat {
            assert_eq!(sent + 1, self.record.borrow().members(), "a chat goes to all others");
        } else {
            assert!(sent <= 1, "an error goes to its sender only");
        }
        self.check_members();
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        uncounted(|| {
            let mut record = self.record.borrow_mut();
            let client = record.open.remove(&id).expect("an end for each beginning, and one only");
            let ended = Ended { end: *end, at: out.now(), turn: record.turn };
            let before = record.seen[client].end.replace(ended);
            assert!(before.is_none(), "one connection ends twice");
            record.closing -= usize::from(record.seen[client].closed_at.is_some());
            record.ended.push(client);
        });
        self.hub.on_close(id, end, &mut Tap::new(out, &self.record, &self.world, id));
        assert!(self.hub.session(id).is_none());
        self.check_members();
    }
}

/// What the hub sends, noted on its way.
struct Tap<'o, O> {
    out: &'o mut O,
    record: &'o RefCell<Record>,
    world: &'o RefCell<World>,
    /// Whose message it is.
    from: ConnId,
    text: Option<Rc<str>>,
    sent: usize,
}

impl<'o, O: Outbox> Tap<'o, O> {
    fn new(out: &'o mut O, record: &'o RefCell<Record>, world: &'o RefCell<World>, from: ConnId) -> Tap<'o, O> {
        Tap { out, record, world, from, text: None, sent: 0 }
    }
}

impl<O: Outbox> Outbox for Tap<'_, O> {
    fn send(&mut self, to: ConnId, message: Message<'_>) {
        assert_eq!(to, self.from, "only an answer is sent to one");
        uncounted(|| {
            let text = String::from_utf8_lossy(message.as_bytes());
            let (text, frame_len) = (text.as_ref().into(), frame_len(text.len()));
            self.record.borrow_mut().pushed(to, text, frame_len, true, &self.world.borrow());
        });
        self.sent += 1;
        self.out.send(to, message);
    }

    fn send_shared(&mut self, to: ConnId, frame: &SharedFrame) {
        assert_ne!(to, self.from, "nobody hears itself");
        uncounted(|| {
            let bytes = frame.as_bytes();
            let text = self.text.get_or_insert_with(|| {
                let header_len = if bytes[1] < 126 { 2 } else { 4 };
                std::str::from_utf8(&bytes[header_len..]).expect("§8.1: text is UTF-8").into()
            });
            self.record.borrow_mut().pushed(to, text.clone(), bytes.len(), false, &self.world.borrow());
        });
        self.sent += 1;
        self.out.send_shared(to, frame);
    }

    fn queued_bytes(&self, to: ConnId) -> usize {
        self.out.queued_bytes(to)
    }

    fn notify_drained(&mut self, to: ConnId) {
        self.out.notify_drained(to);
    }

    fn set_overload_code(&mut self, to: ConnId, code: CloseCode) {
        self.out.set_overload_code(to, code);
    }

    fn close(&mut self, to: ConnId, code: CloseCode, reason: &str) {
        let mut record = self.record.borrow_mut();
        let client = record.open[&to];
        record.closing += usize::from(record.seen[client].closed_at.replace(self.out.now()).is_none());
        drop(record);
        self.out.close(to, code, reason);
    }

    fn note(&mut self, about: ConnId, what: &'static str, detail: &dyn fmt::Display) {
        self.out.note(about, what, detail);
    }

    fn now(&self) -> Instant {
        self.out.now()
    }

    fn unix_ms(&self) -> u64 {
        self.out.unix_ms()
    }
}

impl<O> Drop for Tap<'_, O> {
    fn drop(&mut self) {
        let text = self.text.take();
        uncounted(|| drop(text));
    }
}

fn frame_len(payload_len: usize) -> usize {
    payload_len + if payload_len < 126 { 2 } else { 4 }
}

/// How a chat begins.
pub(crate) const CHAT: &str = "{\"type\":\"chat\"";

/// How a message begins that its sender gets back.
pub(crate) const ECHO: &str = "{\"echo\":";

/// What stands for a binary message in [`Seen::said`].
pub(crate) const BINARY: &str = "\0binary";
