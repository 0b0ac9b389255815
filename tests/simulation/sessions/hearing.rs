//! What somebody must hear, and must not.

use std::time::Instant;

use serde_json::{Value, json};

use super::super::random::Random;
use super::ledger::Ledger;
use super::person::{Person, ROOMS, STATE_ROOM, Temper, View};
use super::saying::UnansweredPatch;

impl Person {
    pub(super) fn hear(
        &mut self,
        message: &Value,
        ledger: &mut Ledger,
        temper: &Temper,
        now: Instant,
        random: &mut Random,
    ) {
        let number = |name: &str| message[name].as_u64().unwrap_or_else(|| panic!("no {name}: {message:.300}"));
        match message["type"].as_str().expect("a type") {
            "welcome" => self.welcome(message, ledger, temper, now, random),
            "ack" => self.hear_ack(message, ledger),
            "error" => self.hear_error(message, ledger),
            "chat" => self.hear_chat(message, ledger),
            "gap" => self.hear_gap(message, ledger),
            "patch" => self.hear_patch(message, ledger),
            "state" => {
                assert!(self.follows && message["room"] == STATE_ROOM, "it did not ask for it: {message:.300}");
                self.replica.hear_whole(number("version"), &message["state"], &mut ledger.patches);
                ledger.count.whole_states += 1;
            }
            "presence" => {
                assert!(self.follows && message["room"] == STATE_ROOM, "it did not ask for it: {message:.300}");
                let (own, _) = self.session.as_ref().expect("a session");
                let (gone, renewed) = self.company.hear(message, (own, &self.info.current));
                ledger.count.left += gone;
                ledger.count.renewed += renewed;
            }
            "signal" => self.hear_signal(message, ledger),
            "disconnect" => {
                self.goodbye = Some((number("code"), message["reason"].as_str().expect("a word").to_owned()));
            }
            other => panic!("{other} was not asked for: {message:.300}"),
        }
    }

    fn welcome(&mut self, welcome: &Value, ledger: &mut Ledger, temper: &Temper, now: Instant, random: &mut Random) {
        assert!(!std::mem::replace(&mut self.is_welcome, true), "welcome once");
        self.welcomes += 1;
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
        let (session, _) = self.session.as_ref().expect("a session");
        ledger.sessions.insert(session.clone());
        self.info.hear_welcome(is_resumed);
        self.hear_joined(&welcome["rooms"][STATE_ROOM], self.has_said_version, ledger);
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
            let has_missed = view.epoch != epoch || view.seen < head;
            // Chats wait for the state, so that own ones of this line may come behind it.
            let is_state_due = self.follows && self.has_said_version && room == STATE_ROOM;
            (view.is_replayed, view.is_open) = (has_missed || is_state_due, false);
            ledger.count.replayed += usize::from(has_missed);
        }
        if is_resumed && random.one_in(2) {
            self.patch(random, ledger, 0); // before it has heard what it missed
        }
    }

    /// What an answer tells a follower, beside where the chats are.
    fn hear_joined(&mut self, joined: &Value, has_said_version: bool, ledger: &mut Ledger) {
        let epoch = joined["epoch"].as_str().expect("an epoch");
        if !self.follows {
            let unasked = ["version", "state", "members"].map(|name| joined.get(name));
            assert_eq!(unasked, [None; 3], "it did not ask for it");
            return epoch.clone_into(&mut self.replica.epoch);
        }
        self.replica.answer(epoch, joined, has_said_version, &mut ledger.patches);
        self.company.answer(joined, &self.session.as_ref().expect("a session").0);
    }

    fn hear_ack(&mut self, message: &Value, ledger: &mut Ledger) {
        let number = |name: &str| message[name].as_u64().unwrap_or_else(|| panic!("no {name}: {message:.300}"));
        let text = |name: &str| message[name].as_str().expect("a text").to_owned();
        if message["id"].is_u64() {
            let n = number("id");
            ledger.note((text("room"), text("epoch"), number("seq")), (self.index, n));
            ledger.count.duplicates += usize::from(message["duplicate"] == true);
            let before = self.unanswered.len();
            self.unanswered.retain(|chat| chat.n != n);
            assert_eq!(self.unanswered.len() + 1, before, "one answer for each request: {message:.300}");
            return;
        }
        let id = text("id");
        if id.starts_with('p') {
            let UnansweredPatch { base, patch } = self.answered_patch(&id);
            let version = number("version");
            assert!(base.is_none_or(|base| base + 1 == version), "it was for another version: {message}");
            let (session, _) = self.session.as_ref().expect("a session");
            ledger.patches.note((self.replica.epoch.clone(), version), session, &patch);
            if self.follows {
                ledger.count.ran_ahead += usize::from(self.replica.acknowledge(version, &patch));
            }
            return;
        }
        assert!(self.requests.remove(&id), "one answer for each request: {message:.300}");
        if id.starts_with('j') {
            self.hear_joined(message, false, ledger);
        }
    }

    fn answered_patch(&mut self, id: &str) -> UnansweredPatch {
        let n = id.strip_prefix('p').and_then(|n| n.parse().ok()).expect("the id of a patch");
        self.patches.remove(&n).expect("one answer for each request")
    }

    /// The only thing that is ever refused is a patch for another version.
    fn hear_error(&mut self, message: &Value, ledger: &mut Ledger) {
        assert_eq!(message["code"], "version_conflict", "{message:.300}");
        let patch = self.answered_patch(message["id"].as_str().expect("an id"));
        let version = message["version"].as_u64().expect("a version");
        self.replica.check_conflict(patch.base.expect("a base"), version);
        ledger.count.conflicts += 1;
    }

    fn hear_patch(&mut self, message: &Value, ledger: &mut Ledger) {
        assert!(self.follows && message["room"] == STATE_ROOM, "it did not ask for it: {message:.300}");
        let version = message["version"].as_u64().expect("a version");
        let from = message["from"]["session"].as_str().expect("a session");
        let is_own = self.session.as_ref().is_some_and(|(own, _)| own == from);
        ledger.patches.note((self.replica.epoch.clone(), version), from, &message["patch"]);
        ledger.count.own_patches += usize::from(is_own);
        ledger.count.patches_replayed += usize::from(self.replica.hear(version, is_own, &message["patch"]));
    }

    /// It may be lost, but comes in order and once.
    fn hear_signal(&mut self, message: &Value, ledger: &mut Ledger) {
        let [by, n] = [0, 1].map(|index| message["data"][index].as_u64().expect("a number"));
        let by = by as usize;
        assert_ne!(by, self.index, "it hears itself: {message}");
        let (session, room) = &ledger.signals[&(by, n)];
        let signal = json!({"type": "signal", "room": room, "from": {"session": session}, "data": [by, n]});
        assert_eq!(*message, signal);
        let before = self.signals_heard.insert(by, n);
        assert!(before < Some(n), "{n} of {by} comes after {before:?}");
        ledger.count.signals += 1;
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
                let is_state_told = !self.follows || room != STATE_ROOM || self.replica.version().is_some();
                assert!(is_state_told, "the state comes first");
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
        self.is_welcome && self.unanswered.is_empty() && self.patches.is_empty() && self.requests.is_empty()
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

    /// The session that it has now.
    pub(super) fn own_session(&self) -> &str {
        &self.session.as_ref().expect("a session").0
    }

    /// The life of a room's log that it knows.
    pub(super) fn epoch(&self, room: &str) -> &str {
        &self.views[room].epoch
    }
}
