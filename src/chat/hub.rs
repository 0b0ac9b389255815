//! `frameloop serve`: everybody in one room, and what one says all others hear.

use std::collections::HashMap;

use super::room::Room;
use super::session::{SessionId, SessionIds};
use super::wire::{self, MessageType};
use crate::protocol::{CloseCode, End, Message, Request, SharedFrame};
use crate::server::{App, ConnId, Outbox};

/// The session server: each open connection has a session, and is a member of the lobby.
#[derive(Debug, Default)]
pub struct Hub {
    sessions: HashMap<ConnId, SessionId>,
    ids: SessionIds,
    lobby: Room,
}

impl Hub {
    /// The id of a connection's session.
    pub fn session(&self, id: ConnId) -> Option<SessionId> {
        self.sessions.get(&id).copied()
    }

    /// The room in which everybody is.
    pub fn lobby(&self) -> &Room {
        &self.lobby
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
        self.sessions.remove(&id);
        self.lobby.leave(id);
    }
}
