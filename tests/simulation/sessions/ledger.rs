//! All that anybody was told: each chat stands at one place in one log, and all agree where.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::state::Patches;

/// A room, a life of its log, and a number in it.
pub(super) type Place = (String, String, u64);

/// Who said a chat, and which of its own it is.
pub(super) type Said = (usize, u64);

pub(super) struct Ledger {
    chats: BTreeMap<Place, Said>,
    places: BTreeMap<Said, Place>,
    /// When each was said first.
    said: BTreeMap<Said, Instant>,
    now: Option<Instant>,
    /// So long an id is known.
    window: Duration,
    /// The last chat of each gap that was told.
    gaps: Vec<Place>,
    pub(super) patches: Patches,
    /// All signals: who gave each, which of its own it was, under which session, and where.
    pub(super) signals: BTreeMap<(usize, u64), (String, &'static str)>,
    /// All sessions that a client was told of as its own.
    pub(super) sessions: BTreeSet<String>,
    /// What happened, for a test that all of it does.
    pub(super) count: Count,
}

/// How often something happened.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Count {
    pub(crate) resumed: usize,
    pub(crate) expired_sessions: usize,
    pub(crate) replayed: usize,
    pub(crate) duplicates: usize,
    pub(crate) expired: usize,
    pub(crate) overrun: usize,
    pub(crate) reset: usize,
    pub(crate) slow: usize,
    pub(crate) replaced: usize,
    pub(crate) conflicts: usize,
    pub(crate) patches_replayed: usize,
    pub(crate) own_patches: usize,
    pub(crate) ran_ahead: usize,
    pub(crate) whole_states: usize,
    pub(crate) left: usize,
    pub(crate) renewed: usize,
    pub(crate) signals: usize,
}

impl Count {
    pub(crate) fn named(&self) -> [(&'static str, usize); 17] {
        [
            ("sessions resumed", self.resumed),
            ("sessions over", self.expired_sessions),
            ("replays", self.replayed),
            ("chats said again", self.duplicates),
            ("gaps: expired", self.expired),
            ("gaps: overrun", self.overrun),
            ("gaps: reset", self.reset),
            ("closed as slow", self.slow),
            ("closed as replaced", self.replaced),
            ("patches for an old version", self.conflicts),
            ("patches replayed", self.patches_replayed),
            ("own patches replayed", self.own_patches),
            ("acks before what was missed", self.ran_ahead),
            ("whole states", self.whole_states),
            ("who left", self.left),
            ("another info", self.renewed),
            ("signals", self.signals),
        ]
    }
}

impl Ledger {
    pub(super) fn new(window: Duration) -> Ledger {
        Ledger {
            chats: BTreeMap::new(),
            places: BTreeMap::new(),
            said: BTreeMap::new(),
            now: None,
            window,
            gaps: Vec::new(),
            patches: Patches::default(),
            signals: BTreeMap::new(),
            sessions: BTreeSet::new(),
            count: Count::default(),
        }
    }

    pub(super) fn tell_time(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// Somebody says a chat for the first time.
    pub(super) fn say(&mut self, said: Said, now: Instant) {
        self.said.insert(said, now);
    }

    /// Somebody was told that a chat stands there. What was said again is published again only where the time is over for
    /// which its id is known.
    pub(super) fn note(&mut self, place: Place, said: Said) {
        let before = *self.chats.entry(place.clone()).or_insert(said);
        assert_eq!(before, said, "two chats at {place:?}");
        let before = self.places.entry(said).or_insert_with(|| place.clone());
        let is_late = self.now.is_some_and(|now| now.duration_since(self.said[&said]) >= self.window);
        assert!(*before == place || is_late, "{said:?} was published twice: {before:?} and {place:?}");
    }

    pub(super) fn note_gap(&mut self, place: Place) {
        self.gaps.push(place);
    }

    pub(super) fn at(&self, place: &Place) -> Option<Said> {
        self.chats.get(place).copied()
    }

    /// The number of the last chat of a log that anybody was told of.
    pub(super) fn head(&self, room: &str, epoch: &str) -> u64 {
        let (room, epoch) = (room.to_owned(), epoch.to_owned());
        let log = self.chats.range((room.clone(), epoch.clone(), 0)..=(room, epoch, u64::MAX));
        log.last().map_or(0, |((_, _, seq), _)| *seq)
    }

    /// What a log of so many chats still has was in no gap.
    pub(super) fn check_gaps(&self, history: u64) {
        for (room, epoch, to) in &self.gaps {
            assert!(to + history <= self.head(room, epoch), "{to} was still in the log of {room}");
        }
    }
}
