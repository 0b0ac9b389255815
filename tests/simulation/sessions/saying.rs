//! What somebody says, beside its hello.

use serde_json::{Value, json};

use super::super::random::Random;
use super::super::world::World;
use super::ledger::Ledger;
use super::person::{Person, ROOMS, STATE_ROOM};
use super::state::random_patch;

/// A chat that its sender does not know to be heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unanswered {
    pub(super) n: u64,
    pub(super) room: &'static str,
    pub(super) padding: usize,
}

/// A patch without an answer yet. When the line is lost it is forgotten: to say it again could apply it twice.
#[derive(Debug)]
pub(super) struct UnansweredPatch {
    pub(super) base: Option<u64>,
    pub(super) patch: Value,
}

impl Person {
    pub(super) fn chat(&mut self, world: &mut World, ledger: &mut Ledger, padding_max: usize) {
        if !self.can_ask() {
            return;
        }
        let (room, padding) = (world.random.pick(&ROOMS), world.random.below(padding_max));
        let chat = Unanswered { n: self.said_on.len() as u64, room, padding };
        self.said_on.push(self.lines);
        ledger.say((self.index, chat.n), world.now);
        self.unanswered.push_back(chat);
        let text = self.chat_text(chat);
        self.say(&text, &mut world.random);
    }

    pub(super) fn chat_text(&self, chat: Unanswered) -> String {
        let Unanswered { n, room, padding } = chat;
        let (by, padding) = (self.index, "x".repeat(padding));
        json!({"type": "chat", "id": n, "room": room, "by": by, "n": n, "padding": padding}).to_string()
    }

    fn can_ask(&self) -> bool {
        self.is_welcome && self.line.as_ref().is_some_and(|line| !line.has_sent_close)
    }

    /// The id of a new request, with a letter for what it is.
    fn next_id(&mut self, letter: char) -> (u64, String) {
        self.requested += 1;
        (self.requested, format!("{letter}{}", self.requested))
    }

    pub(super) fn patch(&mut self, random: &mut Random, ledger: &mut Ledger, padding: usize) {
        if !self.can_ask() {
            return;
        }
        let (n, id) = self.next_id('p');
        let patch = random_patch(random, self.index, n, padding);
        let base = self.replica.version().filter(|_| random.one_in(2));
        let mut request = json!({"type": "patch", "id": id, "room": STATE_ROOM, "patch": patch});
        if let Some(base) = base {
            request["base"] = base.into();
        }
        self.patches.insert(n, UnansweredPatch { base, patch });
        let text = request.to_string();
        ledger.patches.say(text.len());
        self.say(&text, random);
    }

    pub(super) fn signal(&mut self, world: &mut World, ledger: &mut Ledger) {
        let Some((session, _)) = self.session.clone().filter(|_| self.can_ask()) else { return };
        let (n, id) = self.next_id('s');
        let room = world.random.pick(&ROOMS);
        ledger.signals.insert((self.index, n), (session, room));
        let mut request = json!({"type": "signal", "room": room, "data": [self.index, n]});
        if world.random.one_in(2) {
            request["id"] = id.as_str().into();
            self.requests.insert(id);
        }
        self.say(&request.to_string(), &mut world.random);
    }

    /// It joins a room where it is already, and is told the whole state and all who are there.
    pub(super) fn join(&mut self, world: &mut World) {
        if !self.follows || !self.can_ask() {
            return;
        }
        let (_, id) = self.next_id('j');
        let request = json!({"type": "join", "id": id, "room": STATE_ROOM, "state": true, "presence": true});
        self.requests.insert(id);
        self.say(&request.to_string(), &mut world.random);
    }
}
