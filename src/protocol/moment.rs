//! A time in half the room of an [`Instant`]: each idle connection keeps some.

use std::time::{Duration, Instant};

/// The time from which moments are counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(Instant);

/// Nanoseconds since an [`Epoch`]; enough for 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) u64);

impl Epoch {
    pub(crate) fn new(now: Instant) -> Epoch {
        Epoch(now)
    }

    /// A time before the epoch counts as the epoch.
    #[inline]
    pub(crate) fn moment(self, instant: Instant) -> Moment {
        Moment(instant.saturating_duration_since(self.0).as_nanos() as u64)
    }

    #[inline]
    pub(crate) fn instant(self, moment: Moment) -> Instant {
        self.0 + Duration::from_nanos(moment.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_instant_that_it_was_made_of() {
        let now = Instant::now();
        let epoch = Epoch::new(now);
        for later in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(400 * 24 * 60 * 60)] {
            assert_eq!(epoch.instant(epoch.moment(now + later)), now + later);
        }
        let later = Epoch::new(now + Duration::from_secs(1));
        assert_eq!(later.moment(now), Moment(0), "nothing is earlier");
    }
}
