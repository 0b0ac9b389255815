//! What clients with sessions ask for.

use std::rc::Rc;

use super::options::{PATCHES_BYTES_MAX, PATCHES_MAX, SIGNAL_QUEUE_BYTES_MAX, STATE_DEPTH_MAX};
use super::rooms::{Kept, Speaker};
use super::{Client, Due, Hub};
use crate::chat::session::{Epoch, Position, SessionId};
use crate::chat::state::{Bounds, StateError};
use crate::chat::wire::ErrorCode;
use crate::chat::wire::reply::{self, Ack, Reply as _};
use crate::chat::wire::request::{Body, Chat, Request, RequestId};
use crate::protocol::SharedFrame;
use crate::server::{ConnId, Outbox};

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) struct No {
    code: ErrorCode,
    message: String,
    field: Option<&'static str>,
    limit: Option<u64>,
    version: Option<u64>,
}

impl No {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> No {
        No { code, message: message.into(), field: None, limit: None, version: None }
    }

    pub(super) fn invalid(field: &'static str, message: String) -> No {
        No { field: Some(field), ..No::new(ErrorCode::InvalidMessage, message) }
    }

    /// Whoever it is has no right to it.
    pub(super) fn forbidden() -> No {
        No::new(ErrorCode::Forbidden, "this user has no right to that")
    }

    /// A table does not hold what another one says that it does.
    pub(super) fn internal() -> No {
        No::new(ErrorCode::Internal, "the server lost track of this session")
    }
}

