//! New connections a second: a token bucket for each address.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::shrink::shrink_map;

/// The buckets that are not full. Who has none here has a full one.
///
/// They are at most [`BUCKETS_MAX`]. A bucket is full again after two seconds at the latest; where so many come meanwhile that
/// more than half of that are needed, all are forgotten: a flood from so many addresses is not held by a rate of each.
#[derive(Debug)]
pub(super) struct Rates {
    per_second: u32,
    /// By the [household](super::network::household) of an address.
    buckets: HashMap<u128, Bucket>,
    /// With so many it is looked which of them are full: twice as many as were left the last time.
    sweep_len: usize,
}

impl Rates {
    /// So many a second, and twice as many at once.
    pub(super) fn new(per_second: u32) -> Rates {
        Rates { per_second, buckets: HashMap::new(), sweep_len: SWEEP_LEN_MIN }
    }

    pub(super) fn has_token(&mut self, household: u128, now: Instant) -> bool {
        let Some(bucket) = self.buckets.get_mut(&household) else { return true };
        bucket.fill(self.per_second, now);
        bucket.level >= TOKEN
    }

    pub(super) fn take_token(&mut self, household: u128, now: Instant) {
        if self.buckets.len() >= self.sweep_len && !self.buckets.contains_key(&household) {
            self.sweep(now);
        }
        let full = Bucket { level: capacity(self.per_second), at: now };
        let bucket = self.buckets.entry(household).or_insert(full);
        bucket.level = bucket.level.saturating_sub(TOKEN);
    }

    fn sweep(&mut self, now: Instant) {
        let per_second = self.per_second;
        self.buckets.retain(|_, bucket| {
            bucket.fill(per_second, now);
            bucket.level < capacity(per_second)
        });
        if self.sweep_len == BUCKETS_MAX && self.buckets.len() > BUCKETS_MAX / 2 {
            self.buckets.clear();
        }
        shrink_map(&mut self.buckets);
        self.sweep_len = (2 * self.buckets.len()).clamp(SWEEP_LEN_MIN, BUCKETS_MAX);
    }
}

#[derive(Debug)]
struct Bucket {
    /// In billionths of a token.
    level: u64,
    at: Instant,
}

impl Bucket {
    fn fill(&mut self, per_second: u32, now: Instant) {
        // What it takes to fill it is there after two seconds: more of them would be too many for the number.
        let elapsed = now.saturating_duration_since(self.at).min(Duration::from_secs(2)).as_nanos() as u64;
        self.at = self.at.max(now);
        let filled = self.level.saturating_add(elapsed * u64::from(per_second));
        self.level = filled.min(capacity(per_second));
    }
}

/// At most 2^33 billion, which fits.
fn capacity(per_second: u32) -> u64 {
    2 * u64::from(per_second) * TOKEN
}

const TOKEN: u64 = 1_000_000_000;

/// Addresses that have come within the last two seconds.
const BUCKETS_MAX: usize = 65_536;

/// So few are not worth a look.
const SWEEP_LEN_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn arrives(rates: &mut Rates, household: u128, now: Instant) -> bool {
        let has_token = rates.has_token(household, now);
        if has_token {
            rates.take_token(household, now);
        }
        has_token
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
        rates.take_token(1, start);
        assert!(rates.has_token(1, start + Duration::from_secs(1_000_000)));
        assert_eq!(rates.buckets[&1].level, capacity(u32::MAX));
    }

    #[test]
    fn buckets_that_are_full_again_go_when_the_table_has_doubled() {
        let start = Instant::now();
        let mut rates = Rates::new(1);
        // A thousand addresses a second, of each of which one connection comes: its bucket is full again after a second.
        for number in 0..100_000 {
            let now = start + Duration::from_millis(number);
            assert!(arrives(&mut rates, u128::from(number), now));
            assert!(rates.buckets.len() <= 2002, "{} after {number}", rates.buckets.len());
        }
        let end = start + Duration::from_secs(100);
        assert!(arrives(&mut rates, 99_999, end) && !arrives(&mut rates, 99_999, end), "those that are not full stay");
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
