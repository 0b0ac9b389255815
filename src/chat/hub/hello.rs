//! How a session begins, goes on, and joins rooms.

use std::rc::Rc;

use super::access::Place;
use super::options::{BATCH_MAX, STATE_DEPTH_MAX};
use super::replay::{Link, Replay};
use super::requests::No;
use super::rooms::members;
use super::{Client, Hub};
use crate::chat::presence::Presence;
use crate::chat::room::Member;
use crate::chat::session::{Profile, Session, SessionId, Wants};
use crate::chat::wire::ErrorCode;
use crate::chat::wire::reply::{self, Limits, People, Reply as _};
use crate::chat::wire::request::{Hello, JoinOptions, LOBBY, RequestId, Resume, VERSION};
use crate::protocol::CloseCode;
use crate::server::{ConnId, Outbox};

/// What a client is told of a room that it joined.
struct Joined {
    room: Rc<str>,
    epoch: String,
    seq: u64,
    version: Option<u64>,
    state: Option<String>,
    people: Option<Others>,
    recovered: Option<bool>,
}

/// Who is there beside the client.
enum Others {
    People(Vec<Rc<Profile>>),
    Count(u64),
}

impl Hub {
    pub(super) fn hello(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        hello: Hello<'_>,
        out: &mut impl Outbox,
    ) {
        if hello.version != VERSION {
            let no = No::new(ErrorCode::UnsupportedVersion, format!("this server speaks version {VERSION}"));
            self.refuse(id, request_id, None, &no, out);
            self.depart(id, true, out);
            return out.close(id, CloseCode::UNSUPPORTED_VERSION, "unsupported_version");
        }
        let rooms_max = self.options.rooms_per_session.saturating_add(BATCH_MAX);
        if hello.rooms.as_ref().is_some_and(|rooms| rooms.len() > rooms_max) {
            let no = No::invalid("rooms", format!("the member \"rooms\" has more than {rooms_max} rooms"));
            return self.refuse(id, request_id, None, &no, out);
        }
        if let Err(refused) = self.identify(id, hello.token.as_deref(), hello.resume.as_ref(), out) {
            return self.turn_out(id, request_id, &refused, out);
        }
        let resumed = hello.resume.as_ref().and_then(|resume| self.resume(id, resume, hello.info, out));
        let is_resumed = resumed.is_some();
        if let Some(said_until) = resumed.and_then(|session| self.sessions.get(&session)?.said_until) {
            self.access.go_on(id, said_until);
        }
        let Some(session) = resumed.or_else(|| self.begin_session(id, &hello, out)) else { return };
        self.leave_plain(id, out);
        self.access.count(id, Place::Counted);
        self.clients.insert(id, Client::Session(Box::new(Link::new(session))));
        out.set_overload_code(id, CloseCode::SLOW_CONSUMER);

        let rooms = self.rooms_of((session, is_resumed), hello);
        let known = self.sessions[&session].rooms.keys();
        let unwanted: Vec<Rc<str>> =
            known.filter(|known| !rooms.iter().any(|(room, _)| room == *known)).cloned().collect();
        for room in unwanted {
            self.part(id, session, &room, out);
        }
        // Those that it goes on with make place for none of the others.
        for room in self.sessions[&session].rooms.keys().cloned().collect::<Vec<_>>() {
            self.keep_room(&room);
        }
        let (mut joined, mut refused, mut spent) = (Vec::new(), Vec::new(), out.queued_bytes(id));
        for (room, options) in &rooms {
            match self.join(id, session, room, options, &mut spent, out) {
                Ok(room) => joined.push(room),
                Err(no) => refused.push((room.clone(), no)),
            }
        }
        self.welcome(id, request_id, (session, is_resumed), &joined, out);
        for (room, no) in refused {
            self.part(id, session, &room, out); // a room that a resumed session was in may be there no more
            self.refuse(id, None, Some(&room), &no, out);
        }
        self.replay(id, out);
    }

    /// The session that a client goes on with, if it is its own. A connection that it still has is replaced.
    /// What it says of itself now takes the place of what it said before.
    fn resume(
        &mut self,
        id: ConnId,
        resume: &Resume<'_>,
        info: Option<&str>,
        out: &mut impl Outbox,
    ) -> Option<SessionId> {
        let session_id = self.resumable(id, resume)?;
        let session = self.sessions.get_mut(&session_id)?;
        let held_bytes = session.held_bytes();
        if info.is_some() && info != session.profile.info.as_deref() {
            let user = session.profile.user.clone();
            session.profile = Rc::new(Profile { session: session_id, user, info: info.map(Into::into) });
        }
        let (twin, absence) = (session.connection.replace(id), session.absence.take());
        let profile = session.profile.clone();
        self.end_absence(absence, &profile, held_bytes);
        if let Some(twin) = twin {
            self.dismiss(twin, CloseCode::REPLACED, "replaced", None, out);
        }
        Some(session_id)
    }

    /// The session that a client names, if it is its own: it knows the secret, and is the same user.
    pub(super) fn resumable(&self, id: ConnId, resume: &Resume<'_>) -> Option<SessionId> {
        let session = self.sessions.get(&SessionId::parse(&resume.session)?)?;
        let is_own = session.token.is(&resume.token)
            && session.profile.user.as_deref() == self.access.user(id).map(|user| &**user);
        is_own.then_some(session.profile.session)
    }

