//! The hub without sockets: clients that say JSON, and an outbox that keeps what each of them is sent. Time is a number.

mod access;
mod answers;
mod bounds;
mod hello;
mod model;
mod plain;
mod presence;
mod recovery;
mod replay;
mod rooms;
mod state;

use super::*;
use crate::chat::recorder::{Recorder, UNIX_MS, upgrade_request};
use crate::server::DRAINED_BYTES_MAX;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A hub, its clients and the time.
struct Bench {
    hub: Hub,
    out: Recorder,
    opened: u32,
}

/// A client with a session.
#[derive(Debug, Clone)]
struct Client {
    id: ConnId,
    session: String,
    token: String,
    welcome: Value,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Options::default())
    }

    fn with(options: Options) -> Bench {
        Bench { hub: Hub::new(options), out: Recorder::default(), opened: 0 }
    }

    fn open(&mut self, header: &str) -> ConnId {
        let id = self.knock(header).expect("it is let in");
        assert!(!self.out.sent.contains_key(&id), "P1: nothing is sent unasked");
        id
    }

    /// Asks to come in.
    fn knock(&mut self, header: &str) -> Result<ConnId, HandshakeError> {
        let request = upgrade_request(header);
        self.hub.on_request(&request, &self.out)?;
        let id = ConnId::for_test(self.opened);
        self.opened += 1;
        self.hub.on_open(id, &request, &mut self.out);
        Ok(id)
    }

    /// A client without a session.
    fn plain(&mut self) -> ConnId {
        self.open("")
    }

    /// A client that has offered the subprotocol and not yet said hello.
    fn announced(&mut self) -> ConnId {
        self.open("Sec-WebSocket-Protocol: frameloop.v1\r\n")
    }

    /// A client with a new session in these rooms.
    fn client(&mut self, rooms: Value) -> Client {
        let id = self.announced();
        self.hello(id, json!({"rooms": rooms}))
    }

    /// Says hello with these members. What comes behind the welcome is left to be taken.
    fn hello(&mut self, id: ConnId, members: Value) -> Client {
        let mut hello = json!({"type": "hello", "id": 1, "v": 1});
        hello.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.say(id, hello);
        let welcome: Value = serde_json::from_str(&self.out.sent.get_mut(&id).expect("an answer").remove(0)).unwrap();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        let text = |name: &str| welcome[name].as_str().expect("a text").to_owned();
        Client { id, session: text("session"), token: text("resume_token"), welcome }
    }

    /// Goes on with a session, on a connection of its own.
    fn resume(&mut self, client: &Client, mut members: Value) -> Client {
        let id = self.announced();
        members["resume"] = json!({"session": client.session, "token": client.token});
        self.hello(id, members)
    }

    fn say(&mut self, id: ConnId, message: Value) {
        self.say_text(id, &message.to_string());
    }

    fn say_text(&mut self, id: ConnId, text: &str) {
        self.hub.on_message(id, Message::text(text), &mut self.out);
    }

    /// Says something that wants an answer, and takes it: the last message.
    fn ask(&mut self, client: &Client, message: Value) -> Value {
        self.say(client.id, message);
        let last = self.out.sent.get_mut(&client.id).and_then(Vec::pop).expect("an answer");
        serde_json::from_str(&last).expect("JSON")
    }

    /// Says `msg` under an id made of it. Returns the number that it got.
    fn chat(&mut self, client: &Client, room: &str, msg: &str) -> u64 {
        let ack = self.ask(client, json!({"type": "chat", "id": format!("i-{msg:.20}"), "room": room, "msg": msg}));
        assert_eq!(ack["type"], "ack", "{ack}");
        ack["seq"].as_u64().expect("a number")
    }

    /// Takes what somebody was sent.
    fn texts(&mut self, id: ConnId) -> Vec<String> {
        self.out.sent.remove(&id).unwrap_or_default()
    }

    fn take(&mut self, id: ConnId) -> Vec<Value> {
        self.texts(id).iter().map(|text| serde_json::from_str(text).expect("JSON")).collect()
    }

    /// Takes the one message that somebody was sent.
    fn one(&mut self, id: ConnId) -> Value {
        let mut messages = self.take(id);
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    /// Takes what was said, as texts, whether alone or in arrays.
    fn heard(&mut self, id: ConnId) -> Vec<String> {
        let messages = self.take(id).into_iter().flat_map(|message| match message {
            Value::Array(messages) => messages,
            message => vec![message],
        });
        let chats = messages.filter(|message| message["type"] == "chat");
        chats.map(|chat| chat["msg"].as_str().expect("a text").to_owned()).collect()
    }

    fn end(&mut self, id: ConnId, end: End) {
        self.hub.on_close(id, &end, &mut self.out);
        self.out.queued.remove(&id);
        self.out.awaited.remove(&id);
    }

    fn lose(&mut self, id: ConnId) {
        self.end(id, End::Lost);
    }

    /// Lets so much time go by: what is due is done at its time.
    fn wait(&mut self, time: Duration) {
        let (since, until) = (self.out.now, self.out.now + time);
        let unix_ms = self.out.unix_ms;
        while let Some(at) = self.hub.next_timeout().filter(|&at| at <= until) {
            self.out.now = self.out.now.max(at);
            self.out.unix_ms = unix_ms + (self.out.now - since).as_millis() as u64;
            self.hub.on_timeout(&mut self.out);
        }
        self.out.now = until;
        self.out.unix_ms = unix_ms + time.as_millis() as u64;
    }

    /// So much waits for a peer from now on.
    fn stall(&mut self, id: ConnId) {
        self.out.queued.insert(id, DRAINED_BYTES_MAX + 1);
    }

    /// It has taken all, and the hub is told if it asked for that.
    fn drain(&mut self, id: ConnId) {
        self.out.queued.remove(&id);
        if self.out.awaited.remove(&id) {
            self.hub.on_drained(id, &mut self.out);
        }
    }

    fn closed(&self, id: ConnId) -> Option<(u16, &str)> {
        self.out.closed.get(&id).map(|(code, reason)| (code.number(), &**reason))
    }

    /// Nobody and nothing is left that would cost memory.
    fn is_empty(&self) -> bool {
        let Hub { sessions, rooms, agenda, lobby, waiting, waiting_bytes, empty_rooms, .. } = &self.hub;
        let has_clients = (0..self.opened).any(|index| self.hub.clients.get(ConnId::for_test(index)).is_some());
        sessions.is_empty()
            && rooms.is_empty()
            && agenda.next().is_none()
            && self.hub.unknown.next().is_none()
            && lobby.is_empty()
            && !has_clients
            && waiting.is_empty()
            && empty_rooms.is_empty()
            && (*waiting_bytes, self.hub.kept_bytes()) == (0, 0)
            && self.hub.post.is_empty()
    }
}

/// All members of `part` stand so in `message`.
#[track_caller]
fn assert_has(message: &Value, part: &Value) {
    for (name, value) in part.as_object().expect("an object") {
        assert_eq!(&message[name], value, "{name} of {message}");
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
