//! What must be, kept as simply as it can be: rooms whose logs are whole, sessions, and what each connection is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::view::View;
use crate::chat::hub::options::Options;
use crate::chat::session::ACCEPTED_MAX;
use crate::chat::wire::request::LOBBY;
use crate::server::ConnId;

/// Sessions with their `info`.
pub(super) type People = BTreeMap<String, Option<String>>;

/// A room since it was made.
#[derive(Debug)]
pub(super) struct Room {
    /// Unknown until somebody is told.
    pub(super) epoch: Option<String>,
    /// Who said it, and the whole message. The first has the number 1.
    pub(super) chats: Vec<(String, String)>,
    pub(super) patches: Vec<(String, String)>,
    /// The state at each version.
    pub(super) states: Vec<Value>,
    /// Since when nobody is in it.
    pub(super) empty_at: Option<Instant>,
}

impl Room {
    pub(super) fn version(&self) -> u64 {
        self.patches.len() as u64
    }

    fn state(&self) -> &Value {
        self.states.last().expect("there is always one")
    }

    /// Whether a chat is of this session.
    pub(super) fn is_own(&self, seq: u64, session: &str) -> bool {
        self.chats[seq as usize - 1].0 == session
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) token: String,
    /// What it says of itself, as JSON.
    pub(super) info: Option<String>,
    /// With what it wants: presence, state.
    pub(super) rooms: BTreeMap<String, (bool, bool)>,
    /// Those of them that made place for others while it waited: in what is called so now it is not present.
    pub(super) gone: BTreeSet<String>,
    pub(super) line: Option<ConnId>,
    pub(super) lost_at: Option<Instant>,
    /// Chats by their ids: the room, the epoch, the number, and when it was said.
    pub(super) accepted: VecDeque<(String, (String, String, u64), Instant)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Waiting,
    Session,
    /// The hub has closed it.
    Closed(u16),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) mode: Mode,
    pub(super) opened_at: Instant,
    /// Its session's id.
    pub(super) session: String,
    /// What a client without a session must have been sent.
    pub(super) expected: Vec<String>,
    pub(super) views: BTreeMap<String, View>,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) options: Options,
    pub(super) now: Instant,
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) lines: BTreeMap<ConnId, Line>,
    /// All sessions that ever were, and their tokens.
    pub(super) known: Vec<(String, String)>,
    /// Those without a connection, in the order in which they lost it.
    waiting: VecDeque<String>,
    /// The rooms in which nobody is, in the order in which they became so.
    empty: VecDeque<String>,
    /// All lives of all rooms.
    pub(super) epochs: BTreeSet<String>,
    pub(super) signals: BTreeSet<String>,
    /// When somebody came to a room or left one.
    pub(super) stirred_at: Instant,
}

impl Model {
    pub(super) fn new(options: Options, now: Instant) -> Model {
        Model {
            options,
            now,
            rooms: BTreeMap::new(),
            sessions: BTreeMap::new(),
            lines: BTreeMap::new(),
            known: Vec::new(),
            waiting: VecDeque::new(),
            empty: VecDeque::new(),
            epochs: BTreeSet::new(),
            signals: BTreeSet::new(),
            stirred_at: now,
        }
    }

    /// Whether the length of a log is bound by the number of its chats alone, so that it is known what is gone.
    pub(super) fn has_simple_logs(&self) -> bool {
        let far = 1024 * 1024 * 1024;
        self.options.memory_limit >= far && self.options.history_bytes >= far
    }

    /// The oldest chat that a room's log has.
    pub(super) fn first(&self, room: &Room) -> u64 {
        1 + room.chats.len().saturating_sub(self.options.history) as u64
    }

    /// Time goes on: what is over by now is gone.
    pub(super) fn tell_time(&mut self, now: Instant) {
        let Options { resume_window: window, presence_grace: grace, hello_timeout, .. } = self.options;
        self.now = now;
        let is_over = |since: Option<Instant>, time: Duration| since.is_some_and(|since| since + time <= now);
        self.rooms.retain(|_, room| !is_over(room.empty_at, window));
        self.empty.retain(|room| self.rooms.contains_key(room));
        for session in self.sessions.values().filter(|session| is_over(session.lost_at, grace)) {
            self.stirred_at = self.stirred_at.max(session.lost_at.map_or(now, |at| at + grace));
        }
        self.sessions.retain(|_, session| !is_over(session.lost_at, window));
        self.waiting.retain(|session| self.sessions.contains_key(session));
        for line in self.lines.values_mut().filter(|line| line.mode == Mode::Waiting) {
            if is_over(Some(line.opened_at), hello_timeout) {
                line.mode = Mode::Closed(4102);
            }
        }
    }

