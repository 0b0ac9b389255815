//! The wire protocol from server to client: eleven types of messages, each written into a string.
//!
//! Each is a struct that borrows what it tells, and a [`Reply`]. What is `None` is left out. Members
//! that are called JSON are written as they are; all other text is escaped.

mod parts;

use std::fmt::Display;

pub use self::parts::{Joined, Limits, Member, People, Position, Sender};
use self::parts::{display, people};
use super::ErrorCode;
use super::request::{RequestId, VERSION};
use super::write::Object;

/// A message of the server.
pub trait Reply {
    /// Appends it.
    fn write(&self, out: &mut String);

    /// It alone.
    fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// The answer to `hello`.
#[derive(Clone, Copy)]
pub struct Welcome<'a> {
    /// The id of the `hello`.
    pub id: Option<&'a RequestId>,
    /// The public id of the session.
    pub session: &'a dyn Display,
    /// The user, if authenticated.
    pub user: Option<&'a str>,
    /// What resumes the session. Secret.
    pub resume_token: &'a dyn Display,
    /// How long a lost session can be resumed, in seconds.
    pub resume_ttl_s: u64,
    /// Whether the session is the one that was asked for.
    pub resumed: bool,
    /// Seconds between two pings of the server, rounded up.
    pub heartbeat_interval_s: u64,
    /// Pings without an answer after which a connection counts as lost.
    pub heartbeat_misses: u64,
    /// What a client must not exceed.
    pub limits: Limits,
    /// The rooms that were joined, by name.
    pub rooms: &'a [(&'a str, Joined<'a>)],
}

impl Reply for Welcome<'_> {
    fn write(&self, out: &mut String) {
        Object::message(out, "welcome")
            .raw("id", self.id.map(RequestId::as_json))
            .number("v", VERSION)
            .text("session", Some(self.session))
            .text("user", display(&self.user))
            .text("resume_token", Some(self.resume_token))
            .number("resume_ttl_s", self.resume_ttl_s)
            .flag("resumed", self.resumed)
            .value(&"heartbeat", |out| {
                let heartbeat = Object::start(out).number("interval_s", self.heartbeat_interval_s);
                heartbeat.number("misses", self.heartbeat_misses).end();
            })
            .value(&"limits", |out| self.limits.write(out))
            .value(&"rooms", |out| {
                let rooms = self.rooms.iter().fold(Object::start(out), |rooms, (name, joined)| {
                    rooms.value(name, |out| joined.members(Object::start(out)).end())
                });
                rooms.end();
            })
            .end();
    }
}

/// The answer to a request that was carried out. Everything but its id is optional.
#[derive(Clone, Copy)]
pub struct Ack<'a> {
    /// The id of the request.
    pub id: &'a RequestId,
    /// The room that it was about.
    pub room: Option<&'a str>,
    /// After `join` where the log stands, after `chat` where the chat stands in it.
    pub position: Option<Position<'a>>,
    /// The state's version.
    pub version: Option<u64>,
    /// The state, as JSON.
    pub state: Option<&'a str>,
    /// Who else is there.
    pub people: Option<People<'a>>,
    /// Whether all that was missed follows.
    pub recovered: Option<bool>,
    /// Whether this repeats the answer to a request with the same id.
    pub duplicate: bool,
}

impl<'a> Ack<'a> {
    /// An answer that says no more than that it was done.
    pub fn new(id: &'a RequestId) -> Ack<'a> {
        Ack {
            id,
            room: None,
            position: None,
            version: None,
            state: None,
            people: None,
            recovered: None,
            duplicate: false,
        }
    }
}

impl Reply for Ack<'_> {
    fn write(&self, out: &mut String) {
        let ack = Object::message(out, "ack").raw("id", self.id.as_json()).text("room", display(&self.room));
        let ack = match self.position {
            Some(position) => position.members(ack),
            None => ack,
        };
        let ack = people(ack.number("version", self.version).raw("state", self.state), self.people);
        ack.flag("recovered", self.recovered).flag("duplicate", self.duplicate.then_some(true)).end();
    }
}

/// The answer to a request that was refused, or what went wrong without one.
#[derive(Debug, Clone, Copy)]
pub struct Error<'a> {
    /// The id of the request.
    pub id: Option<&'a RequestId>,
    /// One of the closed list.
    pub code: ErrorCode,
    /// In words, for whoever wrote the client.
    pub message: &'a str,
    /// The room that it is about.
    pub room: Option<&'a str>,
    /// The member at fault.
    pub field: Option<&'a str>,
    /// The limit that was exceeded.
    pub limit: Option<u64>,
    /// The version of the state that a patch did not fit.
    pub version: Option<u64>,
    /// When it may be tried again, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl<'a> Error<'a> {
    /// An error that says no more than what it is.
    pub fn new(code: ErrorCode, message: &'a str) -> Error<'a> {
        Error { id: None, code, message, room: None, field: None, limit: None, version: None, retry_after_ms: None }
    }
}

impl Reply for Error<'_> {
    fn write(&self, out: &mut String) {
        Object::message(out, "error")
            .raw("id", self.id.map(RequestId::as_json))
            .text("code", Some(&self.code.as_str()))
            .text("message", Some(&self.message))
            .text("room", display(&self.room))
            .text("field", display(&self.field))
            .number("limit", self.limit)
            .number("version", self.version)
            .number("retry_after_ms", self.retry_after_ms)
            .end();
    }
}

