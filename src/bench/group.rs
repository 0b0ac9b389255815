//! A group of the chat: who hears whom, and which broadcasts are complete.

use std::collections::VecDeque;

use super::measure::Measure;
use super::tally::{Heard, Tally};

/// Members who hear each other; the first of them also send.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) tally: Tally,
    pub(crate) senders: Vec<Sender>,
    /// The connections of its members, and how many of them are open.
    pub(crate) connections: Vec<usize>,
    pub(crate) open: usize,
    /// The number of its first sender among those of all groups: so that a message names a sender of one group only.
    pub(crate) first_lane: usize,
}

#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) connection: usize,
    pub(crate) is_open: bool,
    pub(crate) is_ready: bool,
    /// Messages that are due, by the pace.
    pub(crate) due: u32,
    /// Messages sent, and those of them that are complete, counted from the first on.
    pub(crate) sent: u32,
    pub(crate) complete: u32,
    /// For each message that is not complete: when it was sent or due, and how many have yet to hear it.
    pub(crate) waiting: VecDeque<(u64, u32)>,
}

impl Group {
    pub(crate) fn new(connections: Vec<usize>, senders: usize, first_lane: usize) -> Group {
        let sender = |&connection: &usize| Sender {
            connection,
            is_open: true,
            is_ready: true,
            due: 0,
            sent: 0,
            complete: 0,
            waiting: VecDeque::new(),
        };
        let senders: Vec<Sender> = connections.iter().take(senders).map(sender).collect();
        let tally = Tally::new(connections.len(), senders.len());
        Group { tally, senders, open: connections.len(), connections, first_lane }
    }

    pub(crate) fn make_ready(&mut self, ready: &mut Vec<(usize, usize)>, group: usize, lane: usize) {
        if !std::mem::replace(&mut self.senders[lane].is_ready, true) {
            ready.push((group, lane));
        }
    }

    /// Deliveries that have yet to come.
    pub(crate) fn outstanding(&self) -> u64 {
        let receivers = self.open.saturating_sub(1) as u64;
        let of_sender = |sender: &Sender| {
            let unheard: u64 = sender.waiting.iter().map(|&(_, receivers)| u64::from(receivers)).sum();
            unheard + u64::from(sender.due.saturating_sub(sender.sent)) * receivers
        };
        self.senders.iter().filter(|sender| sender.is_open).map(of_sender).sum()
    }

    /// What a member has not heard of all that was sent.
    pub(crate) fn missing_of(&self, place: usize) -> u64 {
        let others = self.senders.iter().enumerate().filter(|&(lane, sender)| lane != place && sender.is_open);
        others.map(|(lane, sender)| self.tally.missing(place, lane, sender.sent)).sum()
    }

    /// A member heard a message of one of the senders of all groups. The sender's lane in this group, if it may send
    /// more now.
    #[inline]
    pub(crate) fn hear(
        &mut self,
        place: usize,
        sender: usize,
        number: u32,
        now: u64,
        measure: &mut Measure,
    ) -> Result<Option<usize>, String> {
        let lane = sender.wrapping_sub(self.first_lane);
        if lane == place {
            return Err("a member heard its own message".to_owned());
        }
        let Some(sender) = self.senders.get_mut(lane).filter(|sender| number < sender.sent) else {
            return Err(format!("message {number} of sender {sender} was heard, but never sent in this room"));
        };
        match self.tally.hear(place, lane, number) {
            Heard::Again => return Ok(None),
            Heard::Late => {}
            Heard::Next { skipped } => {
                if let Some((time, _)) = sender.message(number) {
                    measure.record(*time, now, 1);
                    return Ok(sender.heard(number - skipped, number + 1).then_some(lane));
                }
            }
        }
        measure.received += 1; // it is too late to know when it was sent
        Ok(None)
    }

    /// Nobody waits for this member any more.
    pub(crate) fn forget_receiver(&mut self, place: usize, group: usize, ready: &mut Vec<(usize, usize)>) {
        for lane in (0..self.senders.len()).filter(|&lane| lane != place) {
            let sender = &mut self.senders[lane];
            let is_complete = sender.heard(self.tally.next(place, lane), sender.sent);
            if is_complete {
                self.make_ready(ready, group, lane);
            }
        }
    }
}

impl Sender {
    /// A message that is not complete.
    #[inline]
    pub(crate) fn message(&mut self, number: u32) -> Option<&mut (u64, u32)> {
        self.waiting.get_mut(number.checked_sub(self.complete)? as usize)
    }

    /// One more has heard the messages from `start` to `end`, or never will; whether one of them is complete now.
    #[inline]
    pub(crate) fn heard(&mut self, start: u32, end: u32) -> bool {
        for number in start..end {
            if let Some((_, receivers)) = self.message(number) {
                *receivers -= 1;
            }
        }
        let before = self.complete;
        while self.waiting.front().is_some_and(|&(_, receivers)| receivers == 0) {
            self.waiting.pop_front();
            self.complete += 1;
        }
        self.complete > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_is_complete_when_all_have_heard_it_or_a_later_one_or_are_gone() {
        let mut measure = Measure::new(0..100, false);
        let mut group = Group::new(vec![0, 1, 2, 3], 1, 5);
        group.senders[0].sent = 3;
        group.senders[0].waiting.extend([(10, 3), (20, 3), (30, 3)]);
        let mut hear = |group: &mut Group, place, number| group.hear(place, 5, number, 50, &mut measure);
        assert_eq!(hear(&mut group, 1, 0), Ok(None));
        assert_eq!(hear(&mut group, 2, 1), Ok(None), "it will not hear 0");
        assert_eq!(group.outstanding(), 6);
        assert_eq!(hear(&mut group, 3, 0), Ok(Some(0)), "0 is complete");
        assert_eq!(hear(&mut group, 3, 0), Ok(None), "again");
        assert_eq!(group.senders[0].complete, 1);
        assert_eq!(hear(&mut group, 1, 1), Ok(None));
        let mut ready = Vec::new();
        group.senders[0].is_ready = false;
        group.forget_receiver(3, 0, &mut ready);
        assert_eq!((group.senders[0].complete, ready.as_slice()), (2, &[(0, 0)][..]), "3 is gone");
        assert_eq!((group.missing_of(1), group.missing_of(2), group.missing_of(0)), (1, 2, 0));
        assert!(hear(&mut group, 1, 3).unwrap_err().contains("never sent"));
        assert!(hear(&mut group, 0, 2).unwrap_err().contains("its own"));
        for sender in [0, 4, 6] {
            let error = group.hear(2, sender, 0, 50, &mut measure).unwrap_err();
            assert!(error.contains("never sent"), "{sender} does not send here: {error}");
        }
        assert_eq!((measure.received, group.tally.duplicated), (4, 1));
        assert_eq!(measure.latencies.max(), 40);
    }
}
