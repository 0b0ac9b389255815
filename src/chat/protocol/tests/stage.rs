//! Where the scenes are played: a hub without sockets, and clients with names.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ids::Ids;
use super::page::{Event, Step};
use crate::chat::Hub;
use crate::chat::auth::{Authenticator, Sources};
use crate::chat::hub::options::Options;
use crate::chat::recorder::{Recorder, upgrade_request};
use crate::protocol::{CloseCode, End, Message};
use crate::server::{App, ConnId, DRAINED_BYTES_MAX, Outbox};

/// A server, its clients and the time.
#[derive(Debug)]
pub(super) struct Stage {
    hub: Hub,
    out: Recorder,
    opened: u32,
    clients: BTreeMap<String, ConnId>,
    /// Clients without names, of which nobody asks what they get.
    others: Vec<ConnId>,
    ids: Ids,
    options: Options,
}

impl Stage {
    pub(super) fn new(options: Options) -> Stage {
        let out = Recorder::default();
        let (clients, others, ids) = (BTreeMap::new(), Vec::new(), Ids::default());
        Stage { hub: Hub::new(options.clone()), out, opened: 0, clients, others, ids, options }
    }

    /// Plays one line of the page.
    pub(super) fn play(&mut self, step: &Step) {
        let line = step.line;
        match &step.event {
            Event::Says(name, text) => {
                let text = self.ids.real(text);
                self.say(self.client(name), &text);
            }
            Event::Gets(name, text) => {
                let texts = self.out.sent.get_mut(&self.client(name)).filter(|texts| !texts.is_empty());
                let real = texts.map(|texts| texts.remove(0));
                let real = real.unwrap_or_else(|| panic!("line {line}: {name} gets nothing, and not {text}"));
                let is_so = self.ids.agree(text, &real);
                assert!(is_so, "line {line}: {name} gets\n{}\nand not\n{text}", self.ids.shown(&real));
            }
            Event::IsClosed(name, close) => {
                let id = self.client(name);
                let real = self.out.closed.get(&id).map(|(code, reason)| format!("{code} {reason}"));
                assert_eq!(real.as_ref(), Some(close), "line {line}: how {name} is closed");
                self.forget(name, line);
            }
            Event::Direction(direction) => self.direct(direction, line),
        }
    }

    /// At the end of a scene nobody has got what the page does not show.
    pub(super) fn assert_all_was_shown(&self, line: usize) {
        for name in self.clients.keys() {
            self.assert_was_shown(name, line);
            assert!(!self.out.closed.contains_key(&self.client(name)), "line {line}: {name} was closed");
        }
    }

    fn assert_was_shown(&self, name: &str, line: usize) {
        if let Some(text) = self.out.sent.get(&self.client(name)).and_then(|texts| texts.first()) {
            panic!("line {line}: the page does not show that {name} gets\n{}", self.ids.shown(text));
        }
    }

    /// Begins anew with a server that wants tokens.
    fn guard(&mut self, authenticator: Authenticator) {
        let options = self.options.clone();
        *self = Stage::new(options.clone());
        self.hub = Hub::with_authentication(options, authenticator, Sources::default());
    }

    fn client(&self, name: &str) -> ConnId {
        *self.clients.get(name).unwrap_or_else(|| panic!("{name} is not there"))
    }

    fn forget(&mut self, name: &str, line: usize) {
        self.assert_was_shown(name, line);
        self.clients.remove(name);
    }

    // ---- what happens

