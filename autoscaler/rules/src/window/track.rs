//! One aspect of one metric of one instance: a ring of buckets, 8 bytes each.

use super::{Aspect, Need};
use crate::units::{Milli, Second};

/// Marks a bucket without a sample. No sample has this value: see [`crate::units::VALUE_MAX`].
const MISSING: Milli = Milli::MIN;

/// A ring: bucket `k` is kept at `k` modulo the capacity, for the buckets before `end`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Track {
    /// Lowest, highest, or, for means, the sum.
    values: Vec<Milli>,
    /// Number of samples; only for means.
    counts: Vec<u32>,
    /// The bucket after the newest.
    end: i64,
    /// Second of the newest sample.
    newest: Option<Second>,
    /// A digest of all that is kept, independent of the order in which it came.
    digest: u64,
}

impl Track {
    /// Whether the sample was kept; it is not when it is older than the ring.
    pub(super) fn push(&mut self, need: &Need, at: Second, value: Milli) -> bool {
        let bucket = need.bucket(at);
        if self.values.is_empty() {
            self.values = vec![MISSING; need.capacity()];
            if need.aspect == Aspect::Mean {
                self.counts = vec![0; need.capacity()];
            }
            self.end = bucket;
        }
        if bucket < self.end - self.length() {
            return false;
        }
        self.advance(bucket + 1);
        let slot = self.slot(bucket);
        self.digest = self.digest.wrapping_sub(self.mark(bucket, slot));
        self.merge(need, slot, value);
        self.digest = self.digest.wrapping_add(self.mark(bucket, slot));
        self.newest = self.newest.max(Some(at));
        true
    }

    fn merge(&mut self, need: &Need, slot: usize, value: Milli) {
        let kept = &mut self.values[slot];
        let idle = need.metric.zero_is_idle();
        if idle && value == 0 && *kept != MISSING {
            return;
        }
        let first = *kept == MISSING || (idle && *kept == 0);
        *kept = match need.aspect {
            _ if first => value,
            Aspect::Lowest => value.min(*kept),
            Aspect::Highest => value.max(*kept),
            Aspect::Mean => kept.saturating_add(value),
        };
        if let Some(count) = self.counts.get_mut(slot) {
            *count = if first { 1 } else { count.saturating_add(1) };
        }
    }

    /// Forget what falls out of the ring when `end` becomes the bucket after the newest.
    fn advance(&mut self, end: i64) {
        let first = self.end.max(end - self.length());
        for bucket in first..end {
            let slot = self.slot(bucket);
            let gone = bucket - self.length();
            self.digest = self.digest.wrapping_sub(self.mark(gone, slot));
            self.values[slot] = MISSING;
            if let Some(count) = self.counts.get_mut(slot) {
                *count = 0;
            }
        }
        self.end = self.end.max(end);
    }

    /// The aspect in this bucket, or in the last one before it that still `stands`.
    pub(crate) fn at(&self, bucket: i64, stands: u32) -> Option<Milli> {
        (0..=i64::from(stands)).find_map(|back| self.exactly(bucket - back))
    }

    fn exactly(&self, bucket: i64) -> Option<Milli> {
        if bucket >= self.end || bucket < self.end - self.length() {
            return None;
        }
        let slot = self.slot(bucket);
        let value = self.values[slot];
        match self.counts.get(slot) {
            _ if value == MISSING => None,
            Some(count) => Some(value.div_euclid(Milli::from((*count).max(1)))),
            None => Some(value),
        }
    }

    /// Second of the newest sample.
    pub(crate) fn newest(&self) -> Option<Second> {
        self.newest
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.values.capacity() * size_of::<Milli>()
            + self.counts.capacity() * size_of::<u32>()
    }

    fn length(&self) -> i64 {
        i64::try_from(self.values.len()).unwrap_or(i64::MAX)
    }

    fn slot(&self, bucket: i64) -> usize {
        usize::try_from(bucket.rem_euclid(self.length())).unwrap_or(0)
    }

    fn mark(&self, bucket: i64, slot: usize) -> u64 {
        match self.values[slot] {
            MISSING => 0,
            value => {
                let count = self.counts.get(slot).copied().unwrap_or(1);
                crate::digest::mix(&[bucket, value, i64::from(count)])
            }
        }
    }
}
