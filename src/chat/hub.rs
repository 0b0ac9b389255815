//! `frameloop serve`: who is there, and who hears whom. Clients without a session are in the lobby; those with one are in
//! the rooms that they joined.
//!
//! | file | what |
//! |---|---|
//! | `hub.rs` | how clients come and go, and clients without a session |
//! | `hello` | how a session begins, goes on, and joins rooms |
//! | `access` | who they are, and what they may do |
//! | `rate` | how much they say |
//! | `requests` | what else its client asks for |
//! | `rooms` | rooms, what is said in them, and presence |
//! | `replay` | what a client missed |
//! | `post` | the way to the clients: at once, or gathered |
//! | [`options`] | what can be chosen, and every bound |

mod access;
mod admit;
mod hello;
pub mod options;
mod post;
mod rate;
mod replay;
mod requests;
mod rooms;

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::access::{Access, Place};
use self::options::{ABSENT_PER_USER_MAX, BATCH_MAX, DUE_PER_TURN, Options, RESTART_SPREAD};
use self::post::Post;
use self::replay::Link;
use self::requests::No;
use self::rooms::{Kept, Speaker};
use super::agenda::{Agenda, Ticket};
use super::auth::{Authenticator, Sources};
use super::crowd::Crowd;
use super::room::Room;
use super::session::{Absence, Profile, Session, SessionId, SessionIds};
use super::wire::reply::{self, Reply as _};
use super::wire::request::{Body, Input, LOBBY, Refusal, Request as WireRequest, parse_plain, parse_session};
use crate::protocol::{CloseCode, End, HandshakeError, Message, Request};
use crate::server::shrink::shrink_map;
use crate::server::{App, ConnId, ConnTable, Outbox};

/// The chat server.
#[derive(Debug, Default)]
pub struct Hub {
    options: Options,
    ids: SessionIds,
    clients: ConnTable<Client>,
    /// The clients without a session.
    lobby: Crowd,
    sessions: HashMap<SessionId, Session>,
    /// Each in a box: a table has room for more than there are.
    rooms: HashMap<Rc<str>, Box<Room>>,
    agenda: DueAgenda,
    /// The sessions that wait for their clients, until they do so no more.
    waiting: DueAgenda,
    /// What they hold.
    waiting_bytes: usize,
    /// Those of each user, where users are known, the one that has waited longest first.
    absent: HashMap<Rc<str>, VecDeque<SessionId>>,
    /// The clients that have to show in hello who they are.
    unknown: DueAgenda,
    /// The rooms in which nobody is, until they are forgotten.
    empty_rooms: DueAgenda,
    post: Post,
    kept: Kept,
    access: Access,
}

/// What an open connection is.
#[derive(Debug)]
enum Client {
    /// One without a session, in the lobby. Its id tells others who said something.
    Plain(SessionId),
    /// It has announced a session, and has time for `hello`.
    Waiting(Box<Ticket>),
    /// So has it, and it must show there who it is.
    Unknown(Box<Ticket>),
    /// It has one.
    Session(Box<Link>),
}

/// What the hub has to do at a time.
#[derive(Debug)]
enum Due {
    /// The time for `hello` is over.
    Hello(ConnId),
    /// Whoever lost its connection is no longer present.
    Absent(SessionId),
    /// Who came and went in a room is told.
    Presence(Rc<str>),
    /// What was gathered for a client is sent.
    Batch(ConnId),
    /// A client's token holds no longer.
    Expiry(ConnId),
    /// The ids of a session's chats are forgotten.
    Ids(SessionId),
    /// A session has waited for its client in vain.
    End(SessionId),
    /// A room was empty for long.
    Forget(Rc<str>),
}

type DueAgenda = Agenda<Due>;

impl Hub {
    /// The limit for [`Config::unsent_bytes_max`](crate::server::Config::unsent_bytes_max) that suits a chat: with 500 members
    /// who read slowly, the others of 5,000 hear 1.6 times as much as without it.
    pub const UNSENT_BYTES_MAX: u32 = 256 * 1024;

    /// The subprotocol of clients that want a session, for [`Config::subprotocols`](crate::server::Config::subprotocols).
    pub const SUBPROTOCOL: &str = "frameloop.v1";

    /// A hub that works so.
    pub fn new(options: Options) -> Hub {
        Hub { post: Post::new(options.batch_interval), options, ..Hub::default() }
    }

    /// The subprotocol of browsers without a session that show a token in the list of subprotocols: they end a connection
    /// that answers with none.
    pub const PLAIN_SUBPROTOCOL: &str = "frameloop.plain";

