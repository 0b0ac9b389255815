//! Somebody who speaks and listens, and comes back with the position that it has reached whenever its line is lost.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::random::Random;
use super::super::world::World;
use super::ledger::Ledger;
use super::line::Line;

/// What somebody knows of a room.
#[derive(Debug, Default)]
struct View {
    epoch: String,
    /// The last chat that came, or that a gap told of.
    seen: u64,
    /// The answer to the last hello said that a gap comes; to another life of the log, if this is one.
    gap_due: Option<String>,
    /// Behind a gap without a range any chat may be the next.
    is_open: bool,
    /// What it missed comes on this line, what it said itself among it.
    is_replayed: bool,
}

/// A chat that its sender does not know to be heard.
#[derive(Debug, Clone, Copy)]
struct Unanswered {
    n: u64,
    room: &'static str,
    padding: usize,
}

/// How often people do what: weights.
pub(super) struct Temper {
    pub(super) chat: usize,
    pub(super) flood: usize,
    pub(super) cut: usize,
    pub(super) quit: usize,
    pub(super) stop_reading: usize,
    pub(super) go_on_reading: usize,
    pub(super) padding_max: usize,
    pub(super) resume_window: Duration,
}

pub(super) struct Person {
    index: usize,
    pub(super) line: Option<Line>,
    /// A line that the server still takes for one, until another replaces it.
    former: Option<Line>,
    /// A line was given up before it was welcome.
    has_ghosts: bool,
    /// How many lines it has had.
    lines: usize,
    has_said_hello: bool,
    pub(super) is_welcome: bool,
    session: Option<(String, String)>,
    views: BTreeMap<&'static str, View>,
    /// Chats without an answer yet.
    unanswered: VecDeque<Unanswered>,
    /// On which line each chat was said first.
    said_on: Vec<usize>,
    /// Chats of which nobody knows whether they were heard: the session is gone.
    given_up: usize,
    /// Chats that were left out on the way to it: they must be its own.
    holes: Vec<(String, String, u64)>,
    /// When it left, if it was its own will and its session must be there for a while.
    left_at: Option<Instant>,
    pub(super) goodbye: Option<(u64, String)>,
}

impl Person {
    pub(super) fn new(index: usize) -> Person {
        Person {
            index,
            line: None,
            former: None,
            has_ghosts: false,
            lines: 0,
            has_said_hello: false,
            is_welcome: false,
            session: None,
            views: BTreeMap::new(),
            unanswered: VecDeque::new(),
            said_on: Vec::new(),
            given_up: 0,
            holes: Vec::new(),
            left_at: None,
            goodbye: None,
        }
    }

    /// Does something that the seed chooses.
    pub(super) fn act(&mut self, world: &mut World, ledger: &mut Ledger, temper: &Temper) {
        let Temper { chat, flood, cut, quit, stop_reading, go_on_reading, .. } = *temper;
        let weights = [chat, flood, cut, quit, stop_reading, go_on_reading, 200];
        let mut number = world.random.below(weights.iter().sum());
        let choice = weights.iter().position(|&weight| {
            let is_here = number < weight;
            number = number.wrapping_sub(weight);
            is_here
        });
        if self.line.is_none() {
            if world.random.one_in(4) {
                self.come(world);
            }
            return;
        }
        match choice {
            Some(0) => self.chat(world, ledger, temper.padding_max),
            Some(1) => (0..30).for_each(|_| self.chat(world, ledger, 8000)),
            Some(2) => self.cut(world),
            Some(3) => self.quit(world),
            Some(4) => self.set_reading(false),
            Some(5) => self.set_reading(true),
            _ => {}
        }
        let (out, back) = (world.random.pick(&[1, 40, usize::MAX]), world.random.pick(&[1, 300, 5000, usize::MAX]));
        self.exchange(world, ledger, temper, out, back);
    }

    /// Sends and takes some of what there is.
    pub(super) fn exchange(
        &mut self,
        world: &mut World,
        ledger: &mut Ledger,
        temper: &Temper,
        out: usize,
        back: usize,
    ) {
        if let Some(line) = self.line.as_ref().filter(|line| line.is_open) {
            let has_closed = line.has_sent_close;
            if !std::mem::replace(&mut self.has_said_hello, true) && !has_closed {
                let hello = self.hello();
                self.say(&hello, &mut world.random);
            }
        }
        if let Some(former) = &mut self.former {
            former.transmit(world, out);
            former.receive(world, back); // nobody listens any more
            if former.is_over {
                ledger.count.replaced += usize::from(former.close_code == Some(4003));
                self.former = None;
            }
        }
        let Some(line) = &mut self.line else { return };
        line.transmit(world, out);
        let texts = if line.is_reading { line.receive(world, back) } else { Vec::new() };
        let (close_code, is_over) = (line.close_code, line.is_over);
        let now = world.now;
        ledger.tell_time(now);
        for text in texts {
            match serde_json::from_str(&text).expect("the server sends JSON") {
                Value::Array(messages) => {
                    messages.iter().for_each(|message| self.hear(message, ledger, temper, now, &mut world.random));
                }
                message => self.hear(&message, ledger, temper, now, &mut world.random),
            }
        }
        if is_over {
            assert!(close_code != Some(4003) || self.has_ghosts, "nobody has replaced it");
            ledger.count.slow += usize::from(close_code == Some(4101));
            (self.line, self.is_welcome) = (None, false);
        }
    }

