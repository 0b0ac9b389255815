//! What is counted, from when to when, and when messages are due in an open loop.

use std::ops::Range;
use std::time::Instant;

use super::histogram::Histogram;

/// The clock of a run: nanoseconds since it began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

/// What a run has seen.
#[derive(Debug)]
pub(crate) struct Measure {
    /// Messages of this time count.
    window: Range<u64>,
    /// The time of a message is when it was due, not when its reply came: so the slow ones count too, though they come
    /// after the end.
    is_open_loop: bool,
    pub(crate) latencies: Histogram,
    /// All messages, before and after the window too.
    pub(crate) received: u64,
    pub(crate) faults: Faults,
}

/// What went wrong, over the whole run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Faults {
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    /// They were in flight, and what was to come of them did not.
    pub(crate) lost: u64,
    /// In an open loop: they were due, and nothing had room for them by the end of the run.
    pub(crate) unsent: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
}

impl Measure {
    pub(crate) fn new(window: Range<u64>, is_open_loop: bool) -> Measure {
        Measure { window, is_open_loop, latencies: Histogram::new(), received: 0, faults: Faults::default() }
    }

    /// Counts messages that began at `start` and were complete at `end`.
    #[inline]
    pub(crate) fn record(&mut self, start: u64, end: u64, messages: u64) {
        self.received += messages;
        let time = if self.is_open_loop { start } else { end };
        if self.window.contains(&time) {
            self.latencies.add(end.saturating_sub(start), messages);
        }
    }

    pub(crate) fn window(&self) -> &Range<u64> {
        &self.window
    }

    /// Measures no longer than until now.
    pub(crate) fn end_window(&mut self, now: u64) {
        self.window.end = self.window.end.min(now).max(self.window.start);
    }
}

impl Faults {
    pub(crate) fn error(&mut self, problem: impl Into<String>) {
        self.errors += 1;
        if self.first_error.is_none() {
            self.first_error = Some(problem.into());
        }
    }

    pub(crate) fn are_none(&self) -> bool {
        self.errors + self.lost + self.unsent + self.duplicated + self.reordered == 0
    }
}

/// Open loop: message number n is due at `start + n / rate`, whatever came back so far. The messages are dealt to the
/// lanes (connections or senders) in turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    start: u64,
    interval: f64,
    lanes: u64,
}

impl Pace {
    pub(crate) fn new(start: u64, rate: f64, lanes: usize) -> Pace {
        Pace { start, interval: 1e9 / rate, lanes: lanes.max(1) as u64 }
    }

    /// When a message of a lane is due.
    #[inline]
    pub(crate) fn time(&self, lane: usize, message: u64) -> u64 {
        self.time_of(message * self.lanes + lane as u64)
    }

    /// When the message with this number is due.
    #[inline]
    pub(crate) fn time_of(&self, number: u64) -> u64 {
        self.start + (number as f64 * self.interval) as u64
    }

    /// How many of the first messages are those of a lane.
    pub(crate) fn share(&self, lane: usize, messages: u64) -> u64 {
        messages.saturating_sub(lane as u64).div_ceil(self.lanes)
    }

    /// The messages that are due by now, of all lanes.
    #[inline]
    pub(crate) fn due(&self, now: u64) -> u64 {
        match now.checked_sub(self.start) {
            Some(elapsed) => (elapsed as f64 / self.interval) as u64 + 1,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_closed_loop_counts_what_comes_in_the_window() {
        let mut measure = Measure::new(100..200, false);
        for (start, end) in [(50, 99), (50, 100), (150, 199), (199, 200)] {
            measure.record(start, end, 1);
        }
        assert_eq!((measure.received, measure.latencies.total(), measure.latencies.max()), (4, 2, 50));
    }

    #[test]
    fn in_an_open_loop_counts_what_was_due_in_the_window_however_late_it_comes() {
        let mut measure = Measure::new(100..200, true);
        for (start, end) in [(99, 150), (100, 110), (199, 100_000), (200, 201)] {
            measure.record(start, end, 1);
        }
        assert_eq!((measure.received, measure.latencies.total(), measure.latencies.max()), (4, 2, 99_801));
    }

    #[test]
    fn messages_are_due_at_even_intervals_and_dealt_in_turn() {
        let pace = Pace::new(1000, 1e8, 3);
        assert_eq!([0, 1, 999].map(|now| pace.due(now)), [0, 0, 0]);
        assert_eq!([1000, 1009, 1010, 1999, 2000].map(|now| pace.due(now)), [1, 1, 2, 100, 101]);
        assert_eq!((pace.time(0, 0), pace.time(2, 0), pace.time(0, 1), pace.time(1, 33)), (1000, 1020, 1030, 2000));
        for (messages, shares) in [(0, [0; 3]), (1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1; 3]), (7, [3, 2, 2])] {
            assert_eq!([0, 1, 2].map(|lane| pace.share(lane, messages)), shares, "of {messages}");
        }
        for number in 0..1000 {
            assert!(pace.due(pace.time_of(number)) >= number, "what is due is sent at its time");
        }
    }

    #[test]
    fn the_first_error_is_kept_and_all_are_counted() {
        let mut faults = Faults::default();
        assert!(faults.are_none());
        faults.error("one");
        faults.error("two");
        assert_eq!((faults.errors, faults.first_error.as_deref()), (2, Some("one")));
        assert!(!faults.are_none());
        assert!(!Faults { reordered: 1, ..Faults::default() }.are_none());
        assert!(!Faults { unsent: 1, ..Faults::default() }.are_none());
    }
}
