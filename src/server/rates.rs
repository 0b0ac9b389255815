//! New connections a second: a token bucket for each address.

use std::collections::HashMap;
use std::time::Instant;

use super::bucket::{BURST, Bucket};
use super::shrink::shrink_map;

/// The buckets that are not empty. Who has none here has an empty one.
///
/// They are at most [`BUCKETS_MAX`]. A bucket is empty again after two seconds at the latest; where so many come meanwhile that
/// more than half of that are needed, all are forgotten: a flood from so many addresses is not held by a rate of each.
#[derive(Debug)]
pub(super) struct Rates {
    per_second: u32,
    /// By the [household](super::network::household) of an address.
    buckets: HashMap<u128, Bucket>,
    /// With so many it is looked which of them are empty: twice as many as were left the last time.
    sweep_len: usize,
}

impl Rates {
    /// So many a second, and twice as many at once.
    pub(super) fn new(per_second: u32) -> Rates {
        Rates { per_second, buckets: HashMap::new(), sweep_len: SWEEP_LEN_MIN }
    }

    /// Whether one more fits.
    pub(super) fn has_room(&self, household: u128, now: Instant) -> bool {
        let bucket = self.buckets.get(&household);
        bucket.is_none_or(|bucket| bucket.level_with_a_drop(self.per_second, now) <= BURST)
    }

    pub(super) fn count(&mut self, household: u128, now: Instant) {
        if self.buckets.len() >= self.sweep_len && !self.buckets.contains_key(&household) {
            self.sweep(now);
        }
        self.buckets.entry(household).or_insert(Bucket::empty(now)).pour(self.per_second, now);
    }

    fn sweep(&mut self, now: Instant) {
        self.buckets.retain(|_, bucket| bucket.empty_at() > now);
        if self.sweep_len == BUCKETS_MAX && self.buckets.len() > BUCKETS_MAX / 2 {
            self.buckets.clear();
        }
        shrink_map(&mut self.buckets);
        self.sweep_len = (2 * self.buckets.len()).clamp(SWEEP_LEN_MIN, BUCKETS_MAX);
    }
}

/// Addresses that have come within the last two seconds.
const BUCKETS_MAX: usize = 65_536;

/// So few are not worth a look.
const SWEEP_LEN_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn arrives(rates: &mut Rates, household: u128, now: Instant) -> bool {
        let has_room = rates.has_room(household, now);
        if has_room {
            rates.count(household, now);
        }
        has_room
    }

    #[test]
    fn each_address_has_its_rate_with_twice_as_many_at_once() {
        let start = Instant::now();
        let mut rates = Rates::new(3);
        let mut arrivals_at = |household: u128, millis: u64| {
            let now = start + Duration::from_millis(millis);
            (0..100).take_while(|_| arrives(&mut rates, household, now)).count()
        };
        assert_eq!(arrivals_at(1, 0), 6);
        assert_eq!(arrivals_at(1, 333), 0);
        assert_eq!(arrivals_at(2, 333), 6, "another address does not notice");
        assert_eq!(arrivals_at(1, 334), 1);
        assert_eq!(arrivals_at(1, 1334), 3);
        assert_eq!(arrivals_at(1, 1000), 0, "a clock that goes back gives nothing");
        assert_eq!(arrivals_at(1, 1_000_000), 6, "what is not used is not saved up");
    }

    #[test]
    fn the_highest_rate_does_not_overflow() {
        let start = Instant::now();
        let mut rates = Rates::new(u32::MAX);
        rates.count(1, start);
        assert!(rates.has_room(1, start) && rates.has_room(1, start + Duration::from_secs(1_000_000)));
    }

    #[test]
    fn buckets_that_are_empty_again_go_when_the_table_has_doubled() {
        let start = Instant::now();
        let mut rates = Rates::new(1);
        // A thousand addresses a second, of each of which one connection comes: its bucket is empty again after a second.
        for number in 0..100_000 {
            let now = start + Duration::from_millis(number);
            assert!(arrives(&mut rates, u128::from(number), now));
            assert!(rates.buckets.len() <= 2002, "{} after {number}", rates.buckets.len());
        }
        let end = start + Duration::from_secs(100);
        assert!(arrives(&mut rates, 99_999, end) && !arrives(&mut rates, 99_999, end), "those that are not empty stay");
        for number in 0..3000 {
            assert!(arrives(&mut rates, number, end + Duration::from_secs(number as u64)));
        }
        assert!(rates.buckets.len() <= SWEEP_LEN_MIN && rates.buckets.capacity() <= 4 * SWEEP_LEN_MIN);
    }

    #[test]
    fn more_addresses_than_the_table_holds_are_forgotten_at_once() {
        let now = Instant::now();
        let mut rates = Rates::new(1);
        let mut largest = 0;
        for number in 0..200_000 {
            assert!(arrives(&mut rates, number, now) && arrives(&mut rates, number, now));
            assert!(!arrives(&mut rates, number, now), "{number} has used up its own");
            largest = largest.max(rates.buckets.len());
        }
        assert_eq!(largest, BUCKETS_MAX);
        assert!(arrives(&mut rates, 0, now), "forgotten");
    }
}