    pub(super) fn set_reading(&mut self, is_reading: bool) {
        if let Some(line) = &mut self.line {
            line.is_reading = is_reading;
        }
    }

    // ---- coming and going

    pub(super) fn come(&mut self, world: &mut World) {
        self.lines += 1;
        self.line = Some(Line::new(world));
        (self.has_said_hello, self.is_welcome) = (false, false);
        if world.random.one_in(2) {
            self.has_said_hello = true;
            let hello = self.hello();
            self.say(&hello, &mut world.random);
        }
    }

    fn cut(&mut self, world: &mut World) {
        let Some(mut line) = self.line.take() else { return };
        // A line that the server has closed already was lost before.
        self.left_at = (line.is_alive(world) && self.is_welcome).then_some(world.now);
        // Its hello may be read after that of the next line, and replaces it then.
        self.has_ghosts |= !self.is_welcome;
        self.is_welcome = false;
        if line.cut(world) {
            self.former = Some(line);
        }
    }

    fn quit(&mut self, world: &mut World) {
        let code = world.random.pick(&[1000, 1000, 1001]);
        self.left_at = None;
        if let Some(line) = self.line.as_mut().filter(|line| line.is_open) {
            line.close(code, &mut world.random);
        }
    }

    /// It goes for good.
    pub(super) fn leave(&mut self, world: &mut World, is_polite: bool) {
        if is_polite {
            self.quit(world)
        } else {
            self.cut(world)
        }
        self.former = None;
    }

    fn hello(&self) -> String {
        let options = |view: &View| json!({"since": {"epoch": view.epoch, "seq": view.seen}});
        let rooms: BTreeMap<&str, Value> =
            ROOMS.into_iter().map(|room| (room, self.views.get(room).map_or(json!({}), options))).collect();
        let mut hello = json!({"type": "hello", "id": 0, "v": 1, "rooms": rooms});
        if let Some((session, token)) = &self.session {
            hello["resume"] = json!({"session": session, "token": token});
        }
        hello.to_string()
    }

    // ---- saying

    fn say(&mut self, text: &str, random: &mut Random) {
        if let Some(line) = &mut self.line {
            line.say(text, random);
        }
    }