    fn direct(&mut self, direction: &str, line: usize) {
        if direction == "the tokens are signed" {
            self.assert_all_was_shown(line);
            self.guard(Authenticator::jwt(SECRET, None).expect("a secret"));
            TOKENS.into_iter().for_each(|(shown, real)| self.ids.name(shown, real));
        } else if let Some(lines) = direction.strip_prefix("the tokens are ") {
            self.assert_all_was_shown(line);
            let authenticator = Authenticator::tokens(&lines.replace(" / ", "\n")).expect("a list of tokens");
            self.guard(authenticator);
        } else if let Some(lines) = direction.strip_prefix("the list of tokens becomes ") {
            let authenticator = Authenticator::tokens(&lines.replace(" / ", "\n")).expect("a list of tokens");
            self.hub.set_authenticator(authenticator, &mut self.out);
            self.settle();
        } else if let Some(flags) = direction.strip_prefix("the server runs with ") {
            self.assert_all_was_shown(line);
            *self = Stage::new(options(flags));
        } else if direction == "the server starts anew" {
            self.assert_all_was_shown(line);
            let ids = std::mem::take(&mut self.ids);
            *self = Stage { ids, ..Stage::new(self.options.clone()) };
        } else if direction == "the server stops" {
            self.hub.on_stop(&mut self.out);
            for &id in self.clients.values() {
                self.out.close(id, CloseCode::GOING_AWAY, "shutdown"); // as the server does
            }
        } else if let Some(time) = direction.strip_suffix(" go by").or_else(|| direction.strip_suffix(" goes by")) {
            self.wait(duration(time));
        } else if let Some(name) = direction.strip_prefix("too much waits for ") {
            self.overrun(self.client(name));
        } else if let Some((count, room)) = direction.split_once(" others come to ") {
            for _ in 0..number(count) {
                let id = self.open(true);
                self.others.push(id);
                self.hear(id, &hello(room, ""));
            }
            self.settle();
        } else if let Some(count) = direction.strip_suffix(" of them closes with 1000") {
            for _ in 0..number(count) {
                let id = self.others.pop().expect("there are others");
                self.end(id, &End::ClosedByPeer(Some(CloseCode::NORMAL)));
            }
        } else {
            self.direct_clients(direction, line);
        }
    }

    fn direct_clients(&mut self, direction: &str, line: usize) {
        const DEEDS: [&str; 10] = [
            " connects from a page",
            " connects with frameloop.v1",
            " connect with frameloop.v1",
            " connects",
            " connect",
            "'s line is lost",
            " sends a binary message",
            " reads nothing",
            " reads again",
            " closes with 1000",
        ];
        if let Some((names, place)) = direction.split_once(" is in ").or_else(|| direction.split_once(" are in ")) {
            return self.enter(&names.split(" and ").collect::<Vec<_>>(), place);
        }
        let deed = DEEDS.into_iter().find(|deed| direction.ends_with(deed));
        let deed = deed.unwrap_or_else(|| panic!("line {line}: what is that? {direction}"));
        for name in direction.trim_end_matches(deed).split(" and ") {
            match deed.trim_start_matches([' ', '\'']) {
                "connects with frameloop.v1" | "connect with frameloop.v1" => drop(self.connect(name, true)),
                "connects" | "connect" => drop(self.connect(name, false)),
                "connects from a page" => {
                    let id = self.open_with("Origin: https://a\r\n");
                    self.clients.insert(name.to_owned(), id);
                }
                "reads nothing" => drop(self.out.queued.insert(self.client(name), DRAINED_BYTES_MAX + 1)),
                "reads again" => self.drain(self.client(name)),
                "sends a binary message" => {
                    self.hub.on_message(self.client(name), Message::binary(b"x"), &mut self.out);
                    self.settle();
                }
                lost => {
                    let is_final = lost == "closes with 1000";
                    let end = if is_final { End::ClosedByPeer(Some(CloseCode::NORMAL)) } else { End::Lost };
                    let id = self.client(name);
                    self.forget(name, line);
                    self.end(id, &end);
                }
            }
        }
    }

    /// Clients with sessions in a room, who have seen all that there was.
    fn enter(&mut self, names: &[&str], place: &str) {
        let (room, wishes) = place.split_once(", with ").unwrap_or((place, ""));
        for name in names {
            let id = self.connect(name, true);
            self.say(id, &hello(room, wishes));
        }
        self.wait(Duration::from_secs(1));
        for name in names {
            let texts = self.out.sent.remove(&self.client(name)).expect("a welcome");
            let welcome: serde_json::Value = serde_json::from_str(&texts[0]).expect("JSON");
            let mut learn = |shown: String, real: &serde_json::Value| {
                assert!(self.ids.learn(&shown, real.as_str().expect("an id")), "{shown}");
            };
            learn(format!("s_{name}"), &welcome["session"]);
            learn(format!("r_{name}"), &welcome["resume_token"]);
            learn(format!("e_{room}"), &welcome["rooms"][room]["epoch"]);
        }
    }

    fn connect(&mut self, name: &str, is_announced: bool) -> ConnId {
        assert!(!self.clients.contains_key(name), "{name} is there already");
        let id = self.open(is_announced);
        self.clients.insert(name.to_owned(), id);
        id
    }

    fn open(&mut self, is_announced: bool) -> ConnId {
        self.open_with(if is_announced { "Sec-WebSocket-Protocol: frameloop.v1\r\n" } else { "" })
    }

