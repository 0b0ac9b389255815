//! What clients with sessions ask for.

use std::rc::Rc;

use super::options::{BATCH_MAX, PATCHES_BYTES_MAX, PATCHES_MAX, PRESENCE_MAX, SIGNAL_QUEUE_BYTES_MAX};
use super::options::{STATE_DEPTH_MAX, WELCOME_STATE_BYTES_MAX};
use super::replay::{Link, Replay};
use super::rooms::{Speaker, members};
use super::{Client, Hub};
use crate::chat::room::Member;
use crate::chat::session::{Epoch, Position, Profile, Session, SessionId, Wants};
use crate::chat::state::StateError;
use crate::chat::wire::reply::{self, Ack, People};
use crate::chat::wire::request::{Body, Chat, Hello, JoinOptions, LOBBY, Request, RequestId, Resume, VERSION};
use crate::chat::wire::{ErrorCode, reply::Limits};
use crate::protocol::{CloseCode, SharedFrame};
use crate::server::{ConnId, Outbox};

/// Why a request is not carried out.
#[derive(Debug, Default)]
pub(super) struct No {
    code: Option<ErrorCode>,
    message: String,
    field: Option<&'static str>,
    limit: Option<u64>,
    version: Option<u64>,
}

impl No {
    fn new(code: ErrorCode, message: impl Into<String>) -> No {
        No { code: Some(code), message: message.into(), ..No::default() }
    }
}

/// What a client is told of a room that it joined.
struct Joined {
    room: Rc<str>,
    epoch: String,
    seq: u64,
    version: Option<u64>,
    state: Option<String>,
    people: Option<Crowd>,
    recovered: Option<bool>,
}

/// Who is there beside the client.
enum Crowd {
    People(Vec<Rc<Profile>>),
    Count(u64),
}

impl Hub {
    /// Does what a client asks for.
    pub(super) fn request(&mut self, id: ConnId, request: Request<'_>, out: &mut impl Outbox) {
        let Request { id: request_id, body } = request;
        let request_id = request_id.as_ref();
        let session = match (self.clients.get(id), body) {
            (None, _) => return,
            (Some(Client::Session(_)), Body::Hello(_)) => {
                let no = No::new(ErrorCode::InvalidMessage, "there was a hello before");
                return self.refuse(id, request_id, None, &no, out);
            }
            (Some(_), Body::Hello(hello)) => return self.hello(id, request_id, hello, out),
            (Some(Client::Session(link)), body) => (link.session, body),
            (Some(_), _) => {
                let no = No::new(ErrorCode::HelloRequired, "a hello must come first");
                return self.refuse(id, request_id, None, &no, out);
            }
        };
        let (session, body) = session;
        match body {
            Body::Hello(_) => unreachable!("it was answered above"),
            // Without authentication any token is as good as none.
            Body::Auth { .. } => self.acknowledge(id, request_id, None, out),
            Body::Join { room, options } => self.join_alone(id, request_id, session, &room, &options, out),
            Body::Leave { room } => self.leave(id, request_id, session, &room, out),
            Body::Chat(chat) => self.chat(id, request_id, session, &chat, out),
            Body::Signal { room, data } => self.signal(id, request_id, session, &room, data, out),
            Body::Patch { room, base, patch } => self.patch(id, request_id, session, (&room, base, patch), out),
            Body::Ping => {
                let mut json = String::new();
                reply::Pong { id: request_id, ts: out.unix_ms() }.write(&mut json);
                self.post.send(id, &json, out);
            }
        }
    }

    // ---- answers

    pub(super) fn refuse(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        room: Option<&str>,
        no: &No,
        out: &mut impl Outbox,
    ) {
        let mut json = String::new();
        let (code, field) = (no.code.unwrap_or(ErrorCode::Internal), no.field);
        let error = reply::Error { id: request_id, room, field, ..reply::Error::new(code, &no.message) };
        reply::Error { limit: no.limit, version: no.version, ..error }.write(&mut json);
        self.post.send(id, &json, out);
    }