    /// A hub whose clients have to show who they are, in one of the ways that `sources` allows.
    pub fn with_authentication(options: Options, authenticator: Authenticator, sources: Sources) -> Hub {
        Hub { access: Access::new(authenticator, sources), ..Hub::new(options) }
    }

    /// Whether a client will begin with a hello.
    fn is_announced(request: &Request) -> bool {
        request.select_subprotocol(&[Hub::SUBPROTOCOL, Hub::PLAIN_SUBPROTOCOL]) == Some(Hub::SUBPROTOCOL)
    }

    /// The id of a connection's session.
    pub fn session(&self, id: ConnId) -> Option<SessionId> {
        match self.clients.get(id)? {
            Client::Plain(session) => Some(*session),
            Client::Waiting(_) | Client::Unknown(_) => None,
            Client::Session(link) => Some(link.session),
        }
    }

    /// The clients without a session, who are all in the lobby.
    pub fn lobby(&self) -> &Crowd {
        &self.lobby
    }

    /// Heap bytes of its tables of clients, by their capacity. They follow the number of connections up and down.
    pub fn held_bytes(&self) -> usize {
        self.clients.held_bytes() + self.lobby.held_bytes()
    }

    /// Bytes of all logs and states: at most [`Options::memory_limit`].
    pub fn kept_bytes(&self) -> usize {
        self.kept.bytes()
    }

    // ---- coming and going

    /// A client without a session is in the lobby.
    fn enter_plain(&mut self, id: ConnId, out: &mut impl Outbox) {
        match self.ids.next_id() {
            Ok(session) => {
                self.clients.insert(id, Client::Plain(session));
                self.access.count(id, Place::Counted);
                self.mind_lobby(id, out);
            }
            Err(error) => self.fail(id, &error, out),
        }
    }

    /// A client without a session is in the lobby, if it may be.
    fn mind_lobby(&mut self, id: ConnId, out: &impl Outbox) {
        if !matches!(self.clients.get(id), Some(Client::Plain(_))) {
            return;
        }
        if self.access.may_read(id, LOBBY) {
            self.lobby.join(id);
            self.keep_room(LOBBY);
        } else {
            self.leave_lobby(id, out);
        }
    }

    fn leave_lobby(&mut self, id: ConnId, out: &impl Outbox) {
        if self.lobby.leave(id) && self.lobby.is_empty() && self.rooms.contains_key(LOBBY) {
            self.end_if_empty(&LOBBY.into(), out);
        }
    }

    /// It is no longer a client without a session, nor one that is waited for.
    fn leave_plain(&mut self, id: ConnId, out: &mut impl Outbox) {
        match self.clients.remove(id) {
            Some(Client::Waiting(ticket)) => self.agenda.cancel(*ticket),
            Some(Client::Unknown(ticket)) => self.unknown.cancel(*ticket),
            _ => {}
        }
        self.leave_lobby(id, out);
    }

    /// A connection is over. Its session lives on for a while, unless this is its end.
    fn depart(&mut self, id: ConnId, is_final: bool, out: &mut impl Outbox) {
        let said_until = self.forget_access(id, out);
        let Some(Client::Session(link)) = self.clients.get(id) else { return self.leave_plain(id, out) };
        let session_id = link.session;
        self.clients.remove(id);
        self.post.forget(id);
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        session.said_until = session.said_until.max(said_until);
        // Unless it has another one already, which replaced this.
        let is_last = session.connection == Some(id);
        let rooms: Vec<Rc<str>> = session.rooms.keys().cloned().collect();
        if is_last {
            session.connection = None;
        }
        if is_last && !is_final {
            let (now, options) = (out.now(), &self.options);
            let presence_end = self.agenda.add(now + options.presence_grace, Due::Absent(session_id));
            let end = self.waiting.add(now + options.resume_window, Due::End(session_id));
            session.absence = Some(Absence { presence_end, end });
            self.waiting_bytes += session.held_bytes();
            if let Some(user) = &session.profile.user {
                self.absent.entry(user.clone()).or_default().push_back(session_id);
            }
        }
        for name in &rooms {
            if let Some(room) = self.rooms.get_mut(name) {
                room.members.remove(id);
            }
            if is_last {
                self.end_if_empty(name, out); // else its next line joins it again, or leaves it
            }
        }
        if !is_last {
            return;
        }
        if is_final {
            return self.end_session(session_id, out);
        }
        self.bound_absent(session_id, out);
        let Options { waiting_max, waiting_bytes_max, .. } = self.options;
        while self.waiting.len() > waiting_max || self.waiting_bytes > waiting_bytes_max {
            let Some(oldest) = self.waiting.pop_first() else { break };
            self.act(oldest, out);
        }
    }

