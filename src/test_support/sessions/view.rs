//! What one client knows of one room, and whether what it is sent goes on from there.

use serde_json::Value;

use super::model::{Model, People, Room};
use crate::chat::wire::request::JoinOptions;

/// Numbers that come in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Order {
    /// The next one; unknown where nobody can know how much of a log is left.
    pub(super) next: Option<u64>,
    /// Up to here one's own may come too: they come with what was missed.
    pub(super) own_until: u64,
}

impl Order {
    /// One comes. Those that were left out were its reader's own, and its own do not come live.
    fn advance(&mut self, to: u64, is_own: impl Fn(u64) -> bool) {
        if let Some(next) = self.next {
            assert!(next <= to, "{to} comes after {}", next - 1);
            assert!((next..to).all(&is_own), "{next} to {to}: one was lost silently");
        }
        assert!(to <= self.own_until || !is_own(to), "{to} is its own, and live");
        self.next = Some(to + 1);
    }

    fn check_end(&self, head: u64, is_own: impl Fn(u64) -> bool) {
        if let Some(next) = self.next {
            assert!(next <= head + 1 && (next..=head).all(is_own), "{next} to {head}: one was lost silently");
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) chats: Order,
    /// Patches, where it wants to hear of the state.
    pub(super) patches: Option<Order>,
    /// A gap of this kind must come first.
    is_reset: bool,
    /// The state must come before its patches.
    is_state_due: bool,
    present: Option<People>,
    /// It asked who is there, and was told how many: so much waited for it already.
    is_counted: bool,
    /// It said where it is, so that nothing of before counts.
    has_position: bool,
    /// How many of the last chats it asked for.
    last: u64,
    /// It asked for things without asking for an answer: nobody knows from where on they came.
    pub(super) is_loose: bool,
}

impl View {
    pub(super) fn loose() -> View {
        View { is_loose: true, ..View::default() }
    }

    /// What a client knows that joined with these options and was told this.
    pub(super) fn of(model: &Model, room: &Room, options: &JoinOptions<'_>, told: &Value) -> View {
        let (head, first, is_simple) = (room.chats.len() as u64, model.first(room), model.has_simple_logs());
        assert_eq!(told["seq"], head, "the position at the join: {told}");
        let (chats, has_position) = (Order { next: Some(head + 1), own_until: head }, options.since.is_some());
        let mut view = View { chats, has_position, last: options.last.unwrap_or(0), ..View::default() };
        let is_same = |epoch: &str| room.epoch.as_deref() == Some(epoch);
        match (&options.since, options.last) {
            (Some(since), _) => {
                view.is_reset = !is_same(&since.epoch) || since.seq > head;
                let is_there = !view.is_reset && since.seq + 1 >= first;
                assert!(!is_simple || told["recovered"] == is_there, "{is_there}: {told}");
                assert!(!view.is_reset || told["recovered"] == false, "{told}");
                view.chats.next = if view.is_reset { is_simple.then_some(first) } else { Some(since.seq + 1) };
            }
            (None, Some(last)) => {
                let from = (head + 1).saturating_sub(last).max(first);
                view.chats.next = (is_simple || from > head).then_some(from);
            }
            (None, None) => {}
        }
        assert_eq!(told["recovered"].is_null(), options.since.is_none(), "{told}");
        if options.state {
            let version = room.version();
            assert_eq!(told["version"], version, "the version at the join");
            let known = options.since.as_ref().filter(|since| is_same(&since.epoch)).and_then(|since| since.version);
            let known = known.filter(|&known| known <= version);
            view.is_state_due = told["state"].is_null() && known.is_none();
            if !told["state"].is_null() {
                assert_eq!(told["state"], room.states[room.patches.len()]);
            }
            view.patches = Some(Order { next: Some(known.unwrap_or(version) + 1), own_until: version });
        }
        view
    }

    /// Who joins again and does not say from where still gets what was on its way.
    pub(super) fn going_on(mut self, earlier: Option<View>, room: &Room, own: &str) -> View {
        let Some(earlier) = earlier.filter(|_| !self.has_position) else { return self };
        let head = self.chats.own_until;
        let mut rest = earlier.chats.next.map_or(0..0, |next| next..head + 1);
        let has_all = !earlier.is_reset && earlier.chats.next.is_some() && rest.all(|seq| room.is_own(seq, own));
        self.is_loose = earlier.is_loose;
        self.is_reset = earlier.is_reset;
        // Who has all may have been through or not: then nobody knows whether the last ones come again.
        self.chats.next = earlier.chats.next.filter(|_| !has_all || self.last == 0);
        self
    }

    pub(super) fn show(&mut self, members: &Value, expected: &People) {
        let members = people(members);
        assert_eq!(members, *expected, "who is there");
        self.present = Some(members);
    }

