//! The chat with sessions: clients that come back, beside a small model of what each of them must see.
//!
//! | file | what |
//! |---|---|
//! | `sessions.rs` | what happens, as the input has it, and what must hold after each of it |
//! | `words` | what clients say |
//! | `model` | rooms, sessions and connections as they must be |
//! | `asks` | what each request does to them, and its answer |
//! | `view` | what a client knows of a room, and whether what it is sent goes on from there |
//! | `desk` | what the hub hands out |

mod asks;
mod desk;
mod model;
mod view;
mod words;

use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::value::RawValue;

use self::asks::Answers;
use self::desk::Desk;
use self::model::{Mode, Model};
use self::words::Words;
use super::source::Source;
use crate::chat::Hub;
use crate::chat::hub::options::{BATCH_MAX, Options, PATCHES_BYTES_MAX};
use crate::chat::wire::request::{Body, Input, Refusal, Request as WireRequest, parse_plain, parse_session};
use crate::protocol::{CloseCode, End, Message, Request};
use crate::server::{App, ConnId, DRAINED_BYTES_MAX};

/// The chat with sessions: clients with and without one come, speak, err, lose their lines, come back and read late, in any
/// order and at any time. Each request gets its one answer. Between gaps everybody gets every chat and every patch of the
/// others once, in order and byte for byte, and a gap names only what is gone. Clients without a session get chats as they
/// were sent, and nothing else. Nothing goes to who is closed; memory is bounded; and at the end nothing is left.
///
/// # Panics
/// If that does not hold.
pub fn sessions(data: &[u8]) {
    let mut source = Source::new(data);
    let mut world = World::new(options(&mut source));
    let does_stop = source.byte() % 4 == 3;
    for _ in 0..STEPS_MAX {
        if source.is_empty() {
            break;
        }
        world.step(&mut source);
        world.check();
    }
    world.finish(does_stop);
}

/// How the hub works: mostly with bounds that are met soon.
fn options(source: &mut Source<'_>) -> Options {
    let usual = Options { state_bytes: 100, rooms_max: ROOMS_MAX, ..Options::default() };
    let choice = source.byte();
    let history = [usual.history, 5, 1, 0][usize::from(choice & 3)];
    let (history_bytes, memory_limit) = match choice >> 2 & 3 {
        0 => (usual.history_bytes, 2000),
        1 => (900, usual.memory_limit),
        _ => (usual.memory_limit, usual.memory_limit), // far more than an input can say
    };
    let batch_interval = (choice & 16 != 0).then_some(Duration::from_millis(20));
    let rooms_per_session = if choice & 32 != 0 { 2 } else { usual.rooms_per_session };
    let waiting_max = if choice & 64 != 0 { 1 } else { usual.waiting_max };
    Options { history, history_bytes, memory_limit, batch_interval, rooms_per_session, waiting_max, ..usual }
}

struct World {
    hub: Hub,
    desk: Desk,
    model: Model,
    /// When the hub was last given anything to do but the time.
    busy_at: Instant,
    fresh: u64,
}

impl World {
    fn new(options: Options) -> World {
        let now = Instant::now();
        World {
            hub: Hub::new(options.clone()),
            desk: Desk { now, lines: Default::default() },
            model: Model::new(options, now),
            busy_at: now,
            fresh: 0,
        }
    }

    fn step(&mut self, source: &mut Source<'_>) {
        let (deed, who) = (source.byte() % 16, usize::from(source.byte()));
        let count = self.desk.lines.len();
        if count == 0 || (deed < 2 && count < LINES_MAX) {
            self.open(deed == 0);
            return;
        }
        let id = *self.desk.lines.keys().nth(who % count).expect("one of them");
        let words = &mut Words { source, model: &self.model, fresh: &mut self.fresh };
        match deed {
            0..=7 => {
                let text = words.request(id);
                self.say(id, &text);
            }
            8 => {
                let text = words.batch(id);
                self.say(id, &text);
            }
            9 => {
                let length = usize::from(source.byte());
                let text = String::from_utf8_lossy(source.take(length)).into_owned();
                self.say_anything(id, &text);
            }
            10 | 11 => {
                let ends = [End::Lost, End::ClosedByPeer(Some(CloseCode::NORMAL)), End::Reset, End::HeartbeatTimeout];
                let others = [End::ClosedByPeer(Some(CloseCode::GOING_AWAY)), End::ClosedByPeer(None)];
                let choice = usize::from(source.byte());
                self.end(id, ends.iter().chain(&others).nth(choice % 6).expect("one of six"));
            }
            12 | 13 => {
                let (time, is_late) = (source.duration(), source.byte() % 4 == 3);
                self.wait(time, is_late);
            }
            14 => {
                let [queued, weight] = source.array();
                let line = self.desk.lines.get_mut(&id).expect("one of them");
                line.queued =
                    [0, DRAINED_BYTES_MAX, DRAINED_BYTES_MAX + 1, 5 * DRAINED_BYTES_MAX][usize::from(queued % 4)];
                line.weight = [0, 1, 300, 10_000][usize::from(weight % 4)];
            }
            _ if who >= 250 => self.say_binary(id),
            _ => self.drain(id),
        }
    }

