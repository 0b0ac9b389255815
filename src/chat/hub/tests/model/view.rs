//! What a room must hold, and what one client knows of it.

use super::*;

/// What was said in a room, and its state.
pub(super) struct Room {
    pub(super) epoch: String,
    /// Who said what; the number of the first is 1.
    pub(super) chats: Vec<(String, u64)>,
    pub(super) version: u64,
    pub(super) state: Value,
}

impl Default for Room {
    fn default() -> Room {
        Room { epoch: String::new(), chats: Vec::new(), version: 0, state: json!({}) }
    }
}

/// What a client knows of a room.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) epoch: String,
    pub(super) seq: u64,
    pub(super) version: u64,
    /// The state, and `None` as long as it was not told.
    state: Option<Value>,
    wants_state: bool,
    present: Option<BTreeSet<String>>,
    /// It knows a position of another log: a gap is on the way.
    is_reset: bool,
    /// After such a gap: the next chat may have any number.
    is_open: bool,
}

impl View {
    /// What an answer tells of a room that is joined with the position of this view.
    pub(super) fn of(joined: &Value, known: Option<&View>) -> View {
        let number = |name: &str| joined[name].as_u64();
        let epoch = joined["epoch"].as_str().expect("an epoch").to_owned();
        let head = number("seq").expect("a number");
        let present = joined["members"]
            .as_array()
            .map(|members| members.iter().map(|member| member["session"].as_str().unwrap().to_owned()).collect());
        let is_reset = known.is_some_and(|known| known.is_lost() || known.epoch != epoch || known.seq > head);
        let told = joined["state"].is_object().then(|| joined["state"].clone());
        let kept = known.filter(|_| told.is_none());
        View {
            seq: known.map_or(head, |known| known.seq),
            version: kept.map_or_else(|| number("version").unwrap_or(0), |kept| kept.version),
            state: told.or_else(|| kept.and_then(|kept| kept.state.clone())),
            wants_state: number("version").is_some(),
            present,
            is_reset,
            is_open: false,
            epoch,
        }
    }

    /// It joined again and did not say from where: what was still to come does come.
    pub(super) fn go_on(&mut self, earlier: &View) {
        assert_eq!(self.epoch, earlier.epoch, "it was in the room");
        (self.seq, self.is_reset, self.is_open) = (earlier.seq, earlier.is_reset, earlier.is_open);
    }

    /// The rooms of a welcome.
    pub(super) fn all_of(welcome: &Value, known: &BTreeMap<String, View>) -> BTreeMap<String, View> {
        let rooms = welcome["rooms"].as_object().expect("rooms").iter();
        let view = |name: &String, joined| View::of(joined, known.get(name));
        rooms.map(|(name, joined)| (name.clone(), view(name, joined))).collect()
    }

    /// How a client that comes back joins the room.
    pub(super) fn options(&self) -> Value {
        let epoch = if self.is_lost() { "e_lost" } else { &self.epoch };
        let mut since = json!({"epoch": epoch, "seq": self.seq});
        if self.state.is_some() {
            since["version"] = json!(self.version);
        }
        json!({"state": self.wants_state, "presence": self.present.is_some(), "since": since})
    }

    /// It knows no position in this log.
    fn is_lost(&self) -> bool {
        self.is_reset || self.is_open
    }

    /// The next chat that it may be told of is this one: those between are its own.
    fn advance(&mut self, own: &str, room: &Room, to: u64) {
        assert!(!self.is_reset, "the gap comes first");
        if !std::mem::take(&mut self.is_open) {
            assert!(to > self.seq, "{to} again, in {self:?}");
            self.check_own(own, room, to - 1);
        }
    }

    fn check_own(&self, own: &str, room: &Room, to: u64) {
        for seq in self.seq + 1..=to {
            assert_eq!(room.chats[seq as usize - 1].0, own, "{seq} was missed and is not its own");
        }
    }

