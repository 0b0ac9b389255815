//! Deadlines of many peers of which all of one kind wait equally long.
//!
//! A list per kind in the order of arming is already in the order of expiry: no heap. The lists are linked through
//! one array that is indexed by the peers' keys, so that arming, disarming and expiry cost the same whether there are
//! ten peers or a million, and a peer that is gone leaves nothing behind.

use std::time::Instant;

use crate::protocol::moment::{Epoch, Moment};

/// The armed deadlines, at most one for each key.
#[derive(Debug)]
pub(crate) struct Timers<const KINDS: usize> {
    lists: [List; KINDS],
    links: Vec<Link>,
    /// By key: the kind of its deadline, or [`UNARMED`].
    kinds: Vec<u8>,
    epoch: Epoch,
}

#[derive(Debug, Clone, Copy)]
struct List {
    first: u32,
    last: u32,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    previous: u32,
    next: u32,
    deadline: Moment,
}

impl<const KINDS: usize> Timers<KINDS> {
    /// No deadline is armed. They are counted from `epoch`.
    pub(crate) fn new(epoch: Epoch) -> Timers<KINDS> {
        const { assert!(KINDS <= UNARMED as usize) };
        let lists = [List { first: NONE, last: NONE, len: 0 }; KINDS];
        Timers { lists, links: Vec::new(), kinds: Vec::new(), epoch }
    }

    /// Arms the deadline of a key, in place of the one before, or disarms it. Deadlines of one kind must not become
    /// earlier from one arming to the next.
    #[inline]
    pub(crate) fn set(&mut self, key: usize, deadline: Option<(usize, Moment)>) {
        if self.armed(key) == deadline {
            return;
        }
        self.unlink(key);
        let Some((kind, deadline)) = deadline else { return };
        if key >= self.links.len() {
            self.links.resize(key + 1, UNLINKED);
            self.kinds.resize(key + 1, UNARMED);
        }
        let list = self.lists[kind];
        self.kinds[key] = kind as u8;
        self.links[key] = Link { previous: list.last, next: NONE, deadline };
        self.lists[kind].last = key as u32;
        self.lists[kind].len += 1;
        if list.last == NONE {
            self.lists[kind].first = key as u32;
        } else {
            let last = &mut self.links[list.last as usize];
            debug_assert!(last.deadline <= deadline, "all of a kind wait equally long");
            last.next = key as u32;
        }
    }

    /// How many deadlines of one kind are armed.
    pub(crate) fn len(&self, kind: usize) -> usize {
        self.lists[kind].len
    }

    /// Disarms the deadline of one kind that was armed first, due or not, and returns its key.
    pub(crate) fn pop_oldest(&mut self, kind: usize) -> Option<usize> {
        let key = Some(self.lists[kind].first).filter(|&key| key != NONE)? as usize;
        self.unlink(key);
        Some(key)
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.firsts().map(|(_, deadline)| deadline).min().map(|deadline| self.epoch.instant(deadline))
    }

    /// Disarms a deadline that is due and returns its key.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<usize> {
        let now = self.epoch.moment(now);
        let (key, _) = self.firsts().find(|&(_, deadline)| deadline <= now)?;
        self.unlink(key);
        Some(key)
    }

    /// The oldest key of each kind.
    fn firsts(&self) -> impl Iterator<Item = (usize, Moment)> {
        let keys = self.lists.iter().filter(|list| list.first != NONE).map(|list| list.first as usize);
        keys.map(|key| (key, self.links[key].deadline))
    }

    /// Gives back the room of the keys above the last one that is armed.
    pub(crate) fn shrink(&mut self) {
        let end = self.kinds.iter().rposition(|&kind| kind != UNARMED).map_or(0, |last| last + 1);
        self.links.truncate(end);
        self.links.shrink_to_fit();
        self.kinds.truncate(end);
        self.kinds.shrink_to_fit();
    }

    /// The deadline of a key.
    #[inline]
    fn armed(&self, key: usize) -> Option<(usize, Moment)> {
        let kind = self.kinds.get(key).copied().filter(|&kind| kind != UNARMED)?;
        Some((kind.into(), self.links[key].deadline))
    }

    fn unlink(&mut self, key: usize) {
        let Some((kind, _)) = self.armed(key) else { return };
        self.kinds[key] = UNARMED;
        let Link { previous, next, .. } = self.links[key];
        self.lists[kind].len -= 1;
        match previous {
            NONE => self.lists[kind].first = next,
            previous => self.links[previous as usize].next = next,
        }
        match next {
            NONE => self.lists[kind].last = previous,
            next => self.links[next as usize].previous = previous,
        }
    }
}

const NONE: u32 = u32::MAX;
const UNLINKED: Link = Link { previous: NONE, next: NONE, deadline: Moment(0) };
const UNARMED: u8 = u8::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn deadlines_expire_in_their_order_whatever_was_armed_and_disarmed() {
        let start = Instant::now();
        let waits = [Duration::from_millis(7), Duration::from_millis(50)];
        let epoch = Epoch::new(start);
        let mut timers = Timers::<2>::new(epoch);
        let mut model: BTreeMap<usize, (usize, Instant)> = BTreeMap::new();
        let mut random = 1u32;
        let mut next = |bound: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 16) % bound
        };
        for step in 0..20_000 {
            let now = start + Duration::from_millis(step / 4);
            while let Some(key) = timers.pop_due(now) {
                let (_, deadline) = model.remove(&key).expect("it was armed");
                assert!(deadline <= now);
            }
            assert!(model.values().all(|&(_, deadline)| deadline > now), "nothing that is due stays");
            assert_eq!(timers.next_deadline(), model.values().map(|&(_, deadline)| deadline).min());
            for kind in 0..waits.len() {
                assert_eq!(timers.len(kind), model.values().filter(|armed| armed.0 == kind).count());
            }
            if next(50) == 0 {
                timers.shrink();
                assert_eq!(timers.links.len(), model.last_key_value().map_or(0, |(last, _)| last + 1));
            }
            if next(50) == 0 {
                let oldest = timers.pop_oldest(1).and_then(|key| model.remove(&key)).map(|(_, deadline)| deadline);
                assert!(model.values().filter(|armed| armed.0 == 1).all(|&(_, deadline)| Some(deadline) >= oldest));
            }
            let (key, kind) = (next(20) as usize, next(3) as usize);
            let deadline = waits.get(kind).map(|&wait| (kind, now + wait));
            timers.set(key, deadline.map(|(kind, deadline)| (kind, epoch.moment(deadline))));
            match deadline {
                Some(deadline) => drop(model.insert(key, deadline)),
                None => drop(model.remove(&key)),
            }
        }
    }

    #[test]
    fn arming_the_same_deadline_again_changes_nothing() {
        let now = Instant::now();
        let mut timers = Timers::<1>::new(Epoch::new(now));
        for _ in 0..3 {
            timers.set(4, Some((0, Moment(0))));
        }
        assert_eq!((timers.pop_due(now), timers.pop_due(now)), (Some(4), None));
        timers.set(9, None);
        assert_eq!(timers.next_deadline(), None);
    }
}
