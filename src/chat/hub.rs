//! `frameloop serve`: who is there, and who hears whom. Clients without a session are in the lobby; those with one are in
//! the rooms that they joined.
//!
//! | file | what |
//! |---|---|
//! | `hub.rs` | how clients come and go, and clients without a session |
//! | `requests` | what clients with sessions ask for |
//! | `rooms` | rooms, what is said in them, and presence |
//! | `replay` | what a client missed |
//! | `post` | the way to the clients: at once, or gathered |
//! | [`options`] | what can be chosen, and every bound |

pub mod options;
mod post;
mod replay;
mod requests;
mod rooms;

use std::collections::HashMap;
use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, Instant};

use self::options::{BATCH_MAX, DUE_PER_TURN, Options, RESTART_SPREAD};
use self::post::Post;
use self::replay::Link;
use self::rooms::{History, Speaker};
use super::agenda::{Agenda, Ticket};
use super::crowd::Crowd;
use super::room::Room;
use super::session::{Session, SessionId, SessionIds};
use super::wire::reply;
use super::wire::request::{Body, Input, LOBBY, Refusal, Request as WireRequest, parse_plain, parse_session};
use crate::protocol::{CloseCode, End, Message, Request};
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
    rooms: HashMap<Rc<str>, Room>,
    agenda: DueAgenda,
    post: Post,
    history: History,
}

/// What an open connection is.
#[derive(Debug)]
enum Client {
    /// One without a session, in the lobby. Its id tells others who said something.
    Plain(SessionId),
    /// It has announced a session, and has time for `hello`.
    Waiting(Box<Ticket>),
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
    /// It does not come back.
    Gone(SessionId),
    /// Who came and went in a room is told.
    Presence(Rc<str>),
    /// A room was empty for long.
    Forget(Rc<str>),
    /// What was gathered for a client is sent.
    Batch(ConnId),
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

    /// The id of a connection's session.
    pub fn session(&self, id: ConnId) -> Option<SessionId> {
        match self.clients.get(id)? {
            Client::Plain(session) => Some(*session),
            Client::Waiting(_) => None,
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

    /// Bytes of all logs: at most [`Options::memory_limit`].
    pub fn log_bytes(&self) -> usize {
        self.history.bytes
    }

    // ---- coming and going

    /// A client without a session is in the lobby.
    fn enter_plain(&mut self, id: ConnId, out: &mut impl Outbox) {
        match self.ids.next_id() {
            Ok(session) => {
                self.clients.insert(id, Client::Plain(session));
                self.lobby.join(id);
                self.keep_lobby();
            }
            Err(error) => self.fail(id, &error, out),
        }
    }

    /// While somebody is in the lobby it is not forgotten.
    fn keep_lobby(&mut self) {
        if let Some(end) = self.rooms.get_mut(LOBBY).and_then(|room| room.end.take()) {
            self.agenda.cancel(end);
        }
    }

    /// It is no longer a client without a session, nor one that is waited for.
    fn leave_plain(&mut self, id: ConnId, out: &mut impl Outbox) {
        if let Some(Client::Waiting(ticket)) = self.clients.remove(id) {
            self.agenda.cancel(*ticket);
        }
        if self.lobby.leave(id) && self.lobby.is_empty() && self.rooms.contains_key(LOBBY) {
            self.end_if_empty(&LOBBY.into(), out);
        }
    }

    /// A connection is over. Its session lives on for a while, unless this is its end.
    fn depart(&mut self, id: ConnId, is_final: bool, out: &mut impl Outbox) {
        let Some(Client::Session(link)) = self.clients.get(id) else { return self.leave_plain(id, out) };
        let session_id = link.session;
        self.clients.remove(id);
        self.post.forget(id);
        let Some(session) = self.sessions.get_mut(&session_id) else { return };
        session.connection = None;
        let rooms: Vec<Rc<str>> = session.rooms.keys().cloned().collect();
        if !is_final {
            let (now, options) = (out.now(), &self.options);
            session.ends.push(self.agenda.add(now + options.presence_grace, Due::Absent(session_id)));
            session.ends.push(self.agenda.add(now + options.resume_window, Due::Gone(session_id)));
        }
        for name in &rooms {
            if let Some(room) = self.rooms.get_mut(name) {
                room.members.remove(id);
            }
            self.end_if_empty(name, out);
        }
        if is_final {
            self.end_session(session_id, out);
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
            for ticket in session.ends {
                self.agenda.cancel(ticket);
            }
        }
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
        let mut json = String::new();
        let after_ms = reconnect_after.map(|after| after.as_millis() as u64);
        reply::Disconnect { code: code.number(), reason, reconnect: after_ms.is_some(), after_ms }.write(&mut json);
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
                let speaker = Speaker { connection: id, session, user: None };
                match self.open_room(LOBBY) {
                    Ok(lobby) => drop(self.publish(&lobby, speaker, &chat.own_members(), text, out)),
                    Err(_) => self.fail(id, &"the lobby has no epoch", out),
                }
            }
            Ok(request) => self.request(id, request, out),
            Err(refusal) => self.refuse_written(id, &refusal, out),
        }
    }

    fn session_message(&mut self, id: ConnId, text: &str, out: &mut impl Outbox) {
        let requests = match parse_session(text, BATCH_MAX) {
            Ok(Input::One(request)) => vec![request],
            Ok(Input::Batch(requests)) => requests,
            Err(error) => vec![Err(error.into())],
        };
        for request in requests {
            match request {
                Ok(request) => self.request(id, request, out),
                Err(refusal) => self.refuse_written(id, &refusal, out),
            }
        }
    }

    /// P4: what is no request is answered and noted, and the connection lives on.
    fn refuse_written(&mut self, id: ConnId, refusal: &Refusal, out: &mut impl Outbox) {
        out.note(id, "invalid message received", &refusal.error);
        self.post.send(id, &refusal.to_json(), out);
    }
}