    fn apply(&mut self, version: u64, patch: &Value) {
        let Some(state) = self.state.as_mut().filter(|_| version > self.version) else { return };
        assert_eq!(version, self.version + 1, "a patch was missed");
        merge(state, patch);
        self.version = version;
    }

    /// All of a room has come.
    pub(super) fn check_end(&self, own: &str, room: &Room) {
        assert!(!self.is_reset && self.epoch == room.epoch);
        if !self.is_open {
            self.check_own(own, room, room.chats.len() as u64);
        }
        if self.wants_state {
            assert_eq!((self.version, self.state.as_ref()), (room.version, Some(&room.state)));
        }
    }

    pub(super) fn check_presence(&self, own: &str, present: impl Iterator<Item = String>) {
        let Some(known) = &self.present else { return };
        let mut known = known.clone();
        known.insert(own.to_owned());
        assert_eq!(known, present.collect::<BTreeSet<_>>());
    }
}

impl Person {
    /// Takes in one message. `first` is the oldest chat that a room still has.
    pub(super) fn read(&mut self, message: &Value, rooms: &BTreeMap<&str, Room>, first: impl Fn(&str) -> u64) {
        let own = &*self.client.session;
        let name = message["room"].as_str().unwrap_or_default();
        let number = |name: &str| message[name].as_u64().unwrap_or_else(|| panic!("no {name}: {message}"));
        match message["type"].as_str().expect("a type") {
            "ack" | "error" => self.read_answer(message),
            "chat" => {
                let (seq, room) = (number("seq"), &rooms[name]);
                let view = self.views.get_mut(name).expect("only of its rooms");
                view.advance(own, room, seq);
                view.seq = seq;
                let (session, said) = &room.chats[seq as usize - 1];
                assert_eq!((&message["from"]["session"], &message["msg"]), (&json!(session), &json!(said)));
            }
            "gap" => {
                let view = self.views.get_mut(name).expect("only of its rooms");
                assert_eq!(message["epoch"], *view.epoch);
                if message["reason"] == "reset" {
                    assert!(std::mem::replace(&mut view.is_reset, false), "{message}");
                    view.is_open = true;
                    return;
                }
                let (from, to) = (number("from_seq"), number("to_seq"));
                view.advance(own, &rooms[name], from);
                assert!(from <= to && to < first(name), "what is there is not in a gap: {message}");
                view.seq = to;
            }
            "state" => {
                let view = self.views.get_mut(name).expect("only of its rooms");
                (view.version, view.state) = (number("version"), Some(message["state"].clone()));
            }
            "patch" => {
                let view = self.views.get_mut(name).expect("only of its rooms");
                assert!(view.state.is_some(), "the state comes before its patches");
                view.apply(number("version"), &message["patch"]);
            }
            "presence" => {
                let present = self.views.get_mut(name).and_then(|view| view.present.as_mut()).expect("it asked");
                let sessions = |list: &Value| -> Vec<String> {
                    list.as_array().unwrap().iter().map(|m| m["session"].as_str().unwrap().to_owned()).collect()
                };
                present.extend(sessions(&message["joins"]));
                let leaves = sessions(&message["leaves"]);
                present.retain(|session| !leaves.contains(session));
            }
            other => panic!("{other}: {message}"),
        }
    }

    fn read_answer(&mut self, answer: &Value) {
        let id = answer["id"].as_str().expect("all requests have one");
        match self.patches.remove(id) {
            Some(_) if answer["code"] == "version_conflict" => {}
            Some((room, patch)) => {
                let version = answer["version"].as_u64().expect("a version");
                // With patches still on the way this one is among them.
                if let Some(view) = self.views.get_mut(&room).filter(|view| view.version + 1 == version) {
                    view.apply(version, &patch);
                }
            }
            None => assert_eq!(answer["type"], "ack", "{answer}"),
        }
    }
}

/// RFC 7396 §2, as it stands there.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return *target = patch.clone() };
    if !target.is_object() {
        *target = json!({});
    }
    let members = target.as_object_mut().expect("it was made one");
    for (name, value) in patch {
        if value.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}
