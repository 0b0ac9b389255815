//! Who is there, as a follower of the one room with followers knows it, and what each says of itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::random::Random;

/// The others in the room, by their sessions, with their `info`.
pub(super) type People = BTreeMap<String, Value>;

/// A follower's list of the others.
#[derive(Debug, Default)]
pub(super) struct Company {
    others: People,
}

/// What somebody says of itself.
#[derive(Debug, Default)]
pub(super) struct Info {
    /// As it said last; null if it never did.
    pub(super) current: Value,
    said: u64,
    /// It is in the hello of this line.
    is_in_hello: bool,
    /// Whether the server has heard it.
    is_heard: bool,
}

impl Company {
    pub(super) fn answer(&mut self, joined: &Value, own: &str) {
        let members = joined["members"].as_array().expect("a follower is told who is there");
        self.others = members.iter().map(member).collect();
        assert_eq!(self.others.len(), members.len(), "each once");
        assert!(!self.others.contains_key(own), "it is none of the others");
    }

    /// Returns how many went that it knew, and how many said something new of themselves.
    pub(super) fn hear(&mut self, message: &Value, (own, info): (&str, &Value)) -> (usize, usize) {
        let list = |name: &str| -> People { message[name].as_array().expect("a list").iter().map(member).collect() };
        let (joins, leaves) = (list("joins"), list("leaves"));
        assert!(joins.len() + leaves.len() > 0, "no news");
        let (mut gone, mut renewed) = (0, 0);
        for session in leaves.keys() {
            assert!(session != own && !joins.contains_key(session), "{message}");
            gone += usize::from(self.others.remove(session).is_some());
        }
        for (session, new) in joins {
            if session == own {
                assert_eq!(new, *info, "that is not what it says of itself");
                continue;
            }
            renewed += usize::from(self.others.get(&session).is_some_and(|before| *before != new));
            self.others.insert(session, new);
        }
        (gone, renewed)
    }

    /// All changes were told: these are there. Besides there may be sessions of which no client ever heard. Returns those.
    pub(super) fn check(&self, own: &str, there: &People, known: &BTreeSet<String>) -> People {
        let (theirs, unknown): (People, People) =
            self.others.clone().into_iter().partition(|(session, _)| known.contains(session));
        let others: People = there.clone().into_iter().filter(|(session, _)| session != own).collect();
        assert_eq!(theirs, others, "what {own} knows, and who is there");
        unknown
    }
}

fn member(member: &Value) -> (String, Value) {
    (member["session"].as_str().expect("a session").to_owned(), member["info"].clone())
}

impl Info {
    /// What the next hello says: sometimes something new, and nothing only if it is sure that the server knows.
    pub(super) fn say(&mut self, who: usize, is_sure: bool, random: &mut Random) -> Option<&Value> {
        if random.one_in(3) {
            self.said += 1;
            self.current = json!({"who": who, "says": self.said});
        } else if self.current.is_null() || (self.is_heard && is_sure && random.one_in(2)) {
            self.is_in_hello = false;
            return None;
        }
        (self.is_in_hello, self.is_heard) = (true, false);
        Some(&self.current)
    }

    /// The server has heard the hello. A new session has no `info` but what it says.
    pub(super) fn hear_welcome(&mut self, is_resumed: bool) {
        self.is_heard = true;
        if !is_resumed && !self.is_in_hello {
            self.current = Value::Null;
        }
    }
}