    /// A session without a connection is no longer present in its rooms.
    fn end_presence(&mut self, session: SessionId, out: &impl Outbox) {
        let Some(session) = self.sessions.get(&session) else { return };
        let rooms: Vec<Rc<str>> = session.rooms.keys().cloned().collect();
        let session = session.profile.session;
        for name in &rooms {
            if self.rooms.get_mut(name).is_some_and(|room| room.presence.leave(session)) {
                self.stir_presence(name, out);
            }
        }
    }

    fn end_session(&mut self, session: SessionId, out: &impl Outbox) {
        self.end_presence(session, out);
        if let Some(session) = self.sessions.remove(&session) {
            self.end_absence(session.absence, &session.profile, session.held_bytes());
            session.ids_end.into_iter().for_each(|ticket| self.agenda.cancel(ticket));
        }
        shrink_map(&mut self.sessions);
    }

    /// A session waits no more, if it did.
    fn end_absence(&mut self, absence: Option<Absence>, profile: &Profile, held_bytes: usize) {
        let Some(Absence { presence_end, end }) = absence else { return };
        self.agenda.cancel(presence_end);
        self.waiting.cancel(end);
        self.waiting_bytes -= held_bytes;
        if let Some(user) = &profile.user
            && let Some(absent) = self.absent.get_mut(user)
        {
            absent.retain(|session| *session != profile.session);
            if absent.is_empty() {
                self.absent.remove(user);
                shrink_map(&mut self.absent);
            }
        }
    }

    /// One user's sessions cannot push out those of all others: its own oldest makes place.
    fn bound_absent(&mut self, session: SessionId, out: &impl Outbox) {
        let user = self.sessions.get(&session).and_then(|session| session.profile.user.as_ref());
        let absent = user.and_then(|user| self.absent.get(user));
        if let Some(&oldest) = absent.filter(|absent| absent.len() > ABSENT_PER_USER_MAX).and_then(VecDeque::front) {
            self.end_session(oldest, out);
        }
    }

    fn act(&mut self, due: Due, out: &mut impl Outbox) {
        match due {
            Due::Hello(id) => {
                self.clients.remove(id);
                self.forget_access(id, out);
                out.close(id, CloseCode::HELLO_TIMEOUT, "hello_timeout");
            }
            Due::Absent(session) => self.end_presence(session, out),
            Due::Presence(room) => self.tell_presence(&room, out),
            Due::Batch(id) => self.post.flush_due(id, &mut self.agenda, out),
            Due::Expiry(id) => self.expire(id, out),
            Due::Ids(session) => self.forget_ids(session, out),
            Due::End(session) => self.end_session(session, out),
            Due::Forget(room) => self.forget_room(&room),
        }
    }

    /// Forgets the ids of chats that nobody will send again, also of a session that says nothing more.
    fn forget_ids(&mut self, session_id: SessionId, out: &impl Outbox) {
        let window = self.options.repeat_window();
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        let before = session.held_bytes();
        let oldest = session.forget_ids(out.now(), window);
        if session.absence.is_some() {
            self.waiting_bytes -= before - session.held_bytes();
        }
        session.ids_end = oldest.map(|at| self.agenda.add(at + window, Due::Ids(session_id)));
    }

    /// Closes the connection of a session, which is told why.
    fn dismiss(
        &mut self,
        id: ConnId,
        code: CloseCode,
        reason: &str,
        reconnect_after: Option<Duration>,
        out: &mut impl Outbox,
    ) {
        let after_ms = reconnect_after.map(|after| after.as_millis() as u64);
        let json = reply::Disconnect { code: code.number(), reason, reconnect: after_ms.is_some(), after_ms }.to_json();
        self.post.send(id, &json, out);
        self.depart(id, false, out);
        out.close(id, code, reason);
    }

    /// The system has no random numbers, and thus no ids that are secret.
    fn fail(&mut self, id: ConnId, error: &dyn Display, out: &mut impl Outbox) {
        out.note(id, "no session id", error);
        self.depart(id, false, out);
        out.close(id, CloseCode::INTERNAL_ERROR, "internal");
    }

    // ---- messages

    fn plain_message(&mut self, id: ConnId, session: SessionId, text: &str, out: &mut impl Outbox) {
        match parse_plain(text) {
            Ok(WireRequest { body: Body::Chat(chat), .. }) => {
                if !self.has_share(id, None, out) {
                    return;
                }
                if !self.access.may_write(id, LOBBY) {
                    return self.refuse(id, None, None, &No::forbidden(), out);
                }
                let user = self.access.user(id).cloned();
                let speaker = Speaker { connection: id, session, user: user.as_deref() };
                match self.open_room(LOBBY) {
                    Ok(lobby) => drop(self.publish(&lobby, speaker, &chat.own_members(), text, out)),
                    Err(_) => self.fail(id, &"the lobby has no epoch", out),
                }
            }
            request => self.parsed(id, request, out),
        }
    }

