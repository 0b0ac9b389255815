//! Latencies counted in buckets of a fixed number: 128 to each power of two, so that a bucket is less than 0.8 % wide.

/// How often each value (in ns, say) occurred.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }

    /// Counts a value `times` times.
    #[inline]
    pub(crate) fn add(&mut self, value: u64, times: u64) {
        self.counts[bucket(value)] += times;
        self.total += times;
        self.max = self.max.max(value);
    }

    /// The number of values.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The greatest value, exactly; 0 if there is none.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The smallest value that is not exceeded by this share of the values (0.5 for the median), rounded up to the end
    /// of its bucket; 0 if there is none.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((share * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return greatest(index).min(self.max);
            }
        }
        0
    }
}

/// Values below 2^8 have a bucket each; above, the 8 highest bits tell the bucket.
#[inline]
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION_BITS + 1);
    ((shift as usize) << PRECISION_BITS) + (value >> shift) as usize
}

/// The greatest value of a bucket.
fn greatest(bucket: usize) -> u64 {
    let shift = (bucket >> PRECISION_BITS).saturating_sub(1);
    let first = (bucket - (shift << PRECISION_BITS)) as u128;
    (((first + 1) << shift) - 1) as u64
}

const PRECISION_BITS: u32 = 7;
const BUCKETS: usize = ((u64::BITS - PRECISION_BITS + 1) << PRECISION_BITS) as usize;

#[cfg(test)]
mod tests {
    use super::*;

    /// The value at this share of a sorted list, exactly.
    fn exact(sorted: &[u64], share: f64) -> u64 {
        sorted[(share * sorted.len() as f64).ceil() as usize - 1]
    }

    fn check(mut values: Vec<u64>) {
        let mut histogram = Histogram::new();
        values.iter().for_each(|&value| histogram.add(value, 1));
        values.sort_unstable();
        assert_eq!(histogram.total(), values.len() as u64);
        assert_eq!(Some(histogram.max()), values.last().copied());
        for share in [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let (found, exact) = (histogram.quantile(share), exact(&values, share));
            let above = found.checked_sub(exact).expect("a quantile is rounded up, never down");
            assert!(above as f64 <= exact as f64 / 128.0, "{share}: {found}, exactly {exact}");
        }
    }

    /// Numbers without a pattern, the same in each run.
    fn numbers(count: usize) -> impl Iterator<Item = u64> {
        let next = |x: &u64| Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        std::iter::successors(Some(7), next).take(count).map(|x| x >> 3)
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values_within_one_per_cent() {
        check((1..=10_000).collect());
        check(numbers(50_000).map(|x| x % 1_000_000_000).collect());
        // Many magnitudes, as in a long tail.
        check(numbers(50_000).map(|x| (1 << (x % 50)) | (x % 1000)).collect());
        check(numbers(3).collect());
        check(vec![u64::MAX, 0, 1]);
        check(vec![5; 100]);
    }

    #[test]
    fn each_value_lies_in_its_bucket_and_buckets_follow_each_other() {
        for bits in 0..64 {
            for value in [1 << bits, (1 << bits) - 1, (1 << bits) | 1, (1u64 << bits) + (1 << bits >> 1)] {
                let bucket = bucket(value);
                assert!(bucket < BUCKETS && value <= greatest(bucket), "{value}");
                assert!(bucket == 0 || value > greatest(bucket - 1), "{value}");
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(greatest(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn a_value_counted_often_weighs_as_often() {
        let mut histogram = Histogram::new();
        histogram.add(10, 99);
        histogram.add(1000, 1);
        assert_eq!((histogram.quantile(0.5), histogram.quantile(0.99), histogram.quantile(1.0)), (10, 10, 1000));
    }

    #[test]
    fn without_values_all_is_0() {
        let histogram = Histogram::new();
        assert_eq!((histogram.total(), histogram.max(), histogram.quantile(0.5)), (0, 0, 0));
    }
}