    // ---- connections

    pub(super) fn open(&mut self, id: ConnId, session: Option<String>) {
        let mode = if session.is_some() { Mode::Plain } else { Mode::Waiting };
        let session = session.unwrap_or_default();
        let line = Line { mode, opened_at: self.now, session, expected: Vec::new(), views: BTreeMap::new() };
        self.lines.insert(id, line);
        self.touch(LOBBY);
    }

    /// A connection is over, and maybe its session.
    pub(super) fn depart(&mut self, id: ConnId, is_final: bool, mode: Mode) {
        let line = self.lines.get_mut(&id).expect("an open connection");
        let before = std::mem::replace(&mut line.mode, mode);
        let name = line.session.clone();
        self.stirred_at = self.now;
        if before == Mode::Plain {
            self.touch(LOBBY);
        }
        let Some(session) = self.sessions.get_mut(&name).filter(|session| session.line == Some(id)) else { return };
        (session.line, session.lost_at) = (None, Some(self.now));
        let rooms: Vec<String> = session.rooms.keys().cloned().collect();
        rooms.iter().for_each(|room| self.touch(room));
        if is_final {
            self.sessions.remove(&name);
            return;
        }
        self.waiting.push_back(name);
        if self.waiting.len() > self.options.waiting_max
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.sessions.remove(&oldest);
        }
    }

    /// A session has a connection again. Returns the one that it still had.
    pub(super) fn resume(&mut self, name: &str, id: ConnId) -> Option<ConnId> {
        let twin = self.sessions[name].line;
        self.waiting.retain(|waiting| waiting != name);
        let session = self.sessions.get_mut(name).expect("it was there");
        (session.line, session.lost_at) = (Some(id), None);
        if let Some(twin) = twin {
            self.depart(twin, false, Mode::Closed(4003));
        }
        twin
    }

    // ---- rooms

    /// Who is in a room has changed.
    pub(super) fn touch(&mut self, name: &str) {
        self.touch_but(name, None);
    }

    /// The same, and this one is no longer in it, or not yet.
    pub(super) fn touch_but(&mut self, name: &str, absent: Option<ConnId>) {
        let is_in = |(id, line): (&ConnId, &Line)| match line.mode {
            _ if Some(*id) == absent => false,
            Mode::Plain => name == LOBBY,
            Mode::Session => self
                .sessions
                .get(&line.session)
                .is_some_and(|session| session.line == Some(*id) && session.rooms.contains_key(name)),
            _ => false,
        };
        let is_empty = !self.lines.iter().any(is_in);
        let Some(room) = self.rooms.get_mut(name) else { return };
        match is_empty {
            true if room.empty_at.is_none() => self.empty.push_back(name.to_owned()),
            true => {}
            false => self.empty.retain(|other| other != name),
        }
        room.empty_at = is_empty.then(|| room.empty_at.unwrap_or(self.now));
        self.stirred_at = self.now;
    }

    pub(super) fn open_room(&mut self, name: &str) -> &mut Room {
        let is_over = self.rooms.len() >= self.options.rooms_max && name != LOBBY && !self.rooms.contains_key(name);
        if is_over && let Some(oldest) = self.empty.pop_front() {
            self.rooms.remove(&oldest);
            let waiting = self.sessions.values_mut().filter(|session| session.rooms.contains_key(&oldest));
            for session in waiting {
                session.gone.insert(oldest.clone());
            }
        }
        let room = || Room {
            epoch: None,
            chats: Vec::new(),
            patches: Vec::new(),
            states: vec![serde_json::json!({})],
            empty_at: None,
        };
        self.rooms.entry(name.to_owned()).or_insert_with(room)
    }

    /// Somebody was told in which life a room is.
    pub(super) fn note_epoch(&mut self, name: &str, told: &Value) {
        let told = told.as_str().expect("an epoch");
        let room = self.rooms.get_mut(name).expect("a room that is there");
        if room.epoch.is_none() {
            assert!(self.epochs.insert(told.to_owned()), "each life of a room has an epoch of its own");
            room.epoch = Some(told.to_owned());
        }
        assert_eq!(room.epoch.as_deref(), Some(told), "the epoch of {name}");
    }

    pub(super) fn may_join(&self, session: &str, name: &str) -> bool {
        let rooms = &self.sessions[session].rooms;
        let is_new = !self.rooms.contains_key(name) && name != LOBBY;
        (rooms.contains_key(name) || rooms.len() < self.options.rooms_per_session)
            && (!is_new || self.rooms.len() < self.options.rooms_max || !self.empty.is_empty())
    }

    /// The sessions that are present in a room, but for one, with what they say of themselves.
    pub(super) fn present(&self, name: &str, own: &str) -> People {
        let is_present = |session: &Session| {
            let is_there = session.lost_at.is_none_or(|at| self.now < at + self.options.presence_grace);
            is_there && session.rooms.contains_key(name) && !session.gone.contains(name)
        };
        let others = self.sessions.iter().filter(|(id, session)| *id != own && is_present(session));
        others.map(|(id, session)| (id.clone(), session.info.clone())).collect()
    }

    // ---- what is said

    /// A chat is in the log. Returns its number.
    pub(super) fn publish(&mut self, name: &str, from: ConnId, own_members: &str, plain: &str) -> u64 {
        let session = self.lines[&from].session.clone();
        let room = self.open_room(name);
        let seq = room.chats.len() as u64 + 1;
        let text = format!(
            r#"{{"type":"chat","room":{},"seq":{seq},"from":{{"session":"{session}"}},"ts":{}{own_members}}}"#,
            Value::from(name),
            super::desk::UNIX_MS
        );
        room.chats.push((session, text));
        if name == LOBBY {
            let others = self.lines.iter_mut().filter(|(id, line)| **id != from && line.mode == Mode::Plain);
            others.for_each(|(_, line)| line.expected.push(plain.to_owned()));
        }
        seq
    }

    /// Where the chat of this id is, if it was said already.
    pub(super) fn accepted(&mut self, session: &str, id: &str) -> Option<(String, String, u64)> {
        let (now, window) = (self.now, self.options.repeat_window());
        let accepted = &mut self.sessions.get_mut(session)?.accepted;
        accepted.retain(|(_, _, at)| now < *at + window);
        accepted.iter().find(|(other, ..)| other == id).map(|(_, position, _)| position.clone())
    }

    pub(super) fn note_accepted(&mut self, session: &str, id: &str, position: (String, String, u64)) {
        let now = self.now;
        let accepted = &mut self.sessions.get_mut(session).expect("it speaks").accepted;
        accepted.push_back((id.to_owned(), position, now));
        if accepted.len() > ACCEPTED_MAX {
            accepted.pop_front();
        }
    }

    /// What becomes of a room's state: its new version, or the code of the error.
    pub(super) fn patch(
        &mut self,
        name: &str,
        from: ConnId,
        base: Option<u64>,
        patch: &str,
    ) -> Result<u64, &'static str> {
        let session = self.lines[&from].session.clone();
        let bytes_max = self.options.state_bytes;
        let others: usize =
            self.rooms.iter().filter(|(other, _)| *other != name).map(|(_, room)| held(room.state())).sum();
        let room = self.rooms.get_mut(name).expect("a room that somebody is in");
        if base.is_some_and(|base| base != room.version()) {
            return Err("version_conflict");
        }
        let mut state = room.state().clone();
        merge(&mut state, &serde_json::from_str(patch).expect("a patch is JSON"));
        if state.to_string().len() > bytes_max {
            return Err("state_too_large");
        }
        if others + held(&state) > self.options.memory_limit / 2 {
            return Err("busy");
        }
        let version = room.version() + 1;
        let text = format!(
            r#"{{"type":"patch","room":{},"version":{version},"from":{{"session":"{session}"}},"patch":{patch}}}"#,
            Value::from(name)
        );
        room.states.push(state);
        room.patches.push((session, text));
        Ok(version)
    }
}

/// What a state takes in memory, about: its text without the braces and with a comma, and 200 bytes for each member.
fn held(state: &Value) -> usize {
    fn members(value: &Value) -> usize {
        value.as_object().map_or(0, |object| object.values().map(|value| 1 + members(value)).sum())
    }
    let text = state.to_string().len();
    if text == 2 { 0 } else { text - 1 + 200 * members(state) }
}

/// RFC 7396 §2, as it stands there.
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return *target = patch.clone() };
    if !target.is_object() {
        *target = serde_json::json!({});
    }
    let Some(members) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}
