//! A client of the session mode: what it says, and what it is answered.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use crate::book::Book;
use crate::line::{Heard, Line};
use crate::seat::{Seat, pad_length};

#[derive(Debug)]
pub(crate) struct Client {
    number: usize,
    pub(crate) line: Option<Line>,
    /// A line that it has given up without the server's knowledge, until it is back.
    ghost: Option<Line>,
    /// The server has answered its hello, on this line.
    pub(crate) is_welcome: bool,
    /// It has left for good.
    pub(crate) has_left: bool,
    /// The id and the secret of its session.
    pub(crate) session: Option<(String, String)>,
    pub(crate) seats: Vec<Seat>,
    said: u64,
    unacked: VecDeque<Chat>,
}

#[derive(Debug)]
struct Chat {
    number: u64,
    seat: usize,
    text: String,
    /// How often it was sent as a whole, each time on another line.
    sent: u32,
}

impl Client {
    pub(crate) fn new(number: usize, rooms: &[usize]) -> Client {
        Client {
            number,
            line: None,
            ghost: None,
            is_welcome: false,
            has_left: false,
            session: None,
            seats: rooms.iter().map(|&room| Seat::new(number, room)).collect(),
            said: 0,
            unacked: VecDeque::new(),
        }
    }

    // ---- speaking

    /// Says the next chat in one of its rooms; without a line, once it has one again.
    pub(crate) fn say(&mut self, seat: usize, book: &mut Book) -> Result<(), String> {
        self.compose(seat, book);
        self.send_from(self.unacked.len() - 1)
    }

    /// Says so many chats at once, in one message.
    pub(crate) fn say_many(&mut self, count: usize, book: &mut Book) -> Result<(), String> {
        (0..count).for_each(|_| self.compose(0, book));
        self.send_from(self.unacked.len() - count)
    }

    /// Says a part of the next chat.
    pub(crate) fn begin_to_say(&mut self, seat: usize, share: f64, book: &mut Book) -> Result<(), String> {
        self.compose(seat, book);
        if let (Some(line), Some(chat), true) = (&mut self.line, self.unacked.back(), self.is_welcome) {
            line.begin_to_say(&chat.text, share);
            line.flush()?;
        }
        Ok(())
    }

    fn compose(&mut self, seat: usize, book: &mut Book) {
        self.said += 1;
        self.seats[seat].said += 1;
        book.note_said(self.seats[seat].room);
        let (number, room) = (self.said, &self.seats[seat].name);
        let (id, pad) = (format!("m-{number}"), "x".repeat(pad_length(self.number, number)));
        let chat = json!({"type": "chat", "id": id, "room": room, "n": number, "pad": pad});
        self.unacked.push_back(Chat { number, seat, text: chat.to_string(), sent: 0 });
    }

    /// Sends what is not acked from here on: a single chat as it is, more of them as arrays.
    fn send_from(&mut self, first: usize) -> Result<(), String> {
        let Some(line) = self.line.as_mut().filter(|_| self.is_welcome) else { return Ok(()) };
        for batch in self.unacked.make_contiguous()[first..].chunks_mut(BATCH) {
            batch.iter_mut().for_each(|chat| chat.sent += 1);
            match batch {
                [chat] => line.say(&chat.text),
                chats => {
                    let texts: Vec<&str> = chats.iter().map(|chat| &*chat.text).collect();
                    line.say(&format!("[{}]", texts.join(",")));
                }
            }
        }
        line.flush()
    }

    /// The first hello, or the one of a client that comes back.
    fn say_hello(&mut self) -> Result<(), String> {
        let is_back = self.session.is_some();
        let rooms: Map<String, Value> =
            self.seats.iter().map(|seat| (seat.name.clone(), seat.options(is_back))).collect();
        let mut hello = json!({"type": "hello", "id": "hello", "v": 1, "rooms": rooms});
        if let Some((session, token)) = &self.session {
            hello["resume"] = json!({"session": session, "token": token});
        }
        let Some(line) = &mut self.line else { return Ok(()) };
        line.say(&hello.to_string());
        line.flush()
    }

    /// Its line is no longer in use. `is_ghost`: it stays open, as that of a client whose network has changed.
    pub(crate) fn lose_line(&mut self, is_ghost: bool) -> Option<Line> {
        self.is_welcome = false;
        let line = self.line.take();
        if is_ghost {
            self.ghost = line;
            return None;
        }
        line
    }

