//! A client's place in a room: where it stands in the room's log, and whom it knows to be there.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::book::Book;

#[derive(Debug)]
pub(crate) struct Seat {
    /// The number of its client.
    client: usize,
    pub(crate) room: usize,
    pub(crate) name: String,
    pub(crate) epoch: String,
    /// The last chat that it heard.
    seq: u64,
    /// How many it said, and heard of others.
    pub(crate) said: u64,
    heard: u64,
    /// Chats that it did not hear before a later one: they must be its own.
    skipped: Vec<u64>,
    /// The sessions that are there, its own perhaps among them.
    pub(crate) present: BTreeSet<String>,
}

impl Seat {
    pub(crate) fn new(client: usize, room: usize) -> Seat {
        let (name, epoch) = (format!("room-{room}"), String::new());
        Seat { client, room, name, epoch, seq: 0, said: 0, heard: 0, skipped: Vec::new(), present: BTreeSet::new() }
    }

    /// What a hello says of the room.
    pub(crate) fn options(&self, is_back: bool) -> Value {
        match is_back {
            true => json!({"presence": true, "since": {"epoch": self.epoch, "seq": self.seq}}),
            false => json!({"presence": true}),
        }
    }

    /// What a welcome says of the room.
    ///
    /// # Errors
    /// If the client is not back where it was.
    pub(crate) fn take_welcome(&mut self, room: &Value, is_back: bool) -> Result<(), String> {
        let is_right = match is_back {
            true => room["recovered"] == true && room["epoch"] == *self.epoch && room["seq"].as_u64() >= Some(self.seq),
            false => room["seq"] == 0,
        };
        if !is_right || !room["epoch"].is_string() || !room["members"].is_array() {
            return Err(format!("{}, seq {}, epoch {}: welcomed with {room}", self.name, self.seq, self.epoch));
        }
        self.epoch = room["epoch"].as_str().unwrap_or_default().to_owned();
        self.present = sessions(&room["members"]).collect();
        Ok(())
    }

    pub(crate) fn take_presence(&mut self, presence: &Value) {
        self.present.extend(sessions(&presence["joins"]));
        for session in sessions(&presence["leaves"]) {
            self.present.remove(&session);
        }
    }

    /// A chat, in an array of those that were missed or as it was said.
    ///
    /// # Errors
    /// If it is not the next one of the others.
    pub(crate) fn take_chat(&mut self, chat: &Value, is_replay: bool, book: &mut Book) -> Result<(), String> {
        let seq = chat["seq"].as_u64().ok_or_else(|| format!("no seq in {chat}"))?;
        let wrong = |what: &str| Err(format!("{}, seq {seq}: {what}: {chat}", self.name));
        let speaker = chat["from"]["session"].as_str().and_then(|session| book.sessions.get(session).copied());
        let (Some(speaker), Some(number)) = (speaker, chat["n"].as_u64()) else { return wrong("nobody said this") };
        if chat["pad"].as_str().map(str::len) != Some(pad_length(speaker, number)) {
            return wrong("not as it was said");
        }
        if seq <= self.seq {
            return wrong(&format!("doubled or too late, behind {}", self.seq));
        }
        if let Err(error) = book.note(self.room, seq, (speaker, number)) {
            return wrong(&error);
        }
        // Who missed the ack of its own chat is told of it among what it missed, but never as it says it.
        match (speaker == self.client, is_replay) {
            (true, false) => return wrong("its own chat came back to it"),
            (true, true) => book.counts.own_replayed += 1,
            (false, _) => (self.heard, book.counts.heard) = (self.heard + 1, book.counts.heard + 1),
        }
        book.counts.replayed += u64::from(is_replay);
        for missed in self.seq + 1..seq {
            // Perhaps its own, of which the ack is still to come.
            if book.speaker(self.room, missed).is_some() {
                self.check_own(missed, book)?;
            }
            self.skipped.push(missed);
        }
        self.seq = seq;
        Ok(())
    }

    /// What it has not heard of all that was said.
    pub(crate) fn missing(&self, book: &Book) -> Option<String> {
        let (heard, others) = (self.heard, book.said(self.room) - self.said);
        (heard != others).then(|| format!("{}, seq {}: it heard {heard} of {others} chats", self.name, self.seq))
    }

    /// What it did not hear is its own.
    ///
    /// # Errors
    /// If it is not.
    pub(crate) fn check_skipped(&self, book: &Book) -> Result<(), String> {
        self.skipped.iter().try_for_each(|&seq| self.check_own(seq, book))
    }

    fn check_own(&self, seq: u64, book: &Book) -> Result<(), String> {
        let at = format!("{}, seq {seq}", self.name);
        match book.speaker(self.room, seq) {
            Some((speaker, _)) if speaker == self.client => Ok(()),
            Some((speaker, number)) => Err(format!("{at}: lost, chat {number} of client {speaker}")),
            None => Err(format!("{at}: lost, and nobody has heard it")),
        }
    }
}

/// Chats differ in length, so that one that was cut or mixed with another shows.
pub(crate) fn pad_length(client: usize, number: u64) -> usize {
    (client * 31 + number as usize * 17) % 200
}

fn sessions(list: &Value) -> impl Iterator<Item = String> {
    let sessions = list.as_array().into_iter().flatten().filter_map(|member| member["session"].as_str());
    sessions.map(str::to_owned)
}
