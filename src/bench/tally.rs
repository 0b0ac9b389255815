//! Who has heard what: for each receiver and sender the message that comes next, and those that were skipped.

use std::collections::HashMap;

/// Messages of each sender are numbered from 0; each receiver must hear each of them once, in that order.
#[derive(Debug)]
pub(crate) struct Tally {
    senders: usize,
    /// By receiver and sender: the number that must come next.
    next: Vec<u32>,
    /// Numbers that were skipped and have not come since, as ranges, lowest first.
    skipped: HashMap<usize, Vec<(u32, u32)>>,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
}

/// What a message is to its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The next one, or one after this many that were skipped.
    Next { skipped: u32 },
    /// One that was skipped before.
    Late,
    /// One that came before.
    Again,
}

impl Tally {
    pub(crate) fn new(receivers: usize, senders: usize) -> Tally {
        Tally { senders, next: vec![0; receivers * senders], skipped: HashMap::new(), duplicated: 0, reordered: 0 }
    }

    /// Counts a message.
    #[inline]
    pub(crate) fn hear(&mut self, receiver: usize, sender: usize, number: u32) -> Heard {
        let pair = receiver * self.senders + sender;
        let next = self.next[pair];
        if number >= next {
            self.next[pair] = number + 1;
            if number > next {
                self.skipped.entry(pair).or_default().push((next, number));
            }
            return Heard::Next { skipped: number - next };
        }
        self.hear_late(pair, number)
    }

    #[cold]
    fn hear_late(&mut self, pair: usize, number: u32) -> Heard {
        let ranges = self.skipped.entry(pair).or_default();
        let Some(place) = ranges.iter().position(|&(start, end)| (start..end).contains(&number)) else {
            self.duplicated += 1;
            return Heard::Again;
        };
        let (start, end) = ranges.remove(place);
        let rest = [(start, number), (number + 1, end)];
        ranges.splice(place..place, rest.into_iter().filter(|(start, end)| start < end));
        self.reordered += 1;
        Heard::Late
    }

    /// The number that this receiver has to hear next from this sender.
    pub(crate) fn next(&self, receiver: usize, sender: usize) -> u32 {
        self.next[receiver * self.senders + sender]
    }

    /// How many of the first `sent` messages of a sender this receiver has not heard.
    pub(crate) fn missing(&self, receiver: usize, sender: usize, sent: u32) -> u64 {
        let pair = receiver * self.senders + sender;
        let skipped = self.skipped.get(&pair).into_iter().flatten().map(|&(start, end)| u64::from(end - start));
        skipped.sum::<u64>() + u64::from(sent.saturating_sub(self.next[pair]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of the messages that one receiver hears of one sender, of 10 that were sent.
    fn hear(numbers: &[u32]) -> (u64, u64, u64) {
        let mut tally = Tally::new(3, 2);
        for &number in numbers {
            tally.hear(1, 1, number);
        }
        for (receiver, sender) in [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1)] {
            assert_eq!(tally.missing(receiver, sender, 10), 10, "the others are another matter");
        }
        (tally.missing(1, 1, 10), tally.duplicated, tally.reordered)
    }

    #[test]
    fn lost_duplicated_and_reordered_are_told_apart_exactly() {
        for (numbers, expected) in [
            (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9][..], (0, 0, 0)),
            (&[], (10, 0, 0)),
            (&[0, 1, 2, 3, 4, 5, 6, 7, 8], (1, 0, 0)),
            (&[0, 1, 2, 4, 5, 6, 7, 8, 9], (1, 0, 0)),
            (&[9], (9, 0, 0)),
            (&[0, 1, 2, 4, 3, 5, 6, 7, 8, 9], (0, 0, 1)),
            (&[0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9], (0, 2, 0)),
            (&[5, 1, 3, 1, 0, 2, 4, 6, 7, 8, 9], (0, 1, 5)),
            (&[9, 8, 7, 6, 5, 4, 3, 2, 1, 0], (0, 0, 9)),
            (&[2, 6, 4, 4, 0], (6, 1, 2)),
        ] {
            assert_eq!(hear(numbers), expected, "{numbers:?}");
        }
    }

    #[test]
    fn it_says_what_each_message_is() {
        let mut tally = Tally::new(1, 1);
        let heard = [0, 3, 1, 1, 0].map(|number| tally.hear(0, 0, number));
        let next = |skipped| Heard::Next { skipped };
        assert_eq!(heard, [next(0), next(2), Heard::Late, Heard::Again, Heard::Again]);
        assert_eq!(tally.next(0, 0), 4);
    }
}
