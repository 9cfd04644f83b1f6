//! Latencies counted in buckets that grow with the latency: bounded, and merged by adding.
//!
//! A bucket is a sixteenth of its power of two, so whatever is read out of a histogram is within
//! 3.2 % of what was put in.

use serde::{Deserialize, Serialize};

/// Buckets for each power of two.
const SUB_BUCKETS: usize = 16;
const SUB_BITS: u32 = 4;
/// Longest latency that is told apart from longer ones, microseconds: 17 minutes, where a request
/// may take 15.
const LATENCY_MAX_US: u64 = (1 << 30) - 1;
/// Buckets of one histogram.
pub const LATENCY_BUCKETS: usize = (30 - SUB_BITS as usize + 1) * SUB_BUCKETS;

/// The bucket of a latency, below `LATENCY_BUCKETS`.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "an index below LATENCY_BUCKETS"
)]
pub fn latency_bucket(microseconds: u64) -> usize {
    let value = microseconds.min(LATENCY_MAX_US);
    if value < SUB_BUCKETS as u64 {
        return value as usize;
    }
    let power = 63 - value.leading_zeros();
    let sub = (value >> (power - SUB_BITS)) as usize & (SUB_BUCKETS - 1);
    (power - SUB_BITS + 1) as usize * SUB_BUCKETS + sub
}

/// The middle of a bucket, microseconds.
#[must_use]
pub fn bucket_middle_us(bucket: usize) -> u64 {
    let (row, sub) = (bucket / SUB_BUCKETS, (bucket % SUB_BUCKETS) as u64);
    let Some(shift) = row.checked_sub(1) else {
        return sub;
    };
    let width = 1_u64 << shift.min(40);
    (SUB_BUCKETS as u64 + sub) * width + width / 2
}

/// How many requests took how long: pairs of a bucket and a count, in the order of buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latencies(pub Vec<(u16, u32)>);

impl Latencies {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Add what another has counted. Buckets that do not exist are passed over, so that what comes
    /// from outside can neither grow nor disorder it.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            if usize::from(*bucket) >= LATENCY_BUCKETS || *count == 0 {
                continue;
            }
            match self.0.binary_search_by_key(bucket, |(known, _)| *known) {
                Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(*count),
                Err(at) => self.0.insert(at, (*bucket, *count)),
            }
        }
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// The latency that `percent` of a hundred requests did not exceed, microseconds; none when
    /// there was no request.
    #[must_use]
    pub fn percentile_us(&self, percent: u8) -> Option<u64> {
        let count = self.count();
        let rank = (count * u64::from(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        let reaches = |(_, count): &&(u16, u32)| {
            seen += u64::from(*count);
            seen >= rank
        };
        let (bucket, _) = self.0.iter().find(reaches)?;
        Some(bucket_middle_us(usize::from(*bucket)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_within_three_percent_of_what_it_counts() {
        let mut last = 0;
        for power in 0..30 {
            for step in 0..64_u64 {
                let value = (1_u64 << power) + step * (1 << power) / 64;
                let bucket = latency_bucket(value);
                assert!(bucket >= last && bucket < LATENCY_BUCKETS, "{value}");
                last = bucket;
                let off = bucket_middle_us(bucket).abs_diff(value);
                assert!(off * 31 <= value, "{value} is off by {off}");
            }
        }
        assert_eq!(latency_bucket(u64::MAX), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn percentiles_of_merged_histograms_are_those_of_all_requests() {
        let of = |values: &[u64]| {
            let mut all = Latencies::default();
            for value in values {
                let bucket = u16::try_from(latency_bucket(*value)).expect("small");
                all.merge(&Latencies(vec![(bucket, 1)]));
            }
            all
        };
        let mut merged = of(&[10, 11, 12, 13, 14]);
        merged.merge(&of(&[1, 2, 3, 4, 5]));
        assert_eq!(merged.count(), 10);
        assert_eq!(merged.percentile_us(50), Some(5));
        assert_eq!(merged.percentile_us(90), Some(13));
        assert_eq!(merged.percentile_us(99), Some(14));
        assert_eq!(Latencies::default().percentile_us(99), None);
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        let mut all = Latencies::default();
        all.merge(&Latencies(vec![
            (u16::MAX, 9),
            (3, 0),
            (3, u32::MAX),
            (3, 1),
        ]));
        assert_eq!(all, Latencies(vec![(3, u32::MAX)]));
    }
}