    fn session_message(&mut self, id: ConnId, text: &str, out: &mut impl Outbox) {
        match parse_session(text, BATCH_MAX) {
            Ok(Input::One(request)) => self.parsed(id, request, out),
            Ok(Input::Batch(requests)) => requests.into_iter().for_each(|request| self.parsed(id, request, out)),
            Err(error) => self.parsed(id, Err(error.into()), out),
        }
    }

    fn parsed(&mut self, id: ConnId, request: Result<WireRequest<'_>, Refusal>, out: &mut impl Outbox) {
        let request_id = match &request {
            Ok(request) => &request.id,
            Err(refusal) => &refusal.id,
        };
        if !self.has_share(id, request_id.as_ref(), out) {
            return;
        }
        match request {
            Ok(request) => self.request(id, request, out),
            Err(refusal) => self.refuse_written(id, &refusal, out),
        }
    }

    /// P4: what is no request is answered and noted, and the connection lives on.
    fn refuse_written(&mut self, id: ConnId, refusal: &Refusal, out: &mut impl Outbox) {
        if self.clients.get(id).is_none() {
            return; // it is being closed, and this stood behind what closed it
        }
        out.note(id, "invalid message received", &refusal.error);
        self.post.send(id, &refusal.to_json(), out);
    }
}

impl App for Hub {
    fn on_request(&mut self, request: &Request, out: &impl Outbox) -> Result<(), HandshakeError> {
        self.admit(request, out)
    }

    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        if !self.let_in(id, out) {
            return;
        }
        if !Hub::is_announced(request) {
            return self.enter_plain(id, out);
        }
        let end = out.now() + self.options.hello_timeout;
        if self.access.is_known(id) {
            let ticket = self.agenda.add(end, Due::Hello(id));
            self.clients.insert(id, Client::Waiting(Box::new(ticket)));
            return;
        }
        let ticket = self.unknown.add(end, Due::Hello(id));
        self.clients.insert(id, Client::Unknown(Box::new(ticket)));
        out.restrict(id, true);
        if self.unknown.len() > self.options.unknown_max
            && let Some(oldest) = self.unknown.pop_first()
        {
            self.act(oldest, out);
        }
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        let (client, text) = match (self.clients.get(id), message) {
            (None, _) => return, // it is being closed
            (Some(client), Message::Text(text)) => (client, text),
            (Some(Client::Session(_)), Message::Binary(_)) => {
                return self.dismiss(id, CloseCode::UNSUPPORTED_DATA, "binary", None, out);
            }
            (Some(_), Message::Binary(_)) => {
                self.leave_plain(id, out);
                return out.close(id, CloseCode::UNSUPPORTED_DATA, "binary"); // P6
            }
        };
        match client {
            Client::Plain(session) => self.plain_message(id, *session, &text, out),
            Client::Waiting(_) | Client::Unknown(_) | Client::Session(_) => self.session_message(id, &text, out),
        }
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        self.depart(id, *end == End::ClosedByPeer(Some(CloseCode::NORMAL)), out);
    }

    fn on_drained(&mut self, id: ConnId, out: &mut impl Outbox) {
        self.replay(id, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        let agendas = [&self.agenda, &self.waiting, &self.empty_rooms, &self.unknown];
        agendas.into_iter().filter_map(Agenda::next).min()
    }

    fn on_timeout(&mut self, out: &mut impl Outbox) {
        let agendas: [fn(&mut Hub) -> &mut DueAgenda; 4] =
            [|hub| &mut hub.waiting, |hub| &mut hub.empty_rooms, |hub| &mut hub.unknown, |hub| &mut hub.agenda];
        for agenda in agendas {
            for _ in 0..DUE_PER_TURN {
                let Some(due) = agenda(self).pop_due(out.now()) else { break };
                self.act(due, out);
            }
        }
    }

    fn on_stop(&mut self, out: &mut impl Outbox) {
        let mut connections: Vec<ConnId> = self.sessions.values().filter_map(|session| session.connection).collect();
        connections.sort_unstable(); // a table of random ids has no order that could be repeated
        let count = connections.len() as u32;
        for (index, id) in connections.into_iter().enumerate() {
            let after = RESTART_SPREAD * index as u32 / count + RESTART_MIN;
            self.dismiss(id, CloseCode::SERVICE_RESTART, "restart", Some(after), out);
        }
    }
}

/// A server that restarts is not there before.
const RESTART_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