    fn acknowledge(&mut self, id: ConnId, request_id: Option<&RequestId>, room: Option<&str>, out: &mut impl Outbox) {
        if let Some(request_id) = request_id {
            self.tell(id, &Ack { room, ..Ack::new(request_id) }, out);
        }
    }

    fn tell(&mut self, id: ConnId, ack: &Ack<'_>, out: &mut impl Outbox) {
        let mut json = String::new();
        ack.write(&mut json);
        self.post.send(id, &json, out);
    }

    // ---- hello

    fn hello(&mut self, id: ConnId, request_id: Option<&RequestId>, hello: Hello<'_>, out: &mut impl Outbox) {
        if hello.version != VERSION {
            let no = No::new(ErrorCode::UnsupportedVersion, format!("this server speaks version {VERSION}"));
            self.refuse(id, request_id, None, &no, out);
            self.depart(id, true, out);
            return out.close(id, CloseCode::UNSUPPORTED_VERSION, "unsupported_version");
        }
        let resumed = hello.resume.as_ref().and_then(|resume| self.resume(id, resume, out));
        let is_resumed = resumed.is_some();
        let Some(session) = resumed.or_else(|| self.begin_session(id, &hello, out)) else { return };
        self.leave_plain(id, out);
        self.clients.insert(id, Client::Session(Box::new(Link::new(session))));
        out.set_overload_code(id, CloseCode::SLOW_CONSUMER);

        let rooms = self.rooms_of(session, hello);
        let known = self.sessions[&session].rooms.keys();
        let unwanted: Vec<Rc<str>> =
            known.filter(|known| !rooms.iter().any(|(room, _)| room == *known)).cloned().collect();
        for room in unwanted {
            self.part(id, session, &room, out);
        }
        let (mut joined, mut refused, mut state_bytes) = (Vec::new(), Vec::new(), 0);
        for (room, options) in &rooms {
            match self.join(id, session, room, options, &mut state_bytes, out) {
                Ok(room) => joined.push(room),
                Err(no) => refused.push((room.clone(), no)),
            }
        }
        self.welcome(id, request_id, (session, is_resumed), &joined, out);
        for (room, no) in refused {
            self.refuse(id, None, Some(&room), &no, out);
        }
        self.replay(id, out);
    }

    /// The session that a client goes on with, if it is its own. A connection that it still has is replaced.
    fn resume(&mut self, id: ConnId, resume: &Resume<'_>, out: &mut impl Outbox) -> Option<SessionId> {
        let known = SessionId::parse(&resume.session).and_then(|known| self.sessions.get_mut(&known));
        let session = known.filter(|session| session.token.is(&resume.token))?;
        let session_id = session.profile.session;
        if let Some(twin) = session.connection {
            self.dismiss(twin, CloseCode::REPLACED, "replaced", None, out);
        }
        let session = self.sessions.get_mut(&session_id)?;
        session.connection = Some(id);
        for ticket in session.ends.drain(..) {
            self.agenda.cancel(ticket);
        }
        Some(session_id)
    }

    fn begin_session(&mut self, id: ConnId, hello: &Hello<'_>, out: &mut impl Outbox) -> Option<SessionId> {
        // A plain client that says hello keeps its id.
        let session = match self.clients.get(id) {
            Some(Client::Plain(session)) => Ok(*session),
            _ => self.ids.next_id(),
        };
        match session.and_then(|session| Ok((session, self.ids.next_token()?))) {
            Ok((session, token)) => {
                let profile = Profile { session, user: None, info: hello.info.map(Into::into) };
                self.sessions.insert(session, Session::new(profile, token, id));
                Some(session)
            }
            Err(error) => {
                self.fail(id, &error, out);
                None
            }
        }
    }

