//! `frameloop serve`: everybody in one room, and what one says all others hear.

use super::room::Room;
use super::session::{SessionId, SessionIds};
use super::wire::{self, MessageType};
use crate::protocol::{CloseCode, End, Message, Request, SharedFrame};
use crate::server::{App, ConnId, ConnTable, Outbox};

/// The chat server: each open connection has a session, and is a member of the lobby.
#[derive(Debug, Default)]
pub struct Hub {
    sessions: ConnTable<SessionId>,
    ids: SessionIds,
    lobby: Room,
}

impl Hub {
    /// The limit for [`Config::unsent_bytes_max`](crate::server::Config::unsent_bytes_max) that suits a chat: with 500 members
    /// who read slowly, the others of 5,000 hear 1.6 times as much as without it.
    pub const UNSENT_BYTES_MAX: u32 = 256 * 1024;

    /// The id of a connection's session.
    pub fn session(&self, id: ConnId) -> Option<SessionId> {
        self.sessions.get(id).copied()
    }

    /// The room in which everybody is.
    pub fn lobby(&self) -> &Room {
        &self.lobby
    }

    /// Heap bytes that it owns, about: its tables by their capacity. They follow the number of connections up and down.
    pub fn held_bytes(&self) -> usize {
        self.sessions.held_bytes() + self.lobby.held_bytes()
    }

    /// P2: to every other member, as the bytes that the sender sent, encoded once.
    fn broadcast(&self, from: ConnId, text: &str, out: &mut impl Outbox) {
        let frame = SharedFrame::text(text);
        for member in self.lobby.others(from) {
            out.send_shared(member, &frame);
        }
    }
}

impl App for Hub {
    fn on_open(&mut self, id: ConnId, _request: &Request, out: &mut impl Outbox) {
        match self.ids.next_id() {
            Ok(session) => {
                self.sessions.insert(id, session);
                self.lobby.join(id);
            }
            Err(error) => {
                out.note(id, "no session id", &error);
                out.close(id, CloseCode::INTERNAL_ERROR, "internal");
            }
        }
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        let Message::Text(text) = message else {
            self.lobby.leave(id);
            out.close(id, CloseCode::UNSUPPORTED_DATA, "binary"); // P6
            return;
        };
        match wire::parse(&text) {
            Ok(MessageType::Chat) => self.broadcast(id, &text, out),
            Err(error) => {
                out.note(id, "invalid message received", &error); // P4
                out.send(id, Message::text(&error.to_json()));
            }
        }
    }

    fn on_close(&mut self, id: ConnId, _end: &End, _out: &mut impl Outbox) {
        self.sessions.remove(id);
        self.lobby.leave(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
