//! How much may come at once, and how much by the second: connections of an address, messages of a client.

use std::time::{Duration, Instant};

/// A bucket that runs empty by so many drops a second. It holds as many as run out in [`BURST`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    empty_at: Instant,
}

impl Bucket {
    pub(crate) fn empty(now: Instant) -> Bucket {
        Bucket { empty_at: now }
    }

    /// When it will be empty, or was.
    pub(crate) fn empty_at(&self) -> Instant {
        self.empty_at
    }

    /// Goes on where another one was.
    pub(crate) fn go_on(&mut self, empty_at: Instant) {
        self.empty_at = self.empty_at.max(empty_at);
    }

    /// How high it stands with one drop more: what it then takes to run empty.
    pub(crate) fn level_with_a_drop(&self, per_second: u32, now: Instant) -> Duration {
        self.empty_at.saturating_duration_since(now) + time_of_a_drop(per_second)
    }

    /// Pours in one drop, though not above [`BURST`].
    pub(crate) fn pour(&mut self, per_second: u32, now: Instant) {
        self.pour_up_to(BURST, per_second, now);
    }

    /// Pours in one drop, though not above `most`.
    pub(crate) fn pour_up_to(&mut self, most: Duration, per_second: u32, now: Instant) {
        self.empty_at = now + self.level_with_a_drop(per_second, now).min(most);
    }
}

/// What it takes one drop to run out. Above a billion a second there is no limit.
pub(crate) fn time_of_a_drop(per_second: u32) -> Duration {
    Duration::from_secs(1) / per_second
}

/// What may come at once: as much as in so long.
pub(crate) const BURST: Duration = Duration::from_secs(2);