    /// The rooms that a hello is about: without a word of them the lobby, or those that the session is in.
    fn rooms_of<'h>(&self, session: SessionId, hello: Hello<'h>) -> Vec<(Rc<str>, JoinOptions<'h>)> {
        if let Some(rooms) = hello.rooms {
            return rooms.into_iter().map(|(room, options)| (room.as_ref().into(), options)).collect();
        }
        if hello.resume.is_none() || self.sessions[&session].rooms.is_empty() {
            return vec![(LOBBY.into(), JoinOptions::default())];
        }
        let options =
            |wants: &Wants| JoinOptions { presence: wants.presence, state: wants.state, ..JoinOptions::default() };
        self.sessions[&session].rooms.iter().map(|(room, wants)| (room.clone(), options(wants))).collect()
    }

    fn welcome(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        (session, resumed): (SessionId, bool),
        joined: &[Joined],
        out: &mut impl Outbox,
    ) {
        let Some(Session { profile, token, .. }) = self.sessions.get(&session) else { return };
        let people: Vec<Option<Vec<reply::Member<'_>>>> = joined.iter().map(Joined::members).collect();
        let rooms: Vec<(&str, reply::Joined<'_>)> = joined
            .iter()
            .zip(&people)
            .map(|(joined, people)| (&*joined.room, joined.written(people.as_deref())))
            .collect();
        let mut json = String::new();
        let options = &self.options;
        reply::Welcome {
            id: request_id,
            session: &session,
            user: profile.user.as_deref(),
            resume_token: token,
            resume_ttl_s: options.resume_window.as_secs(),
            resumed,
            heartbeat_interval_s: options.ping_interval.as_millis().div_ceil(1000) as u64,
            heartbeat_misses: options.ping_misses.into(),
            limits: Limits {
                message_bytes: options.message_bytes as u64,
                batch: BATCH_MAX as u64,
                rooms: options.rooms_per_session as u64,
                state_bytes: options.state_bytes as u64,
                state_depth: STATE_DEPTH_MAX as u64,
            },
            rooms: &rooms,
        }
        .write(&mut json);
        self.post.send(id, &json, out);
    }

    // ---- rooms

    fn join_alone(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        session: SessionId,
        room: &str,
        options: &JoinOptions<'_>,
        out: &mut impl Outbox,
    ) {
        match self.join(id, session, room, options, &mut 0, out) {
            Ok(joined) => {
                if let Some(request_id) = request_id {
                    let people = joined.members();
                    self.tell(id, &joined.written(people.as_deref()).ack(request_id, &joined.room), out);
                }
                self.replay(id, out);
            }
            Err(no) => self.refuse(id, request_id, Some(room), &no, out),
        }
    }

    /// Makes a session a member of a room. What it missed is on the way behind the answer.
    fn join(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        room: &str,
        options: &JoinOptions<'_>,
        state_bytes: &mut usize,
        out: &mut impl Outbox,
    ) -> Result<Joined, No> {
        let rooms_max = self.options.rooms_per_session;
        let session = self.sessions.get(&session_id).ok_or_else(No::default)?;
        if session.rooms.len() >= rooms_max && !session.rooms.contains_key(room) {
            return Err(No::new(ErrorCode::RoomLimit, format!("a session is in at most {rooms_max} rooms")));
        }
        let name = self.open_room(room).map_err(|code| No::new(code, "there is no room for another room"))?;
        let session = self.sessions.get_mut(&session_id).ok_or_else(No::default)?;
        session.rooms.insert(name.clone(), Wants { presence: options.presence, state: options.state });
        let (Some(room), Some(Client::Session(link))) = (self.rooms.get_mut(&name), self.clients.get_mut(id)) else {
            return Err(No::default());
        };
        link.forget(&name);
        let knows_version = options.since.as_ref().is_some_and(|since| since.version.is_some());
        let is_state_told =
            options.state && !knows_version && *state_bytes + room.state.bytes() <= WELCOME_STATE_BYTES_MAX;
        let replay = Replay::of(room, options, is_state_told);
        let state = is_state_told.then(|| room.state.to_json());
        *state_bytes += state.as_ref().map_or(0, String::len);
        let joined = Joined {
            room: name.clone(),
            epoch: room.epoch.to_string(),
            seq: room.seq(),
            version: options.state.then(|| room.state.version()),
            state,
            people: options.presence.then(|| Crowd::of(room, session_id)),
            recovered: options.since.as_ref().map(|_| replay.is_complete()),
        };
        let is_live = !replay.is_needed(room);
        let wants_state = options.state && !replay.has_state();
        let wants_presence = options.presence;
        room.members.insert(Member { connection: id, session: session_id, is_live, wants_presence, wants_state });
        room.presence.join(&session.profile);
        if !is_live {
            link.push(replay);
        }
        self.stir_presence(&name, out);
        Ok(joined)
    }

    fn leave(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        session: SessionId,
        room: &str,
        out: &mut impl Outbox,
    ) {
        match self.joined(session, room) {
            Ok(room) => {
                self.part(id, session, &room, out);
                self.acknowledge(id, request_id, Some(&room), out);
            }
            Err(no) => self.refuse(id, request_id, Some(room), &no, out),
        }
    }

    /// Takes a session out of a room for good.
    fn part(&mut self, id: ConnId, session_id: SessionId, name: &Rc<str>, out: &mut impl Outbox) {
        if let Some(session) = self.sessions.get_mut(&session_id) {
            session.rooms.remove(name);
        }
        if let Some(Client::Session(link)) = self.clients.get_mut(id) {
            link.forget(name);
        }
        if let Some(room) = self.rooms.get_mut(name) {
            room.members.remove(id);
            room.presence.leave(session_id);
        }
        self.stir_presence(name, out);
        self.end_if_empty(name, out);
    }

    /// The room of this name, if the session is in it.
    fn joined(&self, session: SessionId, room: &str) -> Result<Rc<str>, No> {
        let known = self.sessions.get(&session).and_then(|session| session.rooms.get_key_value(room));
        known
            .map(|(room, _)| room.clone())
            .ok_or_else(|| No::new(ErrorCode::NotJoined, "the session is not in this room"))
    }

    // ---- what is said

    fn chat(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        session: SessionId,
        chat: &Chat<'_>,
        out: &mut impl Outbox,
    ) {
        let room = match self.joined(session, &chat.room) {
            Ok(room) => room,
            Err(no) => return self.refuse(id, request_id, Some(&chat.room), &no, out),
        };
        let known = request_id.and_then(|request_id| self.sessions[&session].accepted(request_id)).cloned();
        if let (Some(request_id), Some(Position { room, epoch, seq })) = (request_id, known) {
            return self.tell_accepted(id, request_id, (&room, epoch, seq), true, out);
        }
        let own_members = chat.own_members();
        let mut plain = String::new();
        reply::write_plain_chat(&mut plain, &own_members);
        let profile = self.sessions[&session].profile.clone();
        let speaker = Speaker { connection: id, session, user: profile.user.as_deref() };
        let position = self.publish(&room, speaker, &own_members, &plain, out);
        if let (Some(request_id), Some(position)) = (request_id, position) {
            let (epoch, seq, window) = (position.epoch, position.seq, self.options.resume_window);
            if let Some(session) = self.sessions.get_mut(&session) {
                session.note_accepted(request_id.clone(), position, out.now(), window);
            }
            self.tell_accepted(id, request_id, (&room, epoch, seq), false, out);
        }
    }

    fn tell_accepted(
        &mut self,
        id: ConnId,
        request_id: &RequestId,
        (room, epoch, seq): (&str, Epoch, u64),
        duplicate: bool,
        out: &mut impl Outbox,
    ) {
        let epoch = epoch.to_string();
        let position = Some(reply::Position { epoch: &epoch, seq });
        self.tell(id, &Ack { room: Some(room), position, duplicate, ..Ack::new(request_id) }, out);
    }

    fn signal(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        session: SessionId,
        room: &str,
        data: Option<&str>,
        out: &mut impl Outbox,
    ) {
        let name = match self.joined(session, room) {
            Ok(room) => room,
            Err(no) => return self.refuse(id, request_id, Some(room), &no, out),
        };
        let Some(room) = self.rooms.get(&name) else { return };
        let profile = &self.sessions[&session].profile;
        let speaker = Speaker { connection: id, session, user: profile.user.as_deref() };
        let mut json = String::new();
        reply::Signal { room: &name, from: speaker.sender(), data }.write(&mut json);
        let frame = SharedFrame::text(&json);
        for member in room.members.iter().filter(|member| member.is_live && member.connection != id) {
            // Whoever is slow loses these first.
            if out.queued_bytes(member.connection) <= SIGNAL_QUEUE_BYTES_MAX {
                self.post.send_shared(member.connection, &frame, &mut self.agenda, out);
            }
        }
        self.acknowledge(id, request_id, Some(&name), out);
    }

    fn patch(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        session: SessionId,
        (room, base, patch): (&str, Option<u64>, &str),
        out: &mut impl Outbox,
    ) {
        let accepted = self.joined(session, room).and_then(|name| self.apply(&name, base, patch).map(|v| (name, v)));
        let (name, version) = match accepted {
            Ok(accepted) => accepted,
            Err(no) => return self.refuse(id, request_id, Some(room), &no, out),
        };
        let profile = &self.sessions[&session].profile;
        let speaker = Speaker { connection: id, session, user: profile.user.as_deref() };
        let mut json = String::new();
        reply::Patch { room: &name, version, from: speaker.sender(), patch }.write(&mut json);
        let frame = SharedFrame::text(&json);
        let Some(room) = self.rooms.get_mut(&name) else { return };
        for member in room.members.iter().filter(|member| member.wants_state && member.connection != id) {
            self.post.send_shared(member.connection, &frame, &mut self.agenda, out);
        }
        room.patches.push(frame);
        room.patches.trim(PATCHES_MAX, PATCHES_BYTES_MAX);
        if let Some(request_id) = request_id {
            self.tell(id, &Ack { room: Some(&name), version: Some(version), ..Ack::new(request_id) }, out);
        }
    }

    /// Changes the state of a room, if it has the version that the patch is for. Returns the new one.
    fn apply(&mut self, name: &str, base: Option<u64>, patch: &str) -> Result<u64, No> {
        let room = self.rooms.get_mut(name).ok_or_else(No::default)?;
        let version = room.state.version();
        if base.is_some_and(|base| base != version) {
            let message = format!("state is at version {version}");
            return Err(No { version: Some(version), ..No::new(ErrorCode::VersionConflict, message) });
        }
        let bytes_max = self.options.state_bytes;
        room.state.apply(patch, bytes_max, STATE_DEPTH_MAX).map_err(|error| {
            let message = error.to_string();
            match error {
                StateError::TooLarge { .. } => {
                    No { limit: Some(bytes_max as u64), ..No::new(ErrorCode::StateTooLarge, message) }
                }
                StateError::TooDeep { .. } => {
                    No { limit: Some(STATE_DEPTH_MAX as u64), ..No::new(ErrorCode::StateTooLarge, message) }
                }
                StateError::NoObject | StateError::Repeated(_) => {
                    No { field: Some("patch"), ..No::new(ErrorCode::InvalidMessage, message) }
                }
            }
        })
    }
}

impl Joined {
    fn members(&self) -> Option<Vec<reply::Member<'_>>> {
        match &self.people {
            Some(Crowd::People(people)) => Some(members(people)),
            _ => None,
        }
    }

    fn written<'a>(&'a self, people: Option<&'a [reply::Member<'a>]>) -> reply::Joined<'a> {
        reply::Joined {
            position: reply::Position { epoch: &self.epoch, seq: self.seq },
            version: self.version,
            state: self.state.as_deref(),
            people: match (&self.people, people) {
                (Some(Crowd::Count(count)), _) => Some(People::Count(*count)),
                (_, people) => people.map(People::Members),
            },
            recovered: self.recovered,
        }
    }
}

impl Crowd {
    fn of(room: &crate::chat::room::Room, own: SessionId) -> Crowd {
        match room.presence.len() {
            0..=PRESENCE_MAX => {
                Crowd::People(room.presence.profiles().filter(|profile| profile.session != own).cloned().collect())
            }
            count => Crowd::Count(count as u64),
        }
    }
}