impl Hub {
    /// Does what a client asks for.
    pub(super) fn request(&mut self, id: ConnId, request: Request<'_>, out: &mut impl Outbox) {
        let Request { id: request_id, body } = request;
        let request_id = request_id.as_ref();
        let session = match self.clients.get(id) {
            None => return, // it is being closed
            Some(Client::Session(link)) => link.session,
            Some(_) => {
                let Body::Hello(hello) = body else {
                    let no = No::new(ErrorCode::HelloRequired, "a hello must come first");
                    return self.refuse(id, request_id, None, &no, out);
                };
                return self.hello(id, request_id, hello, out);
            }
        };
        match body {
            Body::Hello(_) => {
                let no = No::new(ErrorCode::InvalidMessage, "there was a hello before");
                self.refuse(id, request_id, None, &no, out);
            }
            Body::Auth { token } => match self.renew(id, &token, out) {
                Ok(()) => self.acknowledge(id, request_id, None, out),
                Err(no) => self.refuse(id, request_id, None, &no, out),
            },
            Body::Join { room, options } => self.join_alone(id, request_id, session, &room, &options, out),
            Body::Leave { room } => self.leave(id, request_id, session, &room, out),
            Body::Chat(chat) => self.chat(id, request_id, session, &chat, out),
            Body::Signal { room, data } => self.signal(id, request_id, session, &room, data, out),
            Body::Patch { room, base, patch } => self.patch(id, request_id, session, (&room, base, patch), out),
            Body::Ping => {
                let json = reply::Pong { id: request_id, ts: out.unix_ms() }.to_json();
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
        let error = reply::Error { id: request_id, room, field: no.field, ..reply::Error::new(no.code, &no.message) };
        let json = reply::Error { limit: no.limit, version: no.version, ..error }.to_json();
        self.post.send(id, &json, out);
    }

    pub(super) fn acknowledge(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        room: Option<&str>,
        out: &mut impl Outbox,
    ) {
        if let Some(request_id) = request_id {
            self.tell(id, &Ack { room, ..Ack::new(request_id) }, out);
        }
    }

    pub(super) fn tell(&mut self, id: ConnId, ack: &Ack<'_>, out: &mut impl Outbox) {
        let json = ack.to_json();
        self.post.send(id, &json, out);
    }

    // ---- rooms

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
    pub(super) fn part(&mut self, id: ConnId, session_id: SessionId, name: &Rc<str>, out: &mut impl Outbox) {
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

    /// The room of this name, if the session is in it and may say something there.
    fn writable(&self, id: ConnId, session: SessionId, room: &str) -> Result<Rc<str>, No> {
        if self.access.may_write(id, room) { self.joined(session, room) } else { Err(No::forbidden()) }
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
        let (now, window) = (out.now(), self.options.repeat_window());
        let sender = self.sessions.get_mut(&session);
        let known =
            sender.zip(request_id).and_then(|(sender, request_id)| sender.accepted(request_id, now, window).cloned());
        if let (Some(request_id), Some(Position { room, epoch, seq })) = (request_id, known) {
            return self.tell_accepted(id, request_id, (&room, epoch, seq), true, out);
        }
        let room = match self.writable(id, session, &chat.room) {
            Ok(room) => room,
            Err(no) => return self.refuse(id, request_id, Some(&chat.room), &no, out),
        };
        let own_members = chat.own_members();
        let mut plain = String::new();
        reply::write_plain_chat(&mut plain, &own_members);
        let profile = self.sessions[&session].profile.clone();
        let speaker = Speaker { connection: id, session, user: profile.user.as_deref() };
        let position = self.publish(&room, speaker, &own_members, &plain, out);
        if let (Some(request_id), Some(position)) = (request_id, position) {
            let (epoch, seq) = (position.epoch, position.seq);
            if let Some(sender) = self.sessions.get_mut(&session) {
                sender.note_accepted(request_id.clone(), position, now);
                let end = || self.agenda.add(now + window, Due::Ids(session));
                sender.ids_end.get_or_insert_with(end);
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
        let name = match self.writable(id, session, room) {
            Ok(room) => room,
            Err(no) => return self.refuse(id, request_id, Some(room), &no, out),
        };
        let Some(room) = self.rooms.get(&name) else { return };
        let profile = &self.sessions[&session].profile;
        let speaker = Speaker { connection: id, session, user: profile.user.as_deref() };
        let json = reply::Signal { room: &name, from: speaker.sender(), data }.to_json();
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
        let accepted =
            self.writable(id, session, room).and_then(|name| self.apply(&name, base, patch).map(|v| (name, v)));
        let (name, version) = match accepted {
            Ok(accepted) => accepted,
            Err(no) => return self.refuse(id, request_id, Some(room), &no, out),
        };
        let profile = &self.sessions[&session].profile;
        let speaker = Speaker { connection: id, session, user: profile.user.as_deref() };
        let json = reply::Patch { room: &name, version, from: speaker.sender(), patch }.to_json();
        let frame = SharedFrame::text(&json);
        let Some(room) = self.rooms.get_mut(&name) else { return };
        for member in room.members.iter().filter(|member| member.wants_state && member.connection != id) {
            self.post.send_shared(member.connection, &frame, &mut self.agenda, out);
        }
        let Kept { patch_bytes, .. } = &mut self.kept;
        *patch_bytes -= room.patches.bytes();
        room.patches.push(frame);
        room.patches.trim(PATCHES_MAX, PATCHES_BYTES_MAX.min(self.options.patch_bytes_max() - *patch_bytes));
        *patch_bytes += room.patches.bytes();
        self.bound_kept();
        if let Some(request_id) = request_id {
            self.tell(id, &Ack { room: Some(&name), version: Some(version), ..Ack::new(request_id) }, out);
        }
    }

    /// Changes the state of a room, if it has the version that the patch is for. Returns the new one.
    fn apply(&mut self, name: &str, base: Option<u64>, patch: &str) -> Result<u64, No> {
        let room = self.rooms.get_mut(name).ok_or_else(No::internal)?;
        let version = room.state.version();
        if base.is_some_and(|base| base != version) {
            let message = format!("state is at version {version}");
            return Err(No { version: Some(version), ..No::new(ErrorCode::VersionConflict, message) });
        }
        let bytes_max = self.options.state_bytes;
        let Kept { state_bytes, .. } = &mut self.kept;
        let others = *state_bytes - room.state.held_bytes();
        let held_bytes_max = self.options.all_states_bytes_max() - others;
        let result = room.state.apply(patch, &Bounds { bytes_max, held_bytes_max, depth_max: STATE_DEPTH_MAX });
        *state_bytes = others + room.state.held_bytes();
        result.map_err(|error| {
            let message = error.to_string();
            match error {
                StateError::TooLarge { .. } => {
                    No { limit: Some(bytes_max as u64), ..No::new(ErrorCode::StateTooLarge, message) }
                }
                StateError::NoMemory => No::new(ErrorCode::Busy, message),
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
