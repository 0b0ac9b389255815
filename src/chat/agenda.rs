//! What is to be done when: an entry in order of time.

use std::collections::BTreeMap;
use std::time::Instant;

/// Things to do, each at its time; those of one time in the order in which they were entered.
#[derive(Debug)]
pub struct Agenda<T> {
    entries: BTreeMap<Ticket, T>,
    entered: u64,
}

/// An entry, for whoever wants to cross it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    at: Instant,
    number: u64,
}

impl<T> Agenda<T> {
    /// Enters something to do.
    pub fn add(&mut self, at: Instant, thing: T) -> Ticket {
        let ticket = Ticket { at, number: self.entered };
        self.entered += 1;
        self.entries.insert(ticket, thing);
        ticket
    }

    /// Crosses an entry out. One that was done already is no longer there.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.entries.remove(&ticket);
    }

    /// The time of the first entry.
    pub fn next(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|(ticket, _)| ticket.at)
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the first entry out, whether or not its time has come.
    pub fn pop_first(&mut self) -> Option<T> {
        self.entries.pop_first().map(|(_, thing)| thing)
    }

    /// Takes the first entry out whose time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        let entry = self.entries.first_entry().filter(|entry| entry.key().at <= now)?;
        Some(entry.remove())
    }
}

impl<T> Default for Agenda<T> {
    fn default() -> Agenda<T> {
        Agenda { entries: BTreeMap::new(), entered: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn things_are_due_in_order_of_time_and_not_before() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut agenda = Agenda::default();
        assert_eq!(agenda.next(), None);
        let tickets =
            [(30, 'c'), (10, 'a'), (10, 'b'), (20, 'x'), (40, 'd')].map(|(ms, what)| agenda.add(at(ms), what));
        agenda.cancel(tickets[3]);
        assert_eq!(agenda.next(), Some(at(10)));
        assert_eq!(agenda.pop_due(at(9)), None);
        let due: Vec<char> = std::iter::from_fn(|| agenda.pop_due(at(30))).collect();
        assert_eq!(due, ['a', 'b', 'c']);
        agenda.cancel(tickets[0]);
        assert_eq!((agenda.next(), agenda.pop_due(at(40)), agenda.next()), (Some(at(40)), Some('d'), None));
        agenda.add(at(60), 'f');
        agenda.add(at(50), 'e');
        assert_eq!((agenda.len(), agenda.pop_first(), agenda.pop_first()), (2, Some('e'), Some('f')));
        assert!(agenda.is_empty() && agenda.pop_first().is_none());
    }
}