    fn chat(&mut self, text: &str, message: &Value, room: &Room, own: &str) {
        let seq = message["seq"].as_u64().expect("a number");
        let said = seq.checked_sub(1).and_then(|at| room.chats.get(at as usize));
        assert_eq!(said.map(|(_, text)| &**text), Some(text), "what was said as {seq}");
        assert!(!self.is_reset, "the gap comes first");
        self.chats.advance(seq, |seq| room.is_own(seq, own));
    }

    fn gap(&mut self, message: &Value, room: &Room, model: &Model) {
        assert_eq!(message["epoch"].as_str(), room.epoch.as_deref());
        if message["reason"] == "reset" {
            assert!(std::mem::take(&mut self.is_reset), "nothing was reset: {message}");
            assert!(message["from_seq"].is_null() && message["to_seq"].is_null());
            return;
        }
        assert!(!self.is_reset && ["overrun", "expired"].map(Value::from).contains(&message["reason"]), "{message}");
        let [from, to] = ["from_seq", "to_seq"].map(|name| message[name].as_u64().expect("a number"));
        assert!(self.chats.next.is_none_or(|next| next == from), "{message} for {:?}", self.chats);
        assert!(from <= to && to <= room.chats.len() as u64);
        assert!(!model.has_simple_logs() || to < model.first(room), "what is there is in no gap: {message}");
        self.chats.next = Some(to + 1);
    }

    fn state(&mut self, message: &Value, room: &Room) {
        let version = message["version"].as_u64().expect("a number");
        assert_eq!(room.states.get(version as usize), Some(&message["state"]), "the state at {version}");
        let patches = self.patches.as_mut().expect("it asked for the state");
        assert!(self.is_state_due || patches.next.is_none_or(|next| next <= version + 1), "a state that is older");
        patches.next = Some(version + 1);
        self.is_state_due = false;
    }

    fn patch(&mut self, text: &str, message: &Value, room: &Room, own: &str) {
        let version = message["version"].as_u64().expect("a number");
        assert_eq!(room.patches.get(version as usize - 1).map(|(_, text)| &**text), Some(text), "the patch {version}");
        assert!(!self.is_state_due, "the state comes before its patches");
        let patches = self.patches.as_mut().expect("it asked for the state");
        patches.advance(version, |version| room.patches[version as usize - 1].0 == own);
    }

    /// There was no room in the answer for who is there.
    pub(super) fn count(&mut self, count: &Value, expected: &People) {
        assert_eq!(*count, 1 + expected.len(), "how many are there");
        self.is_counted = true;
    }

    fn presence(&mut self, message: &Value) {
        if self.is_counted {
            return;
        }
        let present = self.present.as_mut().expect("it asked for presence");
        let (joins, leaves) = (people(&message["joins"]), people(&message["leaves"]));
        assert!(joins.keys().all(|session| !leaves.contains_key(session)), "{message}");
        assert!(!(joins.is_empty() && leaves.is_empty()), "{message}");
        present.extend(joins);
        present.retain(|session, _| !leaves.contains_key(session));
    }

    /// Takes in a message of a room.
    pub(super) fn read(&mut self, text: &str, message: &Value, model: &Model, own: &str) {
        let name = message["room"].as_str().expect("it is of a room");
        let room = model.rooms.get(name).expect("a room with somebody in it is not forgotten");
        let message_type = message["type"].as_str().unwrap_or_default();
        if message_type == "signal" {
            assert!(model.signals.contains(text), "nobody gave the signal {text}");
            return assert_ne!(message["from"]["session"], own, "its own signal");
        }
        match message_type {
            _ if self.is_loose => {}
            "chat" => self.chat(text, message, room, own),
            "gap" => self.gap(message, room, model),
            "state" => self.state(message, room),
            "patch" => self.patch(text, message, room, own),
            "presence" => self.presence(message),
            other => panic!("no client is sent {other:?}"),
        }
    }

    /// Nothing is on the way: it has all.
    pub(super) fn check_all(&self, room: &Room, own: &str) {
        if self.is_loose {
            return;
        }
        assert!(!self.is_reset && !self.is_state_due, "something is missing: {self:?}");
        self.chats.check_end(room.chats.len() as u64, |seq| room.is_own(seq, own));
        if let Some(patches) = &self.patches {
            patches.check_end(room.version(), |version| room.patches[version as usize - 1].0 == own);
        }
    }

    /// All have been told who came and went.
    pub(super) fn check_presence(&self, own: &str, expected: &People) {
        let Some(present) = &self.present else { return };
        let mut others = present.clone();
        others.remove(own);
        assert_eq!(others, *expected, "who is there");
    }
}

fn people(list: &Value) -> People {
    let list = list.as_array().expect("a list of members");
    let person = |member: &Value| {
        let session = member["session"].as_str().expect("an id").to_owned();
        (session, member.get("info").map(Value::to_string))
    };
    list.iter().map(person).collect()
}
