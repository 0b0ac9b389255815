//! What clients say, made of the input.

use super::model::Model;
use crate::chat::hub::options::BATCH_MAX;
use crate::chat::wire::request::LOBBY;
use crate::server::ConnId;
use crate::test_support::Source;

/// Makes requests of the input, with what clients may know by now.
pub(super) struct Words<'w, 'd> {
    pub(super) source: &'w mut Source<'d>,
    pub(super) model: &'w Model,
    /// Numbers that make ids of their own.
    pub(super) fresh: &'w mut u64,
}

impl Words<'_, '_> {
    /// Several requests in one message, now and then too many of them.
    pub(super) fn batch(&mut self, from: ConnId) -> String {
        let count = self.source.up_to(BATCH_MAX + 1);
        let (kinds, times) = if count > 8 { (1, count) } else { (count, 1) };
        let requests: Vec<String> = (0..kinds).map(|_| self.request(from)).collect();
        format!("[{}]", vec![requests.join(","); times].join(","))
    }

    /// One request.
    pub(super) fn request(&mut self, from: ConnId) -> String {
        let kind = self.source.byte() % 12;
        if kind == 8 {
            return self.hello(from);
        }
        let (id, room) = (self.id(), self.room());
        let rest = match kind {
            3 => format!(r#""join","room":{room:?}{}"#, self.join_options(room, from)),
            4 => format!(r#""leave","room":{room:?}"#),
            5 | 6 => self.patch(room),
            7 => format!(r#""signal","room":{room:?},"data":{}"#, self.source.byte()),
            9 => r#""ping""#.to_owned(),
            10 => r#""auth","token":"t""#.to_owned(),
            _ => {
                let padding = "x".repeat([0, 4, 30_000][self.source.up_to(33).saturating_sub(31)]);
                *self.fresh += 1;
                format!(r#""chat","room":{room:?},"seq":7,"from":"me","msg":"{}{padding}""#, self.fresh)
            }
        };
        format!(r#"{{"type":{rest}{id}}}"#)
    }

    fn hello(&mut self, from: ConnId) -> String {
        let (id, choice) = (self.id(), self.source.byte());
        let version = if choice % 16 == 15 { 2 } else { 1 };
        let info = match choice / 16 {
            number @ 1..=3 => format!(r#","info":{number}"#),
            _ => String::new(),
        };
        let known = &self.model.known;
        let resume = match self.source.byte() {
            0..64 => String::new(),
            _ if known.is_empty() => String::new(),
            choice => {
                let (session, token) = &known[known.len() - 1 - self.source.up_to(known.len() - 1)];
                let token = if choice % 16 == 15 { "r_wrong" } else { token };
                format!(r#","resume":{{"session":"{session}","token":"{token}"}}"#)
            }
        };
        let rooms = match self.source.byte() {
            mask @ 1..=16 => {
                let named = ROOMS.iter().enumerate().filter(|(at, _)| mask & 1 << at != 0);
                let rooms: Vec<String> = named
                    .map(|(_, room)| {
                        let options = self.join_options(room, from);
                        format!("{room:?}:{{{}}}", options.strip_prefix(',').unwrap_or_default())
                    })
                    .collect();
                format!(r#","rooms":{{{}}}"#, rooms.join(","))
            }
            _ => String::new(),
        };
        format!(r#"{{"type":"hello","v":{version}{id}{info}{resume}{rooms}}}"#)
    }

    /// Options of a join: members with a comma before each.
    fn join_options(&mut self, name: &str, from: ConnId) -> String {
        let choice = self.source.byte();
        let mut options = String::new();
        if choice & 1 != 0 {
            options += r#","presence":true"#;
        }
        if choice & 2 != 0 {
            options += r#","state":true"#;
        }
        let room = self.model.rooms.get(name);
        let epoch = room.and_then(|room| room.epoch.as_deref()).unwrap_or("e_0");
        let (head, version) = room.map_or((0, 0), |room| (room.chats.len() as u64, room.version()));
        let back = u64::from(choice >> 5);
        let known = self.model.lines.get(&from).and_then(|line| line.views.get(name)).and_then(|view| view.chats.next);
        let (epoch, seq) = match choice >> 2 & 7 {
            0 | 1 => return options,
            2 => return format!(r#"{options},"last":{back}"#),
            3 => ("e_0000000000000000", head),
            4 => (epoch, head + back),
            5 => (epoch, known.map_or(0, |next| next - 1)),
            _ => (epoch, head.saturating_sub(back)),
        };
        let version = version.saturating_sub(back);
        let version = if choice & 2 != 0 && back != 7 { format!(r#","version":{version}"#) } else { String::new() };
        format!(r#"{options},"since":{{"epoch":"{epoch}","seq":{seq}{version}}}"#)
    }

    fn patch(&mut self, room: &str) -> String {
        let (name, choice) = (["k", "l", "m"][usize::from(self.source.byte() % 3)], self.source.byte());
        *self.fresh += 1;
        let value = match choice % 4 {
            0 => "null".to_owned(),
            1 => format!(r#"{{"x":{},"y":null}}"#, self.fresh),
            2 => format!(r#"{{"y":{{"z":{}}}}}"#, self.fresh),
            _ => self.fresh.to_string(),
        };
        let version = self.model.rooms.get(room).map_or(0, |room| room.version());
        let base = match choice >> 2 & 3 {
            0 => format!(r#","base":{version}"#),
            1 => format!(r#","base":{}"#, version + u64::from(choice >> 7)),
            _ => String::new(),
        };
        format!(r#""patch","room":{room:?},"patch":{{"{name}":{value}}}{base}"#)
    }

    /// A request's id: none, a new one, or one of few.
    fn id(&mut self) -> String {
        let choice = self.source.byte();
        *self.fresh += 1;
        match choice % 4 {
            0 => String::new(),
            1 => format!(r#","id":"c{}""#, self.fresh),
            2 => format!(r#","id":{}"#, choice >> 6),
            _ => format!(r#","id":"{}""#, choice >> 6),
        }
    }

    fn room(&mut self) -> &'static str {
        ROOMS[usize::from(self.source.byte() % 5)]
    }
}

/// The rooms that clients know.
const ROOMS: [&str; 5] = [LOBBY, "a", "b", "é\"", "c"];