    fn begin_session(&mut self, id: ConnId, hello: &Hello<'_>, out: &mut impl Outbox) -> Option<SessionId> {
        // A plain client that says hello keeps its id.
        let session = match self.clients.get(id) {
            Some(Client::Plain(session)) => Ok(*session),
            _ => self.ids.next_id(),
        };
        match session.and_then(|session| Ok((session, self.ids.next_token()?))) {
            Ok((session, token)) => {
                let profile =
                    Profile { session, user: self.access.user(id).cloned(), info: hello.info.map(Into::into) };
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
    fn rooms_of<'h>(
        &self,
        (session, is_resumed): (SessionId, bool),
        hello: Hello<'h>,
    ) -> Vec<(Rc<str>, JoinOptions<'h>)> {
        if let Some(rooms) = hello.rooms {
            return rooms.into_iter().map(|(room, options)| (room.as_ref().into(), options)).collect();
        }
        if !is_resumed {
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
        let options = &self.options;
        let json = reply::Welcome {
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
        .to_json();
        self.post.send(id, &json, out);
    }

    pub(super) fn join_alone(
        &mut self,
        id: ConnId,
        request_id: Option<&RequestId>,
        session: SessionId,
        room: &str,
        options: &JoinOptions<'_>,
        out: &mut impl Outbox,
    ) {
        let mut spent = out.queued_bytes(id);
        match self.join(id, session, room, options, &mut spent, out) {
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

    /// Makes a session a member of a room. What it missed is on the way behind the answer. `spent` are the bytes that the
    /// client has to take already: states and lists of people are in the answer only as far as it stays short.
    fn join(
        &mut self,
        id: ConnId,
        session_id: SessionId,
        room: &str,
        options: &JoinOptions<'_>,
        spent: &mut usize,
        out: &mut impl Outbox,
    ) -> Result<Joined, No> {
        if !self.access.may_read(id, room) {
            return Err(No::forbidden());
        }
        let rooms_max = self.options.rooms_per_session;
        let session = self.sessions.get(&session_id).ok_or_else(No::internal)?;
        if session.rooms.len() >= rooms_max && !session.rooms.contains_key(room) {
            return Err(No::new(ErrorCode::RoomLimit, format!("a session is in at most {rooms_max} rooms")));
        }
        let name = self.open_room(room).map_err(|code| match code {
            ErrorCode::RoomLimit => No::new(code, format!("the server has at most {} rooms", self.options.rooms_max)),
            _ => No::new(code, "the server has no random numbers for a new room"),
        })?;
        let session = self.sessions.get_mut(&session_id).ok_or_else(No::internal)?;
        session.rooms.insert(name.clone(), Wants { presence: options.presence, state: options.state });
        let (Some(room), Some(Client::Session(link))) = (self.rooms.get_mut(&name), self.clients.get_mut(id)) else {
            return Err(No::internal());
        };
        let earlier = link.forget(&name);
        let knows_version = options.since.as_ref().is_some_and(|since| since.version.is_some());
        let is_state_told = options.state && !knows_version && *spent + room.state.bytes() <= self.options.answer_bytes;
        let replay = Replay::of(room, options, is_state_told).going_on(earlier, options);
        let state = is_state_told.then(|| room.state.to_json());
        *spent += state.as_ref().map_or(0, String::len);
        room.presence.join(&session.profile); // it counts among those who are there
        let joined = Joined {
            room: name.clone(),
            epoch: room.epoch.to_string(),
            seq: room.seq(),
            version: options.state.then(|| room.state.version()),
            state,
            people: options
                .presence
                .then(|| Others::of(&mut room.presence, session_id, spent, self.options.answer_bytes)),
            recovered: options.since.as_ref().map(|_| replay.is_complete()),
        };
        let is_live = !replay.is_needed(room);
        let wants_state = options.state && !replay.has_state();
        let wants_presence = options.presence;
        room.members.insert(Member { connection: id, session: session_id, is_live, wants_presence, wants_state });
        if !is_live {
            link.push(replay);
        }
        self.stir_presence(&name, out);
        Ok(joined)
    }
}

impl Joined {
    fn members(&self) -> Option<Vec<reply::Member<'_>>> {
        match &self.people {
            Some(Others::People(people)) => Some(members(people)),
            _ => None,
        }
    }

    fn written<'a>(&'a self, people: Option<&'a [reply::Member<'a>]>) -> reply::Joined<'a> {
        reply::Joined {
            position: reply::Position { epoch: &self.epoch, seq: self.seq },
            version: self.version,
            state: self.state.as_deref(),
            people: match (&self.people, people) {
                (Some(Others::Count(count)), _) => Some(People::Count(*count)),
                (_, people) => people.map(People::Members),
            },
            recovered: self.recovered,
        }
    }
}

impl Others {
    fn of(presence: &mut Presence, own: SessionId, spent: &mut usize, bytes_max: usize) -> Others {
        if presence.is_told_by_count(bytes_max.saturating_sub(*spent)) {
            return Others::Count(presence.len() as u64);
        }
        *spent += presence.told_bytes();
        Others::People(presence.show().filter(|profile| profile.session != own).cloned().collect())
    }
}