    // ---- hearing

    /// Something happened on its line.
    ///
    /// # Errors
    /// What it should not have heard.
    pub(crate) fn turn(&mut self, book: &mut Book) -> Result<(), String> {
        let Some(line) = &mut self.line else { return Ok(()) };
        line.flush()?;
        for heard in line.hear()? {
            match heard {
                Heard::Opened => self.say_hello()?,
                Heard::Text(text) => self.take_text(&text, book)?,
                Heard::Closed => (self.line, self.has_left) = (None, true),
            }
        }
        self.line.as_mut().map_or(Ok(()), Line::flush) // the answers to pings
    }

    fn take_text(&mut self, text: &str, book: &mut Book) -> Result<(), String> {
        match serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))? {
            Value::Array(messages) => messages.iter().try_for_each(|message| match message["type"].as_str() {
                Some("chat") => self.seat(message)?.take_chat(message, true, book),
                _ => Err(format!("{message} is in an array")),
            }),
            message => self.take(&message, book),
        }
    }

    fn take(&mut self, message: &Value, book: &mut Book) -> Result<(), String> {
        match message["type"].as_str() {
            Some("chat") => self.seat(message)?.take_chat(message, false, book),
            Some("ack") => self.take_ack(message, book),
            Some("presence") => {
                self.seat(message)?.take_presence(message);
                Ok(())
            }
            Some("welcome") => self.take_welcome(message, book),
            _ => Err(format!("it was sent {message}")), // a gap, an error, a disconnect
        }
    }

    fn take_welcome(&mut self, welcome: &Value, book: &mut Book) -> Result<(), String> {
        let session = text(&welcome["session"]);
        let is_back = self.session.is_some();
        if welcome["resumed"] != is_back || self.session.as_ref().is_some_and(|(known, _)| *known != session) {
            return Err(format!("its session {:?} was not resumed: {welcome}", self.session));
        }
        for seat in &mut self.seats {
            seat.take_welcome(&welcome["rooms"][&seat.name], is_back)?;
        }
        book.counts.resumes += u64::from(is_back);
        book.sessions.insert(session.clone(), self.number);
        self.session = Some((session, text(&welcome["resume_token"])));
        self.ghost = None;
        self.is_welcome = true;
        self.send_from(0)
    }

    fn take_ack(&mut self, ack: &Value, book: &mut Book) -> Result<(), String> {
        let number = ack["id"].as_str().and_then(|id| id.strip_prefix("m-")?.parse().ok());
        let index = self.unacked.iter().position(|chat| Some(chat.number) == number);
        let chat = index.and_then(|index| self.unacked.remove(index));
        let Some(chat) = chat else { return Err(format!("it waits for no such ack: {ack}")) };
        let seat = &self.seats[chat.seat];
        let seq = ack["seq"].as_u64().ok_or_else(|| format!("no seq in {ack}"))?;
        if ack["room"] != *seat.name || ack["epoch"] != *seat.epoch {
            return Err(format!("{}, seq {seq}: another room or epoch: {ack}", seat.name));
        }
        let is_duplicate = ack["duplicate"] == true;
        if is_duplicate && chat.sent < 2 {
            return Err(format!("{}, seq {seq}: said for the first time, and called a duplicate: {ack}", seat.name));
        }
        book.counts.duplicates += u64::from(is_duplicate);
        book.note(seat.room, seq, (self.number, chat.number))
            .map_err(|error| format!("{}, seq {seq}: {error}", seat.name))
    }

    /// Where a message belongs.
    fn seat(&mut self, message: &Value) -> Result<&mut Seat, String> {
        let seat = self.seats.iter_mut().find(|seat| message["room"] == *seat.name);
        seat.ok_or_else(|| format!("it is not in this room: {message}"))
    }

    // ---- at the end

    /// Why it does not have all that was said, if it does not.
    pub(crate) fn missing(&self, book: &Book) -> Option<String> {
        if !self.is_welcome {
            return Some("it is not back".to_owned());
        }
        if let Some(chat) = self.unacked.front() {
            return Some(format!("{}: no ack for its chat {}", self.seats[chat.seat].name, chat.number));
        }
        self.seats.iter().find_map(|seat| seat.missing(book))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Chats in one message; the server takes as many.
const BATCH: usize = 100;
