//! Clients that come, go, speak and read late as chance has it, against a small model of what each of them must see.
//!
//! Between gaps everybody gets every chat of the others once and in order; whoever reads a state ends with the state that
//! the room has; who is there is known to those who asked; and at the end nothing is left.

mod chance;
mod view;

use self::chance::Chance;
use self::view::{Room, View, merge};
use super::*;
use std::time::Instant;

const ROOMS: [&str; 3] = ["lobby", "a", "b"];

/// A client with a session, whether its line is up or not.
struct Person {
    client: Client,
    /// Since when its line is lost.
    lost_at: Option<Instant>,
    views: BTreeMap<String, View>,
    /// Its patches whose answer it has not read, by their ids.
    patches: BTreeMap<String, (String, Value)>,
    /// The last chat, to be said again: its number, and when it was said.
    last_chat: Option<(Value, u64, Instant)>,
}

struct World {
    bench: Bench,
    chance: Chance,
    rooms: BTreeMap<&'static str, Room>,
    people: Vec<Person>,
    /// Those without a session, with what each must have been sent.
    plain: Vec<(ConnId, Vec<String>)>,
    said: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut chance = Chance(seed);
        let batch_interval = chance.one_in(2).then_some(millis(20));
        let history = 3 + chance.below(30);
        let memory_limit = if chance.one_in(3) { 16_000 } else { 1_000_000 }; // half of it holds all states
        let bench = Bench::with(Options { batch_interval, history, memory_limit, ..Options::default() });
        let rooms = ROOMS.map(|name| (name, Room::default())).into();
        World { bench, chance, rooms, people: Vec::new(), plain: Vec::new(), said: 0 }
    }

    fn step(&mut self) {
        match self.chance.below(24) {
            0 if self.plain.len() < 4 => {
                let id = self.bench.plain();
                self.plain.push((id, Vec::new()));
            }
            1 if !self.plain.is_empty() => {
                let index = self.chance.below(self.plain.len());
                let (id, expected) = self.plain.swap_remove(index);
                assert_eq!(self.bench.texts(id), expected);
                self.bench.lose(id);
            }
            2 | 3 if self.people.len() < 5 => self.arrive(),
            4..=8 => self.chat(),
            9 => self.plain_chat(),
            10..=12 => self.patch(),
            13 => self.with_connected(World::lose),
            14 | 15 => self.with_lost(World::resume),
            16 => self.with_connected(World::join),
            17 => self.with_connected(World::leave),
            18 => self.with_connected(|world, index| world.bench.stall(world.people[index].client.id)),
            19 => self.with_connected(|world, index| world.bench.drain(world.people[index].client.id)),
            20 => {
                let time = self.chance.below(1500) as u64;
                self.bench.wait(millis(time));
            }
            21 => {
                let time = self.chance.below(35_000) as u64;
                self.bench.wait(millis(time));
            }
            22 => self.with_connected(World::say_again),
            23 => self.with_connected(|world, index| match world.chance.one_in(2) {
                true => world.resume(index), // while its line is up: its twin is replaced
                false => world.quit(index),
            }),
            _ => {}
        }
        self.note_new_lives();
        for index in 0..self.people.len() {
            if self.chance.one_in(2) {
                self.read(index);
            }
        }
    }

    fn with_connected(&mut self, act: impl FnOnce(&mut World, usize)) {
        self.with(|person| person.lost_at.is_none(), act);
    }

    fn with_lost(&mut self, act: impl FnOnce(&mut World, usize)) {
        self.with(|person| person.lost_at.is_some(), act);
    }

    fn with(&mut self, is_meant: impl Fn(&Person) -> bool, act: impl FnOnce(&mut World, usize)) {
        let indices: Vec<usize> = (0..self.people.len()).filter(|&index| is_meant(&self.people[index])).collect();
        if !indices.is_empty() {
            let index = indices[self.chance.below(indices.len())];
            act(self, index);
        }
    }

    /// A room that was forgotten begins anew, and nobody was in it.
    fn note_new_lives(&mut self) {
        for (name, room) in &mut self.rooms {
            let epoch = self.bench.hub.rooms.get(*name).map(|room| room.epoch.to_string()).unwrap_or_default();
            if room.epoch != epoch {
                let is_in = |person: &Person| {
                    person.lost_at.is_none() && person.views.get(*name).is_some_and(|view| view.epoch != epoch)
                };
                assert!(!self.people.iter().any(is_in), "{name} was forgotten while somebody was in it");
                *room = Room { epoch, ..Room::default() };
            }
        }
    }

    // ---- coming and going

    fn arrive(&mut self) {
        let id = self.bench.announced();
        if self.chance.one_in(4) {
            self.bench.stall(id);
        }
        let mut rooms = json!({});
        for name in ROOMS {
            if self.chance.one_in(2) {
                rooms[name] = json!({"state": self.chance.one_in(2), "presence": self.chance.one_in(2)});
            }
        }
        let client = self.bench.hello(id, json!({"rooms": rooms}));
        self.note_new_lives();
        let views = View::all_of(&client.welcome, &BTreeMap::new());
        self.people.push(Person { client, lost_at: None, views, patches: BTreeMap::new(), last_chat: None });
    }

    fn lose(&mut self, index: usize) {
        let id = self.people[index].client.id;
        self.bench.take(id); // what it has not read is lost with its line
        self.bench.lose(id);
        self.people[index].lost_at = Some(self.bench.out.now);
        self.people[index].patches.clear();
    }

    fn quit(&mut self, index: usize) {
        let person = self.people.swap_remove(index);
        self.bench.end(person.client.id, End::ClosedByPeer(Some(CloseCode::NORMAL)));
        self.bench.take(person.client.id);
    }

    fn resume(&mut self, index: usize) {
        let before = self.people[index].client.clone();
        let id = self.bench.announced();
        if self.chance.one_in(3) {
            self.bench.stall(id);
        }
        let with_positions = !self.chance.one_in(4);
        let mut hello = json!({"resume": {"session": before.session, "token": before.token}});
        if with_positions {
            let views = &self.people[index].views;
            hello["rooms"] = views.iter().map(|(name, view)| (name.clone(), view.options())).collect();
        }
        let client = self.bench.hello(id, hello);
        let lost_at = self.people[index].lost_at;
        let is_within = lost_at.is_none_or(|lost_at| self.bench.out.now < lost_at + seconds(60));
        assert_eq!(client.welcome["resumed"], is_within);
        assert_eq!(client.session == before.session, is_within);
        if lost_at.is_none() {
            assert_eq!(self.bench.closed(before.id), Some((4003, "replaced")));
            self.bench.take(before.id);
            self.bench.end(before.id, End::ClosedByUs(CloseCode::REPLACED));
        }
        let person = &mut self.people[index];
        if !is_within {
            person.last_chat = None;
        }
        person.patches.clear();
        person.lost_at = Some(self.bench.out.now); // until its views are those of the welcome
        self.note_new_lives();
        let person = &mut self.people[index];
        person.lost_at = None;
        if !with_positions {
            person.views.clear();
        }
        person.views = View::all_of(&client.welcome, &person.views);
        person.client = client;
    }

    fn join(&mut self, index: usize) {
        self.read(index);
        let name = ROOMS[self.chance.below(3)];
        let person = &self.people[index];
        let mut join = match person.views.get(name) {
            Some(view) if self.chance.one_in(2) => view.options(),
            _ => json!({"state": self.chance.one_in(2), "presence": self.chance.one_in(2)}),
        };
        let known = person.views.get(name).filter(|_| !join["since"].is_null()).cloned();
        let going_on = join["since"].is_null();
        (join["type"], join["id"], join["room"]) = (json!("join"), json!("join"), json!(name));
        let person = &self.people[index];
        self.bench.say(person.client.id, join);
        self.note_new_lives();
        let person = &mut self.people[index];
        let sent = self.bench.out.sent.get_mut(&person.client.id).expect("an answer");
        // What was gathered for it before comes first: it is read as of the view that it had.
        let at = sent.iter().position(|text| text.starts_with(r#"{"type":"ack","id":"join""#)).expect("an ack");
        let behind = sent.split_off(at + 1);
        let ack: Value = serde_json::from_str(&sent.pop().unwrap()).unwrap();
        self.read(index);
        let person = &mut self.people[index];
        let mut view = View::of(&ack, known.as_ref());
        if let Some(earlier) = person.views.get(name).filter(|_| going_on) {
            view.go_on(earlier);
        }
        person.views.insert(name.to_owned(), view);
        self.bench.out.sent.insert(person.client.id, behind);
    }

    fn leave(&mut self, index: usize) {
        self.read(index);
        let name = ROOMS[self.chance.below(3)];
        let person = &mut self.people[index];
        let code = person.views.remove(name).map_or(json!("not_joined"), |_| Value::Null);
        let answer = self.bench.ask(&person.client, json!({"type": "leave", "id": 1, "room": name}));
        assert_eq!(answer["code"], code);
        self.bench.take(person.client.id);
        // Of the other rooms it has lost what was gathered: it joins them again from where it was.
        let names: Vec<String> = person.views.keys().cloned().collect();
        for name in names {
            self.rejoin(index, &name);
        }
    }

    fn rejoin(&mut self, index: usize, name: &str) {
        let person = &mut self.people[index];
        let mut join = person.views[name].options();
        (join["type"], join["id"], join["room"]) = (json!("join"), json!("again"), json!(name));
        self.bench.say(person.client.id, join);
        let sent = self.bench.out.sent.get_mut(&person.client.id).expect("an answer");
        let ack: Value = serde_json::from_str(&sent.remove(0)).unwrap();
        assert_eq!(ack["id"], "again", "nothing was gathered");
        let view = View::of(&ack, person.views.get(name));
        person.views.insert(name.to_owned(), view);
        self.read(index);
    }

    // ---- saying

    fn publish(&mut self, room: &str, session: String, from: Option<ConnId>, plain: &str) {
        self.note_new_lives();
        let said = self.said;
        self.rooms.get_mut(room).expect("one of three").chats.push((session, said));
        if room == "lobby" {
            for (_, expected) in self.plain.iter_mut().filter(|(id, _)| Some(*id) != from) {
                expected.push(plain.to_owned());
            }
        }
    }

    fn chat(&mut self) {
        self.with_connected(|world, index| {
            world.said += 1;
            let said = world.said;
            let person = &mut world.people[index];
            let names: Vec<String> = person.views.keys().cloned().collect();
            let Some(name) = names.get(world.chance.below(3)) else { return };
            let chat = json!({"type": "chat", "id": format!("c{said}"), "room": name, "msg": said});
            let session = person.client.session.clone();
            world.bench.say(person.client.id, chat.clone());
            world.publish(name, session, None, &format!(r#"{{"type":"chat","msg":{said}}}"#));
            let (seq, now) = (world.rooms[&**name].chats.len() as u64, world.bench.out.now);
            world.people[index].last_chat = Some((chat, seq, now));
        });
    }

    fn say_again(&mut self, index: usize) {
        let person = &self.people[index];
        let Some((chat, seq, said_at)) = person.last_chat.clone() else { return };
        let is_known = self.bench.out.now < said_at + Options::default().repeat_window();
        if !is_known || !person.views.contains_key(chat["room"].as_str().unwrap()) {
            return;
        }
        let answer = self.bench.ask(&person.client, chat);
        assert_has(&answer, &json!({"type": "ack", "seq": seq, "duplicate": true}));
    }

    fn plain_chat(&mut self) {
        if self.plain.is_empty() {
            return;
        }
        self.said += 1;
        let id = self.plain[self.chance.below(self.plain.len())].0;
        let text = format!(r#"{{"msg" : {}, "type":"chat"}}"#, self.said);
        self.bench.say_text(id, &text);
        let session = self.bench.hub.session(id).unwrap().to_string();
        self.publish("lobby", session, Some(id), &text);
    }

    fn patch(&mut self) {
        self.with_connected(|world, index| {
            world.said += 1;
            let names: Vec<String> = world.people[index].views.keys().cloned().collect();
            let Some(name) = names.get(world.chance.below(3)) else { return };
            let value = match world.chance.below(4) {
                0 => Value::Null,
                1 => json!({"x": world.said, "y": null}),
                2 => json!({"y": {"z": world.said}}),
                _ => json!(world.said),
            };
            let patch = json!({["k", "l", "m"][world.chance.below(3)]: value});
            let person = &mut world.people[index];
            let id = format!("p{}", world.said);
            let mut message = json!({"type": "patch", "id": id, "room": name, "patch": patch});
            let base = world.chance.one_in(3).then_some(person.views[name].version);
            if let Some(base) = base {
                message["base"] = json!(base);
            }
            world.bench.say(person.client.id, message);
            person.patches.insert(id, (name.clone(), patch.clone()));
            let room = world.rooms.get_mut(&**name).expect("one of three");
            if base.is_none_or(|base| base == room.version) {
                room.version += 1;
                merge(&mut room.state, &patch);
            }
            assert_eq!(world.bench.hub.rooms[&**name].state.version(), room.version);
        });
    }

    // ---- reading

    fn read(&mut self, index: usize) {
        let person = &mut self.people[index];
        let messages = self.bench.take(person.client.id);
        let flat = messages.into_iter().flat_map(|message| match message {
            Value::Array(messages) => messages,
            message => vec![message],
        });
        for message in flat {
            let first = |room: &str| self.bench.hub.rooms[room].log.first();
            person.read(&message, &self.rooms, first);
        }
    }

    /// All come back, read to the end, and must know all; then all go, and nothing is left.
    fn finish(mut self) {
        for index in 0..self.people.len() {
            if self.people[index].lost_at.is_some() {
                self.resume(index);
            }
            self.bench.drain(self.people[index].client.id);
        }
        self.bench.wait(seconds(2));
        for index in 0..self.people.len() {
            self.read(index);
            let person = &self.people[index];
            for (name, view) in &person.views {
                view.check_end(&person.client.session, &self.rooms[&**name]);
                let present = self.bench.hub.rooms[&**name].presence.profiles();
                view.check_presence(&person.client.session, present.map(|profile| profile.session.to_string()));
            }
        }
        for (id, expected) in std::mem::take(&mut self.plain) {
            assert_eq!(self.bench.texts(id), expected);
            self.bench.lose(id);
        }
        for person in &self.people {
            self.bench.lose(person.client.id);
        }
        self.bench.wait(seconds(60));
        assert!(self.bench.is_empty(), "something is left");
    }
}

#[test]
fn whatever_clients_do_nobody_misses_anything_unsaid() {
    for seed in 0..3000 {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..60).for_each(|_| world.step());
            world.finish();
        });
        assert!(outcome.is_ok(), "in the run with the seed {seed}");
    }
}
