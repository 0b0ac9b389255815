//! What several messages tell: where a room stands, who is in it, who sent something.

use std::fmt::Display;

use super::super::request::RequestId;
use super::super::write::Object;
use super::Ack;

/// The limits that a `welcome` names.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a message.
    pub message_bytes: u64,
    /// Messages in a batch.
    pub batch: u64,
    /// Rooms of a session.
    pub rooms: u64,
    /// Bytes of a room's state.
    pub state_bytes: u64,
    /// Nesting of a room's state.
    pub state_depth: u64,
}

impl Limits {
    pub(super) fn write(&self, out: &mut String) {
        Object::start(out)
            .number("message_bytes", self.message_bytes)
            .number("batch", self.batch)
            .number("rooms", self.rooms)
            .number("state_bytes", self.state_bytes)
            .number("state_depth", self.state_depth)
            .end();
    }
}

/// Where a room's log of messages stands.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// Which log: another one after the last was lost.
    pub epoch: &'a str,
    /// The number of the last chat in it; 0 is none.
    pub seq: u64,
}

impl Position<'_> {
    pub(super) fn members<'o>(&self, object: Object<'o>) -> Object<'o> {
        object.text("epoch", Some(&self.epoch)).number("seq", self.seq)
    }
}

/// What a session is told of a room that it joined.
#[derive(Clone, Copy)]
pub struct Joined<'a> {
    /// Where the log stands.
    pub position: Position<'a>,
    /// The state's version.
    pub version: Option<u64>,
    /// The state, as JSON.
    pub state: Option<&'a str>,
    /// Who else is there.
    pub people: Option<People<'a>>,
    /// Whether all that was missed follows.
    pub recovered: Option<bool>,
}

impl<'a> Joined<'a> {
    /// The room's answer to a `join`.
    pub fn ack(self, id: &'a RequestId, room: &'a str) -> Ack<'a> {
        let Joined { position, version, state, people, recovered } = self;
        let position = Some(position);
        Ack { room: Some(room), position, version, state, people, recovered, ..Ack::new(id) }
    }

    pub(super) fn members<'o>(&self, object: Object<'o>) -> Object<'o> {
        let object = self.position.members(object).number("version", self.version).raw("state", self.state);
        people(object, self.people).flag("recovered", self.recovered)
    }
}

/// Who is in a room.
#[derive(Clone, Copy)]
pub enum People<'a> {
    /// All others.
    Members(&'a [Member<'a>]),
    /// So many that only their number is told.
    Count(u64),
}

pub(super) fn people<'o>(object: Object<'o>, people: Option<People<'_>>) -> Object<'o> {
    match people {
        Some(People::Members(members)) => object.list("members", members, Member::write),
        Some(People::Count(count)) => object.number("count", count),
        None => object,
    }
}

/// One who is in a room.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    /// The public id of the session.
    pub session: &'a dyn Display,
    /// The user, if authenticated.
    pub user: Option<&'a str>,
    /// What the client tells of itself, as JSON.
    pub info: Option<&'a str>,
}

impl Member<'_> {
    pub(super) fn write(&self, out: &mut String) {
        let member = Object::start(out).text("session", Some(self.session));
        member.text("user", display(&self.user)).raw("info", self.info).end();
    }
}

/// Who sent a message.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// The public id of the session.
    pub session: &'a dyn Display,
    /// The user, if authenticated.
    pub user: Option<&'a str>,
}

impl Sender<'_> {
    pub(super) fn member<'o>(&self, object: Object<'o>) -> Object<'o> {
        object.value(&"from", |out| {
            Object::start(out).text("session", Some(self.session)).text("user", display(&self.user)).end();
        })
    }
}

pub(super) fn display<'v>(text: &'v Option<&str>) -> Option<&'v dyn Display> {
    text.as_ref().map(|text| text as &dyn Display)
}