    // ---- what happens

    fn open(&mut self, is_plain: bool) -> ConnId {
        let offer = if is_plain { "" } else { "Sec-WebSocket-Protocol: frameloop.v1\r\n" };
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
        );
        let request = Request::parse(request.as_bytes()).expect("it keeps all rules");
        let is_free = |id: &ConnId| !self.desk.lines.contains_key(id);
        let id = (0..).map(ConnId::for_test).find(is_free).expect("there are more than lines");
        self.desk.lines.insert(id, Default::default());
        self.hub.on_open(id, &request, &mut self.desk);
        let session = self.hub.session(id).map(|session| session.to_string());
        assert_eq!(session.is_some(), is_plain);
        self.model.open(id, session);
        self.read_all(None);
        id
    }

    /// A text of which nothing is known. What is left out is what this model does not know: numbers that no reader can
    /// hold, and patches that may break rules of their own.
    fn say_anything(&mut self, id: ConnId, text: &str) {
        let is_known = |request: &Result<WireRequest<'_>, Refusal>| {
            !matches!(request, Ok(WireRequest { body: Body::Patch { .. }, .. }))
        };
        let is_too_large = serde_json::from_str::<Value>(text).is_err_and(|error| error.to_string().contains("range"));
        if !is_too_large && self.parse(id, text).iter().all(is_known) {
            self.say(id, text);
        }
    }

    fn parse<'t>(&self, id: ConnId, text: &'t str) -> Vec<Result<WireRequest<'t>, Refusal>> {
        if self.model.lines[&id].mode == Mode::Plain {
            return vec![parse_plain(text)];
        }
        match parse_session(text, BATCH_MAX) {
            Ok(Input::One(request)) => vec![request],
            Ok(Input::Batch(requests)) => requests,
            Err(error) => vec![Err(error.into())],
        }
    }

    fn say(&mut self, id: ConnId, text: &str) {
        let requests = self.parse(id, text);
        self.hub.on_message(id, Message::text(text), &mut self.desk);
        self.busy_at = self.desk.now;
        let is_answer =
            |message: &Value| ["ack", "error", "welcome", "pong"].map(Value::from).contains(&message["type"]);
        let sent = &self.desk.lines[&id].sent;
        // Chats that a client without a session gets are not its answers, and it gets none in its own turn.
        let messages = sent.iter().flat_map(|text| messages(text)).map(|(_, message)| message);
        let mut answers = Answers::new(messages.filter(is_answer));
        for request in requests {
            self.model.ask(id, request, text, &mut answers);
        }
        answers.check_end();
        self.read_all(Some((id, answers)));
    }

    fn say_binary(&mut self, id: ConnId) {
        self.hub.on_message(id, Message::binary(b"x"), &mut self.desk);
        self.busy_at = self.desk.now;
        if !matches!(self.model.lines[&id].mode, Mode::Closed(_)) {
            self.model.depart(id, false, Mode::Closed(1003));
        }
        self.read_all(None);
    }

    fn end(&mut self, id: ConnId, end: &End) {
        let line = &self.desk.lines[&id];
        let own_end = line.closed.as_ref().and_then(|(code, _)| CloseCode::new(*code)).map(End::ClosedByUs);
        let end = own_end.as_ref().unwrap_or(end);
        self.hub.on_close(id, end, &mut self.desk);
        assert!(self.desk.lines[&id].sent.is_empty(), "nothing goes to who is gone");
        assert_eq!(self.hub.session(id), None, "it is forgotten");
        self.busy_at = self.desk.now;
        self.model.depart(id, *end == End::ClosedByPeer(Some(CloseCode::NORMAL)), Mode::Closed(0));
        self.desk.lines.remove(&id);
        self.model.lines.remove(&id);
        self.read_all(None);
    }

    fn drain(&mut self, id: ConnId) {
        let line = self.desk.lines.get_mut(&id).expect("one of them");
        line.queued = 0;
        if std::mem::take(&mut line.is_awaited) && line.closed.is_none() {
            self.hub.on_drained(id, &mut self.desk);
            self.busy_at = self.desk.now;
        }
        self.read_all(None);
    }

    /// Lets time go by: what is due is done at its time, or all of it in a turn that comes late.
    fn wait(&mut self, time: Duration, is_late: bool) {
        let until = self.desk.now + time;
        if is_late {
            self.desk.now = until;
            self.model.stirred_at = until;
        }
        let mut turns = 0;
        while let Some(at) = self.hub.next_timeout().filter(|&at| at <= until) {
            turns += 1;
            assert!(turns < TURNS_MAX, "it never comes to rest");
            self.desk.now = self.desk.now.max(at);
            self.hub.on_timeout(&mut self.desk);
            self.model.tell_time(self.desk.now);
            self.read_all(None);
        }
        self.desk.now = until;
        self.model.tell_time(until);
        self.check_presence();
    }

    // ---- what must hold

    /// Looks at all that was sent. `asker` is who has said something, and the answers to it.
    fn read_all(&mut self, mut asker: Option<(ConnId, Answers)>) {
        if let Some((id, answers)) = &asker {
            self.model.learn_silently(*id, answers, false);
        }
        for (&id, line) in &mut self.desk.lines {
            let sent = std::mem::take(&mut line.sent);
            let answers = asker.as_mut().filter(|(asker, _)| *asker == id).map(|(_, answers)| answers);
            let expected = std::mem::take(&mut self.model.lines.get_mut(&id).expect("an open connection").expected);
            match self.model.lines[&id].mode {
                Mode::Plain if answers.is_none() => assert_eq!(sent, expected, "P1, P2"),
                Mode::Plain => assert!(sent.iter().all(|text| text.starts_with(r#"{"type":"error""#)), "P4: {sent:?}"),
                _ => read(&mut self.model, id, &sent, answers, line.closed.as_ref().map(|(code, _)| *code)),
            }
        }
        if let Some((id, answers)) = asker {
            let is_replayed = self.desk.lines[&id].is_awaited;
            self.model.learn_silently(id, &answers, is_replayed);
        }
    }

    fn check(&self) {
        for (id, line) in &self.desk.lines {
            let own = &self.model.lines[id];
            match (own.mode, &line.closed) {
                (Mode::Closed(code), Some((closed, _))) => assert_eq!(code, *closed),
                (Mode::Closed(code), None) => panic!("it should have been closed with {code}"),
                (_, closed) => assert_eq!(*closed, None),
            }
            let is_gathered = self.model.options.batch_interval.is_some_and(|time| self.busy_at + time > self.desk.now);
            if own.mode == Mode::Session && !line.is_awaited && !is_gathered {
                for (name, view) in own.views.iter().filter(|(_, view)| !view.is_loose) {
                    view.check_all(&self.model.rooms[name], &own.session);
                }
            }
        }
        let plain = self.model.lines.values().filter(|line| line.mode == Mode::Plain).count();
        assert_eq!(self.hub.lobby().len(), plain);
        // A table keeps at most room for 64, or four times as many as are there.
        let bound = 110 * (64 + 4 * self.desk.lines.len());
        assert!(self.hub.held_bytes() <= bound, "{} bytes for {}", self.hub.held_bytes(), self.desk.lines.len());
        let Options { history_bytes, memory_limit, .. } = self.model.options;
        let rooms = self.model.rooms.len();
        let per_room = history_bytes.saturating_add(2 * PATCHES_BYTES_MAX);
        assert!(self.hub.kept_bytes() <= memory_limit.min(per_room.saturating_mul(rooms)));
    }

    /// Whoever asked knows who is there, a second after the last who came or went.
    fn check_presence(&self) {
        if self.desk.now < self.model.stirred_at.max(self.busy_at) + Duration::from_millis(1020) {
            return;
        }
        for line in self.model.lines.values().filter(|line| line.mode == Mode::Session) {
            for (name, view) in line.views.iter().filter(|(_, view)| !view.is_loose) {
                view.check_presence(&line.session, &self.model.present(name, &line.session));
            }
        }
    }

    /// All go, and after a while nothing is left.
    fn finish(mut self, does_stop: bool) {
        self.wait(Duration::from_secs(2), false);
        self.check();
        if does_stop {
            let is_open = |id: &ConnId| self.model.lines[id].mode == Mode::Session;
            let ids: Vec<ConnId> = self.desk.lines.keys().copied().filter(is_open).collect();
            self.hub.on_stop(&mut self.desk);
            ids.into_iter().for_each(|id| self.model.depart(id, false, Mode::Closed(1012)));
            self.read_all(None);
            self.check();
        }
        let ids: Vec<ConnId> = self.desk.lines.keys().copied().collect();
        ids.iter().for_each(|&id| self.end(id, &End::Lost));
        self.wait(self.model.options.resume_window, false);
        self.check();
        assert_eq!((self.hub.next_timeout(), self.hub.kept_bytes()), (None, 0), "something is left");
        assert!(self.model.sessions.is_empty() && self.model.rooms.is_empty());
        // There is place for as many rooms as there may be, so none is left; and no session can be resumed.
        let resume = self
            .model
            .known
            .last()
            .map(|(session, token)| format!(r#","resume":{{"session":"{session}","token":"{token}"}}"#));
        let resume = resume.unwrap_or_default();
        for first in (0..ROOMS_MAX).step_by(2) {
            let (id, second) = (self.open(false), first + 1);
            self.say(id, &format!(r#"{{"type":"hello","v":1,"rooms":{{"{first}":{{}},"{second}":{{}}}}{resume}}}"#));
        }
        assert_eq!(self.model.rooms.len(), ROOMS_MAX);
    }
}

/// Takes in what a client with a session was sent.
fn read(model: &mut Model, id: ConnId, sent: &[String], mut answers: Option<&mut Answers>, closed: Option<u16>) {
    let own = model.lines[&id].session.clone();
    for (at, (text, message)) in sent.iter().flat_map(|text| messages(text)).enumerate() {
        match message["type"].as_str().expect("a type") {
            "ack" | "error" | "welcome" | "pong" => {
                let answers = answers.as_mut().expect("an answer that nobody asked for");
                model.learn(id, answers);
            }
            "disconnect" => {
                assert_eq!(message["code"].as_u64().map(|code| code as u16), closed, "{message}, {at}");
                assert!(sent.last().is_some_and(|last| *last == text), "it is the last");
            }
            _ => {
                let mut views = std::mem::take(&mut model.lines.get_mut(&id).expect("it reads").views);
                let name = message["room"].as_str().unwrap_or_else(|| panic!("of no room: {text}"));
                let view = views.get_mut(name).unwrap_or_else(|| panic!("it is not in that room: {text}"));
                view.read(&text, &message, model, &own);
                model.lines.get_mut(&id).expect("it reads").views = views;
            }
        }
    }
}

/// The messages of one text: an object, or an array of them.
fn messages(text: &str) -> Vec<(String, Value)> {
    let texts: Vec<&str> = if text.starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(text).expect("the hub sends JSON");
        assert!((1..=BATCH_MAX).contains(&elements.len()), "an array of {}", elements.len());
        elements.into_iter().map(RawValue::get).collect()
    } else {
        vec![text]
    };
    let message = |text: &str| (text.to_owned(), serde_json::from_str(text).expect("the hub sends JSON"));
    let messages: Vec<(String, Value)> = texts.into_iter().map(message).collect();
    assert!(messages.iter().all(|(_, message)| message.is_object()), "{text}");
    messages
}

/// Connections at a time.
const LINES_MAX: usize = 8;

/// Rooms at a time.
const ROOMS_MAX: usize = 4;

/// Things that happen in one run, so that no input takes long.
const STEPS_MAX: usize = 400;

/// Turns of the hub in one wait: more than there can be things to do.
const TURNS_MAX: usize = 2000;