    fn chat(&mut self, world: &mut World, ledger: &mut Ledger, padding_max: usize) {
        if !self.is_welcome || self.line.as_ref().is_none_or(|line| line.has_sent_close) {
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

    fn chat_text(&self, chat: Unanswered) -> String {
        let Unanswered { n, room, padding } = chat;
        let (by, padding) = (self.index, "x".repeat(padding));
        json!({"type": "chat", "id": n, "room": room, "by": by, "n": n, "padding": padding}).to_string()
    }

    // ---- hearing

    fn hear(&mut self, message: &Value, ledger: &mut Ledger, temper: &Temper, now: Instant, random: &mut Random) {
        let number = |name: &str| message[name].as_u64().unwrap_or_else(|| panic!("no {name}: {message:.300}"));
        match message["type"].as_str().expect("a type") {
            "welcome" => self.welcome(message, ledger, temper, now, random),
            "ack" => {
                let n = number("id");
                let place = ["room", "epoch"].map(|name| message[name].as_str().expect("a text").to_owned());
                let [room, epoch] = place;
                ledger.note((room, epoch, number("seq")), (self.index, n));
                ledger.count.duplicates += usize::from(message["duplicate"] == true);
                let before = self.unanswered.len();
                self.unanswered.retain(|chat| chat.n != n);
                assert_eq!(self.unanswered.len() + 1, before, "one answer for each request: {message:.300}");
            }
            "chat" => self.hear_chat(message, ledger),
            "gap" => self.hear_gap(message, ledger),
            "disconnect" => {
                self.goodbye = Some((number("code"), message["reason"].as_str().expect("a word").to_owned()));
            }
            other => panic!("{other} was not asked for: {message:.300}"),
        }
    }

    fn welcome(&mut self, welcome: &Value, ledger: &mut Ledger, temper: &Temper, now: Instant, random: &mut Random) {
        assert!(!std::mem::replace(&mut self.is_welcome, true), "welcome once");
        let [session, token] =
            ["session", "resume_token"].map(|name| welcome[name].as_str().expect("a text").to_owned());
        let (is_resumed, had_session) = (welcome["resumed"] == true, self.session.is_some());
        let is_soon = self.left_at.take().is_some_and(|at| now.duration_since(at) < temper.resume_window);
        assert!(is_resumed || !is_soon, "the session ended before its time");
        if is_resumed {
            assert_eq!(self.session, Some((session, token)), "it stays the same");
            ledger.count.resumed += 1;
            for chat in self.unanswered.clone() {
                let text = self.chat_text(chat);
                self.say(&text, random);
            }
        } else {
            assert!(self.session.as_ref().is_none_or(|(before, _)| *before != session), "another session");
            self.session = Some((session, token));
            self.given_up += self.unanswered.len();
            self.unanswered.clear();
            ledger.count.expired_sessions += usize::from(had_session);
        }
        for room in ROOMS {
            let joined = &welcome["rooms"][room];
            let (epoch, head) =
                (joined["epoch"].as_str().expect("an epoch"), joined["seq"].as_u64().expect("a number"));
            let Some(view) = self.views.get_mut(room) else {
                let view = View { epoch: epoch.to_owned(), seen: head, ..View::default() };
                self.views.insert(room, view);
                continue;
            };
            assert!(view.epoch != epoch || view.seen <= head, "the log of {room} went back to {head}");
            view.gap_due = (joined["recovered"] == false).then(|| epoch.to_owned());
            assert!(view.epoch == epoch || view.gap_due.is_some(), "another life, and no gap: {joined}");
            (view.is_replayed, view.is_open) = (view.epoch != epoch || view.seen < head, false);
            ledger.count.replayed += usize::from(view.is_replayed);
        }
    }

    fn hear_chat(&mut self, message: &Value, ledger: &mut Ledger) {
        let number = |name: &str| message[name].as_u64().unwrap_or_else(|| panic!("no {name}: {message:.300}"));
        let (by, n, seq) = (number("by") as usize, number("n"), number("seq"));
        let room = message["room"].as_str().expect("a room");
        let view = self.views.get_mut(room).expect("only of its rooms");
        assert_eq!(view.gap_due, None, "the gap comes first");
        assert!(view.seen < seq, "{seq} of {room} comes after {}", view.seen);
        let is_of_before = by == self.index && (self.said_on[n as usize] < self.lines || view.is_replayed);
        assert!(by != self.index || is_of_before, "{} hears itself: {n}", self.index);
        if !std::mem::take(&mut view.is_open) {
            let missing = view.seen + 1..seq;
            self.holes.extend(missing.map(|seq| (room.to_owned(), view.epoch.clone(), seq)));
        }
        view.seen = seq;
        ledger.note((room.to_owned(), view.epoch.clone(), seq), (by, n));
    }

    fn hear_gap(&mut self, message: &Value, ledger: &mut Ledger) {
        let room = message["room"].as_str().expect("a room");
        let view = self.views.get_mut(room).expect("only of its rooms");
        let due = view.gap_due.take();
        match message["reason"].as_str().expect("a reason") {
            "reset" => {
                ledger.count.reset += 1;
                assert_eq!(due.as_deref(), message["epoch"].as_str(), "a reset that was not announced");
                (view.epoch, view.seen, view.is_open) = (due.unwrap_or_default(), 0, true);
                return;
            }
            "expired" => {
                ledger.count.expired += 1;
                assert!(due.is_some(), "all was to be recovered: {message}");
            }
            "overrun" => ledger.count.overrun += 1,
            other => panic!("a gap because of {other}"),
        }
        assert_eq!(message["epoch"], *view.epoch);
        let [from, to] = ["from_seq", "to_seq"].map(|name| message[name].as_u64().expect("a number"));
        assert!(view.is_open || from == view.seen + 1, "{message} after {}", view.seen);
        assert!(from <= to);
        (view.seen, view.is_open) = (to, false);
        ledger.note_gap((room.to_owned(), message["epoch"].as_str().unwrap_or_default().to_owned(), to));
    }

    /// It is there, and waits for no answer.
    pub(super) fn is_content(&self) -> bool {
        self.is_welcome && self.unanswered.is_empty()
    }

    /// Nothing is on the way any more: it has heard all that it had to hear.
    pub(super) fn check(&self, ledger: &Ledger) {
        for room in ROOMS {
            let view = &self.views[room];
            assert_eq!(view.gap_due, None, "a gap was announced and did not come: {view:?}");
            let rest = (view.seen + 1..=ledger.head(room, &view.epoch)).filter(|_| !view.is_open);
            let rest = rest.map(|seq| (room.to_owned(), view.epoch.clone(), seq));
            for place in self.holes.iter().cloned().chain(rest) {
                let is_own = match ledger.at(&place) {
                    Some((by, _)) => by == self.index,
                    None => self.given_up > 0,
                };
                assert!(is_own, "{} missed {place:?} and was not told: {view:?}", self.index);
            }
        }
    }

    /// Nobody knows what became of some of its chats.
    pub(super) fn has_given_up(&self) -> bool {
        self.given_up > 0
    }

    /// The life of a room's log that it knows.
    pub(super) fn epoch(&self, room: &str) -> &str {
        &self.views[room].epoch
    }
}

/// The rooms in which all are.
pub(super) const ROOMS: [&str; 2] = ["a", "lobby"];