    fn open_with(&mut self, header: &str) -> ConnId {
        let id = ConnId::for_test(self.opened);
        self.opened += 1;
        let request = upgrade_request(header);
        self.hub.on_request(&request, &self.out).expect("it is let in");
        self.hub.on_open(id, &request, &mut self.out);
        id
    }

    fn say(&mut self, id: ConnId, text: &str) {
        self.hear(id, text);
        self.settle();
    }

    fn hear(&mut self, id: ConnId, text: &str) {
        self.hub.on_message(id, Message::text(text), &mut self.out);
    }

    /// As at the end of each turn of the server: what is due is done, and whoever was closed is gone.
    fn settle(&mut self) {
        while self.hub.next_timeout().is_some_and(|at| at <= self.out.now) {
            self.hub.on_timeout(&mut self.out);
        }
        for (id, (code, _)) in self.out.closed.clone() {
            self.hub.on_close(id, &End::ClosedByUs(code), &mut self.out);
        }
    }

    fn wait(&mut self, time: Duration) {
        let (since, until, unix_ms) = (self.out.now, self.out.now + time, self.out.unix_ms);
        while let Some(at) = self.hub.next_timeout().filter(|&at| at <= until) {
            self.out.now = self.out.now.max(at);
            self.out.unix_ms = unix_ms + (self.out.now - since).as_millis() as u64;
            self.settle();
        }
        // Chats are all said at one time, or the page would be full of numbers.
        (self.out.now, self.out.unix_ms) = (until, unix_ms);
    }

    fn end(&mut self, id: ConnId, end: &End) {
        self.hub.on_close(id, end, &mut self.out);
        self.settle();
    }

    fn drain(&mut self, id: ConnId) {
        self.out.queued.remove(&id);
        assert!(self.out.awaited.remove(&id), "the hub asked to be told");
        self.hub.on_drained(id, &mut self.out);
    }

    /// As the server does with a reader whose queue is full.
    fn overrun(&mut self, id: ConnId) {
        let code = self.out.overload_codes.get(&id).copied().unwrap_or(CloseCode::TRY_AGAIN_LATER);
        let end = End::QueueFull(code);
        self.end(id, &end);
        self.out.close(id, code, end.word());
    }
}

/// Tokens that are signed with [`SECRET`], by their names on the page: `exp` is 60 s or an hour after the time of the page, or
/// 31 s before it.
const TOKENS: [(&str, &str); 3] = [
    (
        "t_minute",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MzQxOTAwNjB9\
        .Zlobvwdxcq4vPtbeaRT6gR9oLHyapQTM-s3Sg_njrSI",
    ),
    (
        "t_hour",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MzQxOTM2MDB9\
        .DIhLI8XfbNXmpCnlIcCdIrS2WGjIMN4sAC998rnilDU",
    ),
    (
        "t_past",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjE3MzQxODk5Njl9\
        .VASalnxFmfhFfT783J_ZPCn7UQvzKXTw5biO4K0LINI",
    ),
];

const SECRET: &[u8] = b"a secret of thirty-two bytes, yes";

fn hello(room: &str, wishes: &str) -> String {
    let wishes: Vec<String> =
        wishes.split(" and ").filter(|wish| !wish.is_empty()).map(|w| format!("\"{w}\":true")).collect();
    format!(r#"{{"type":"hello","v":1,"rooms":{{"{room}":{{{}}}}}}}"#, wishes.join(","))
}

/// As the command line has them.
fn options(flags: &str) -> Options {
    let mut options = Options::default();
    let words: Vec<&str> = flags.split(' ').collect();
    for pair in words.chunks(2) {
        match pair {
            ["--history", value] => options.history = number(value),
            ["--rooms-per-session", value] => options.rooms_per_session = number(value),
            ["--state-bytes", value] => options.state_bytes = number(value),
            ["--memory-limit", value] => options.memory_limit = number(value),
            ["--rate", value] => options.rate = Some(number(value) as u32),
            ["--max-per-user", value] => options.connections_per_user_max = Some(number(value)),
            ["--batch-interval", value] => options.batch_interval = Some(duration(value)),
            _ => panic!("what is {pair:?}?"),
        }
    }
    options
}

fn duration(text: &str) -> Duration {
    match text.split_at(text.find(|c: char| !c.is_ascii_digit()).expect("a unit")) {
        (count, "ms" | " ms") => Duration::from_millis(number(count) as u64),
        (count, " s") => Duration::from_secs(number(count) as u64),
        _ => panic!("how long is {text}?"),
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}