impl App for Hub {
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        if request.select_subprotocol(&[Hub::SUBPROTOCOL]).is_none() {
            return self.enter_plain(id, out);
        }
        let ticket = self.agenda.add(out.now() + self.options.hello_timeout, Due::Hello(id));
        self.clients.insert(id, Client::Waiting(Box::new(ticket)));
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
            Client::Waiting(_) | Client::Session(_) => self.session_message(id, &text, out),
        }
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        self.depart(id, *end == End::ClosedByPeer(Some(CloseCode::NORMAL)), out);
    }

    fn on_drained(&mut self, id: ConnId, out: &mut impl Outbox) {
        self.replay(id, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.agenda.next()
    }

    fn on_timeout(&mut self, out: &mut impl Outbox) {
        for _ in 0..DUE_PER_TURN {
            let Some(due) = self.agenda.pop_due(out.now()) else { return };
            match due {
                Due::Hello(id) => {
                    self.clients.remove(id);
                    out.close(id, CloseCode::HELLO_TIMEOUT, "hello_timeout");
                }
                Due::Absent(session) => self.end_presence(session, out),
                Due::Gone(session) => self.end_session(session, out),
                Due::Presence(room) => self.tell_presence(&room, out),
                Due::Forget(room) => self.forget_room(&room),
                Due::Batch(id) => self.post.flush(id, out),
            }
        }
    }

    fn on_stop(&mut self, out: &mut impl Outbox) {
        let connections: Vec<ConnId> = self.sessions.values().filter_map(|session| session.connection).collect();
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
mod tests {
    use super::*;
    use crate::protocol::SharedFrame;
    use std::collections::HashSet;
    use std::fmt::Display;
    use std::time::Instant;

    /// Records what the hub does.
    #[derive(Default)]
    struct Recorder {
        sent: Vec<(ConnId, String)>,
        closed: Vec<(ConnId, CloseCode)>,
        notes: Vec<String>,
    }

    impl Outbox for Recorder {
        fn send(&mut self, to: ConnId, message: Message<'_>) {
            self.sent.push((to, String::from_utf8_lossy(message.as_bytes()).into_owned()));
        }

        fn send_shared(&mut self, to: ConnId, frame: &SharedFrame) {
            self.sent.push((to, String::from_utf8_lossy(&frame.as_bytes()[2..]).into_owned()));
        }

        fn queued_bytes(&self, _to: ConnId) -> usize {
            0
        }

        fn notify_drained(&mut self, _to: ConnId) {}

        fn set_overload_code(&mut self, _to: ConnId, _code: CloseCode) {}

        fn close(&mut self, to: ConnId, code: CloseCode, _reason: &str) {
            self.closed.push((to, code));
        }

        fn note(&mut self, about: ConnId, what: &'static str, detail: &dyn Display) {
            self.notes.push(format!("{about} {what}: {detail}"));
        }

        fn now(&self) -> Instant {
            Instant::now()
        }

        fn unix_ms(&self) -> u64 {
            1_734_190_000_123
        }
    }

    fn hub_with(members: u32) -> (Hub, Recorder) {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        let request = Request::parse(request).unwrap();
        let (mut hub, mut out) = (Hub::default(), Recorder::default());
        for index in 0..members {
            hub.on_open(ConnId::for_test(index), &request, &mut out);
        }
        assert!(out.sent.is_empty(), "P1: nothing is sent unasked");
        (hub, out)
    }

    #[test]
    fn every_connection_has_a_session_of_its_own_until_it_ends() {
        let (mut hub, mut out) = hub_with(100);
        let sessions: HashSet<_> = (0..100).map(|index| hub.session(ConnId::for_test(index)).unwrap()).collect();
        assert_eq!(sessions.len(), 100);
        hub.on_close(ConnId::for_test(7), &End::Lost, &mut out);
        assert_eq!(hub.session(ConnId::for_test(7)), None);
        assert_eq!(hub.lobby().len(), 99);
        assert!(out.sent.is_empty() && out.closed.is_empty());
    }

    #[test]
    fn p2_a_chat_goes_to_all_others_as_it_was_sent() {
        let (mut hub, mut out) = hub_with(3);
        let text = " {\"msg\" : 1e400, \"type\":\"chat\"}";
        hub.on_message(ConnId::for_test(1), Message::text(text), &mut out);
        out.sent.sort();
        let expected = [0, 2].map(|index| (ConnId::for_test(index), text.to_owned()));
        assert_eq!(out.sent, expected);
    }

    #[test]
    fn p4_a_mistake_is_answered_and_noted_and_heard_by_nobody_else() {
        let (mut hub, mut out) = hub_with(3);
        let id = ConnId::for_test(1);
        hub.on_message(id, Message::text("oops"), &mut out);
        assert_eq!((out.sent.len(), out.sent[0].0, out.closed.len()), (1, id, 0));
        assert!(out.sent[0].1.starts_with(r#"{"type":"error","code":"invalid_json""#), "{}", out.sent[0].1);
        assert!(out.notes[0].contains("invalid message received"), "{}", out.notes[0]);
    }

    #[test]
    fn p6_a_binary_message_closes_with_1003_and_leaves_the_room() {
        let (mut hub, mut out) = hub_with(2);
        hub.on_message(ConnId::for_test(0), Message::binary(b"x"), &mut out);
        assert_eq!(out.closed, [(ConnId::for_test(0), CloseCode::UNSUPPORTED_DATA)]);
        hub.on_message(ConnId::for_test(1), Message::text(r#"{"type":"chat"}"#), &mut out);
        assert!(out.sent.is_empty(), "nobody else is there");
    }
}
