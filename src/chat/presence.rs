//! Who is in a room, and who came and went since its readers were told: one message for all of it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::agenda::Ticket;
use super::hub::options::PRESENCE_MAX;
use super::session::{Profile, SessionId};

/// The sessions that are present in a room, connected or in their grace.
#[derive(Debug, Default)]
pub struct Presence {
    present: BTreeMap<SessionId, Rc<Profile>>,
    /// Of what they say of themselves.
    info_bytes: usize,
    /// Since the readers were told last: who came (`true`) and went. Nobody who did both.
    changes: BTreeMap<SessionId, (bool, Rc<Profile>)>,
    told_at: Option<Instant>,
    /// Whether somebody was told who is there since: what it saw must be taken back, even if it came to nothing.
    was_shown: bool,
    /// When they will be told.
    pub ticket: Option<Ticket>,
}

/// What the readers are to be told.
#[derive(Debug, Default)]
pub struct News {
    /// Who came.
    pub joins: Vec<Rc<Profile>>,
    /// Who went.
    pub leaves: Vec<Rc<Profile>>,
}

impl Presence {
    /// Somebody is there. Whether that is new, or what it says of itself is.
    pub fn join(&mut self, profile: &Rc<Profile>) -> bool {
        let before = self.present.insert(profile.session, profile.clone());
        self.info_bytes += info_bytes(profile);
        self.info_bytes -= before.as_deref().map_or(0, info_bytes);
        if before.as_ref().is_some_and(|before| before.info == profile.info) {
            return false;
        }
        self.was_shown |= before.is_some(); // it is known as it was
        self.note(true, profile.clone());
        true
    }

    /// Somebody is there no longer. Whether that is new.
    pub fn leave(&mut self, session: SessionId) -> bool {
        let Some(profile) = self.present.remove(&session) else { return false };
        self.info_bytes -= info_bytes(&profile);
        self.note(false, profile);
        true
    }

    /// How many are there.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// What a list of them takes, about.
    pub fn told_bytes(&self) -> usize {
        self.info_bytes + self.len() * MEMBER_BYTES
    }

    /// Whether only their number is told, since a list of them would be too long.
    pub fn is_told_by_count(&self, bytes_max: usize) -> bool {
        self.len() > PRESENCE_MAX || self.told_bytes() > bytes_max
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Somebody is told who is there, as it is now.
    pub fn show(&mut self) -> impl Iterator<Item = &Rc<Profile>> {
        self.was_shown |= !self.changes.is_empty();
        self.present.values()
    }

    /// All who are there.
    pub fn profiles(&self) -> impl Iterator<Item = &Rc<Profile>> {
        self.present.values()
    }

    /// When the readers may be told: at once, or an interval after the last time. `None` if there is nothing new, or it is
    /// on the agenda already.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let is_new = !self.changes.is_empty() && self.ticket.is_none();
        is_new.then(|| self.told_at.map_or(now, |told_at| now.max(told_at + INTERVAL)))
    }

    /// Takes out what the readers are to be told now.
    pub fn take_news(&mut self, now: Instant) -> News {
        self.ticket = None;
        self.was_shown = false;
        let mut news = News::default();
        for (is_join, profile) in std::mem::take(&mut self.changes).into_values() {
            if is_join { &mut news.joins } else { &mut news.leaves }.push(profile);
        }
        if !news.joins.is_empty() || !news.leaves.is_empty() {
            self.told_at = Some(now);
        }
        news
    }

    /// Whoever comes and goes, or goes and comes, between two messages was not away or there for the readers.
    fn note(&mut self, is_join: bool, profile: Rc<Profile>) {
        let before = self.changes.remove(&profile.session);
        let is_undone = before.as_ref().is_some_and(|(was_join, _)| *was_join != is_join);
        let is_same = before.is_none_or(|(_, before)| before.info == profile.info);
        if is_undone && is_same && !self.was_shown {
            return;
        }
        self.was_shown |= !is_same; // it is known as it was
        self.changes.insert(profile.session, (is_join, profile));
    }
}

fn info_bytes(profile: &Profile) -> usize {
    profile.info.as_ref().map_or(0, |info| info.len())
}

/// What a member takes in a list, about, besides its `info`.
const MEMBER_BYTES: usize = 64;

/// A message of presence in a room at most so often.
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::session::SessionIds;

    #[test]
    fn who_came_and_went_is_told_once_a_second_and_not_at_all_if_it_came_to_nothing() {
        let mut ids = SessionIds::default();
        let people: Vec<Rc<Profile>> =
            (0..3).map(|_| Rc::new(Profile { session: ids.next_id().unwrap(), user: None, info: None })).collect();
        let [ann, bob, cid] = &people[..] else { panic!("three") };
        let (mut presence, start) = (Presence::default(), Instant::now());
        assert_eq!(presence.due(start), None);
        assert!(presence.join(ann) && !presence.join(ann));
        assert!(presence.join(bob) && presence.leave(bob.session) && !presence.leave(bob.session));
        assert_eq!(presence.due(start), Some(start), "the first time at once");
        let news = presence.take_news(start);
        assert_eq!((news.joins.len(), news.leaves.len()), (1, 0));
        assert_eq!(news.joins[0].session, ann.session);

        presence.leave(ann.session);
        presence.join(ann);
        assert_eq!(presence.due(start), None, "away and back");
        presence.join(cid);
        presence.leave(ann.session);
        assert_eq!(presence.due(start + INTERVAL / 2), Some(start + INTERVAL));
        assert_eq!(presence.due(start + INTERVAL * 2), Some(start + INTERVAL * 2));
        let news = presence.take_news(start + INTERVAL);
        assert_eq!((news.joins[0].session, news.leaves[0].session), (cid.session, ann.session));
        assert_eq!(presence.profiles().map(|profile| profile.session).collect::<Vec<_>>(), [cid.session]);
    }

    #[test]
    fn what_somebody_says_of_itself_anew_is_told_as_a_join() {
        let session = SessionIds::default().next_id().unwrap();
        let called = |name: &str| Rc::new(Profile { session, user: None, info: Some(name.into()) });
        let (mut presence, start) = (Presence::default(), Instant::now());
        let told = |presence: &mut Presence| {
            let News { joins, leaves } = presence.take_news(start);
            (joins.iter().map(|who| who.info.as_deref().unwrap().to_owned()).collect::<Vec<_>>().concat(), leaves.len())
        };
        presence.join(&called("a"));
        assert_eq!(told(&mut presence), ("a".to_owned(), 0));
        assert!(!presence.join(&called("a")) && presence.join(&called("b")));
        assert_eq!(told(&mut presence), ("b".to_owned(), 0));
        presence.leave(session);
        presence.join(&called("c"));
        assert_eq!(told(&mut presence), ("c".to_owned(), 0), "away and back with another name");
        for name in ["d", "e"] {
            presence.leave(session);
            presence.join(&called(name));
        }
        presence.leave(session);
        assert_eq!(told(&mut presence), (String::new(), 1), "the readers know it as it was");
    }
}