/// A chat, for readers in session mode.
#[derive(Clone, Copy)]
pub struct Chat<'a> {
    /// The room in which it was said.
    pub room: &'a str,
    /// Its number in the room's log.
    pub seq: u64,
    /// Who said it.
    pub from: Sender<'a>,
    /// When it was said, in milliseconds since 1970.
    pub ts: u64,
    /// The sender's own members: see [`request::Chat::own_members`](super::request::Chat::own_members).
    pub own_members: &'a str,
}

impl Reply for Chat<'_> {
    fn write(&self, out: &mut String) {
        let chat = Object::message(out, "chat").text("room", Some(&self.room)).number("seq", self.seq);
        self.from.member(chat).number("ts", self.ts).members(self.own_members).end();
    }
}

/// Appends a chat for readers in plain mode: with the sender's own members, and none of the server's.
pub fn write_plain_chat(out: &mut String, own_members: &str) {
    Object::message(out, "chat").members(own_members).end();
}

/// A signal.
#[derive(Clone, Copy)]
pub struct Signal<'a> {
    /// The room in which it was given.
    pub room: &'a str,
    /// Who gave it.
    pub from: Sender<'a>,
    /// What it says, as JSON.
    pub data: Option<&'a str>,
}

impl Reply for Signal<'_> {
    fn write(&self, out: &mut String) {
        let signal = Object::message(out, "signal").text("room", Some(&self.room));
        self.from.member(signal).raw("data", self.data).end();
    }
}

/// Who came to a room and who left it.
#[derive(Clone, Copy)]
pub struct Presence<'a> {
    /// The room.
    pub room: &'a str,
    /// What changed.
    pub change: Change<'a>,
}

/// What a `presence` tells.
#[derive(Clone, Copy)]
pub enum Change<'a> {
    /// Who came and who left.
    People {
        /// Who came.
        joins: &'a [Member<'a>],
        /// Who left.
        leaves: &'a [Member<'a>],
    },
    /// How many are there, where they are too many to be told one by one.
    Count(u64),
}

impl Reply for Presence<'_> {
    fn write(&self, out: &mut String) {
        let presence = Object::message(out, "presence").text("room", Some(&self.room));
        let presence = match self.change {
            Change::People { joins, leaves } => {
                presence.list("joins", joins, Member::write).list("leaves", leaves, Member::write)
            }
            Change::Count(count) => presence.number("count", count),
        };
        presence.end();
    }
}

/// The whole state of a room.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    /// The room.
    pub room: &'a str,
    /// The state's version.
    pub version: u64,
    /// The state, as JSON.
    pub state: &'a str,
}

impl Reply for State<'_> {
    fn write(&self, out: &mut String) {
        let state = Object::message(out, "state").text("room", Some(&self.room));
        state.number("version", self.version).raw("state", self.state).end();
    }
}

/// A change of a room's state.
#[derive(Clone, Copy)]
pub struct Patch<'a> {
    /// The room.
    pub room: &'a str,
    /// The version that it makes.
    pub version: u64,
    /// Who made it.
    pub from: Sender<'a>,
    /// The merge patch, as JSON.
    pub patch: &'a str,
}

impl Reply for Patch<'_> {
    fn write(&self, out: &mut String) {
        let patch = Object::message(out, "patch").text("room", Some(&self.room)).number("version", self.version);
        self.from.member(patch).raw("patch", self.patch).end();
    }
}

/// Chats that a reader will not get.
#[derive(Debug, Clone, Copy)]
pub struct Gap<'a> {
    /// The room.
    pub room: &'a str,
    /// The log.
    pub epoch: &'a str,
    /// What is gone, and why.
    pub reason: GapReason,
}

/// Why chats are gone, with the first and the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// The reader was too slow.
    Overrun(u64, u64),
    /// The log is shorter than the absence.
    Expired(u64, u64),
    /// The log is another one: nobody knows how many.
    Reset,
}

impl Reply for Gap<'_> {
    fn write(&self, out: &mut String) {
        let (reason, first, last) = match self.reason {
            GapReason::Overrun(first, last) => ("overrun", Some(first), Some(last)),
            GapReason::Expired(first, last) => ("expired", Some(first), Some(last)),
            GapReason::Reset => ("reset", None, None),
        };
        let gap = Object::message(out, "gap").text("room", Some(&self.room)).text("epoch", Some(&self.epoch));
        gap.number("from_seq", first).number("to_seq", last).text("reason", Some(&reason)).end();
    }
}

/// The last message before a close.
#[derive(Debug, Clone, Copy)]
pub struct Disconnect<'a> {
    /// The close code.
    pub code: u16,
    /// The reason word.
    pub reason: &'a str,
    /// Whether to come back.
    pub reconnect: bool,
    /// When to come back, in milliseconds.
    pub after_ms: Option<u64>,
}

impl Reply for Disconnect<'_> {
    fn write(&self, out: &mut String) {
        let disconnect = Object::message(out, "disconnect").number("code", u64::from(self.code));
        let disconnect = disconnect.text("reason", Some(&self.reason)).flag("reconnect", self.reconnect);
        disconnect.number("after_ms", self.after_ms).end();
    }
}

/// The answer to `ping`.
#[derive(Debug, Clone, Copy)]
pub struct Pong<'a> {
    /// The id of the `ping`.
    pub id: Option<&'a RequestId>,
    /// The server's time, in milliseconds since 1970.
    pub ts: u64,
}

impl Reply for Pong<'_> {
    fn write(&self, out: &mut String) {
        Object::message(out, "pong").raw("id", self.id.map(RequestId::as_json)).number("ts", self.ts).end();
    }
}

#[cfg(test)]
mod tests;
