//! One aspect of one metric of one instance: a ring of buckets, 8 bytes each. Sixteen buckets share
//! a summary, so that an hour that held is seen to hold at two dozen glances; and the comparison that
//! is asked most has its answer kept, so that it takes one.

use super::{Aspect, Need};
use crate::ast::{Comparison, Op};
use crate::units::{Milli, Second};

/// Marks a bucket without a sample. No sample has this value: see [`crate::units::VALUE_MAX`].
const MISSING: Milli = Milli::MIN;

/// Buckets of one summary. A ring has a power of two of buckets, and at least these.
pub(crate) const BLOCK: i64 = 16;
const BLOCK_SLOTS: usize = 16;

/// A ring: bucket `k` is kept at `k` modulo the length, for the buckets before `end`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Track {
    /// Lowest, highest, or, for means, the sum.
    values: Vec<Milli>,
    /// Number of samples; only for means.
    counts: Vec<u32>,
    /// Summaries; not for means.
    blocks: Vec<Block>,
    /// The bucket after the newest.
    end: i64,
    /// The first bucket from which on, up to `end`, every bucket is there and the mark holds in it.
    holds_from: i64,
    /// Second of the newest sample.
    newest: Option<Second>,
    /// A digest of all that is kept, independent of the order in which it came.
    digest: u64,
}

/// The comparison of which each track knows since when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Mark {
    op: Op,
    threshold: Milli,
}

impl Mark {
    pub(crate) fn of(comparison: &Comparison) -> Self {
        Self {
            op: comparison.op,
            threshold: comparison.threshold,
        }
    }

    fn holds(self, value: Option<Milli>) -> bool {
        value.is_some_and(|value| self.op.holds(value, self.threshold))
    }
}

/// What the buckets of a block have in common. It begins anew when the ring comes round to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Block {
    /// The lowest or the highest.
    extreme: Milli,
    present: u8,
}

impl Track {
    /// Whether the sample was kept; it is not when it is older than the ring.
    pub(super) fn push(
        &mut self,
        need: &Need,
        mark: Option<Mark>,
        at: Second,
        value: Milli,
    ) -> bool {
        let bucket = need.bucket(at);
        if self.values.is_empty() {
            let length = need.capacity().next_power_of_two().max(BLOCK_SLOTS);
            self.values = vec![MISSING; length];
            match need.aspect {
                Aspect::Mean => self.counts = vec![0; length],
                _ => self.blocks = vec![Block::default(); length / BLOCK_SLOTS],
            }
            self.end = bucket;
            self.holds_from = bucket;
        }
        if bucket < self.end - self.length() {
            return false;
        }
        self.advance(bucket + 1);
        let slot = self.slot(bucket);
        self.digest = self.digest.wrapping_sub(self.mark(bucket, slot));
        self.merge(need, bucket, value);
        self.digest = self.digest.wrapping_add(self.mark(bucket, slot));
        self.newest = self.newest.max(Some(at));
        if let Some(mark) = mark {
            self.note(mark, bucket);
        }
        true
    }

    /// The mark may hold in this bucket now, or no longer.
    fn note(&mut self, mark: Mark, bucket: i64) {
        let holds = mark.holds(self.exactly(bucket));
        if !holds {
            self.holds_from = self.holds_from.max(bucket + 1);
        } else if bucket + 1 == self.holds_from {
            self.trace_back(mark);
        }
    }

    /// Go back as far as the mark holds.
    fn trace_back(&mut self, mark: Mark) {
        while mark.holds(self.exactly(self.holds_from - 1)) {
            self.holds_from -= 1;
        }
    }

    /// Another comparison is asked from now on.
    pub(super) fn remark(&mut self, mark: Option<Mark>) {
        self.holds_from = self.end;
        if let Some(mark) = mark {
            self.trace_back(mark);
        }
    }

    /// Whether the mark is known to hold in every bucket from `first` up to, but without, `end`.
    /// `false` says nothing.
    pub(crate) fn mark_holds(&self, first: i64, end: i64) -> bool {
        self.holds_from <= first && end <= self.end
    }

    fn merge(&mut self, need: &Need, bucket: i64, value: Milli) {
        let slot = self.slot(bucket);
        let known = self.values[slot];
        let idle = need.metric.zero_is_idle();
        if idle && value == 0 && known != MISSING {
            return;
        }
        let first = known == MISSING || (idle && known == 0);
        self.values[slot] = match need.aspect {
            _ if first => value,
            Aspect::Lowest => value.min(known),
            Aspect::Highest => value.max(known),
            Aspect::Mean => known.saturating_add(value),
        };
        if let Some(count) = self.counts.get_mut(slot) {
            *count = if first { 1 } else { count.saturating_add(1) };
        }
        if self.values[slot] != known {
            self.summarise(need.aspect, bucket);
        }
    }

    /// Look again at the bucket's block.
    fn summarise(&mut self, aspect: Aspect, bucket: i64) {
        if self.blocks.is_empty() {
            return;
        }
        let first = bucket - bucket.rem_euclid(BLOCK);
        let mut block = Block::default();
        for value in (first..first + BLOCK).filter_map(|bucket| self.exactly(bucket)) {
            block.extreme = match aspect {
                _ if block.present == 0 => value,
                Aspect::Lowest => value.min(block.extreme),
                Aspect::Highest | Aspect::Mean => value.max(block.extreme),
            };
            block.present += 1;
        }
        let at = self.slot(first) / BLOCK_SLOTS;
        if let Some(known) = self.blocks.get_mut(at) {
            *known = block;
        }
    }

    /// Forget what falls out of the ring when `end` becomes the bucket after the newest.
    fn advance(&mut self, end: i64) {
        let first = self.end.max(end - self.length());
        if end > self.end + 1 {
            // What was leapt over is not there.
            self.holds_from = end - 1;
        }
        for bucket in first..end {
            let slot = self.slot(bucket);
            // After a leap the slot may hold a bucket of several rounds ago.
            let gone = bucket - self.length() * ((bucket - self.end) / self.length() + 1);
            self.digest = self.digest.wrapping_sub(self.mark(gone, slot));
            self.values[slot] = MISSING;
            if let Some(count) = self.counts.get_mut(slot) {
                *count = 0;
            }
            if let Some(block) = self.blocks.get_mut(slot / BLOCK_SLOTS) {
                *block = Block::default();
            }
        }
        self.end = self.end.max(end);
        self.holds_from = self.holds_from.max(self.end - self.length());
    }

    /// Whether the sixteen buckets from `first` on are all there and the comparison holds in each.
    /// `false` says nothing.
    pub(crate) fn block_holds(&self, first: i64, op: Op, threshold: Milli) -> bool {
        let within = first >= self.end - self.length() && first + BLOCK <= self.end;
        if !within || first.rem_euclid(BLOCK) != 0 {
            return false;
        }
        let block = self.blocks.get(self.slot(first) / BLOCK_SLOTS);
        block.is_some_and(|block| {
            i64::from(block.present) == BLOCK && op.holds(block.extreme, threshold)
        })
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
            + self.blocks.capacity() * size_of::<Block>()
    }

    fn length(&self) -> i64 {
        i64::try_from(self.values.len()).unwrap_or(i64::MAX)
    }

    /// The length is a power of two, so the remainder is a mask.
    fn slot(&self, bucket: i64) -> usize {
        usize::try_from(bucket & (self.length() - 1)).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::{Latency, Metric};
    use proptest::prelude::*;

    fn need(aspect: Aspect, metric: Metric) -> Need {
        Need {
            metric,
            aspect,
            width_s: 10,
            buckets: 30,
        }
    }

    #[test]
    fn idle_seconds_count_only_where_the_whole_bucket_is_idle() {
        let need = need(Aspect::Lowest, Metric::ResponseTime(Latency::P95));
        let mut track = Track::default();
        for (at, value) in [(1, 0), (2, 300), (3, 0), (4, 200), (11, 0), (12, 0)] {
            assert!(track.push(&need, None, at, value));
        }
        assert_eq!(
            (track.at(0, 0), track.at(1, 0), track.at(2, 0)),
            (Some(200), Some(0), None)
        );
    }

    #[test]
    fn means_are_of_the_samples_that_came() {
        let need = need(Aspect::Mean, Metric::Cpu);
        let mut track = Track::default();
        for (at, value) in [(1, 10), (5, 20), (10, 60)] {
            assert!(track.push(&need, None, at, value));
        }
        assert_eq!(track.at(0, 0), Some(30));
    }

    proptest! {
        #[test]
        fn a_track_is_what_a_plain_list_would_be(
            samples in prop::collection::vec((1..2_000_i64, 0..100_i64), 1..200),
            threshold in 0..100_i64,
        ) {
            let need = need(Aspect::Lowest, Metric::Cpu);
            let (mut track, mut backwards) = (Track::default(), Track::default());
            let mark = Mark { op: Op::Above, threshold };
            let mut kept = Vec::new();
            for (at, value) in &samples {
                if track.push(&need, Some(mark), *at, *value) {
                    kept.push((*at, *value));
                }
            }
            let lowest = |bucket: i64| {
                let of = kept.iter().filter(|(at, _)| need.bucket(*at) == bucket);
                of.map(|(_, value)| *value).min()
            };
            for bucket in track.end - track.length()..track.end + 2 {
                prop_assert_eq!(track.at(bucket, 0), lowest(bucket), "bucket {}", bucket);
                let holds = (bucket..bucket + BLOCK)
                    .all(|one| track.at(one, 0).is_some_and(|v| Op::Above.holds(v, threshold)));
                let whole = bucket.rem_euclid(BLOCK) == 0;
                prop_assert_eq!(track.block_holds(bucket, Op::Above, threshold), holds && whole);
                let to_the_end = (bucket..track.end)
                    .all(|one| track.at(one, 0).is_some_and(|v| Op::Above.holds(v, threshold)));
                prop_assert_eq!(track.mark_holds(bucket, track.end), to_the_end);
            }
            let mut asked_later = track.clone();
            asked_later.remark(None);
            asked_later.remark(Some(mark));
            prop_assert_eq!(&asked_later, &track);
            kept.sort_unstable_by(|a, b| b.cmp(a));
            for (at, value) in &kept {
                if need.bucket(*at) >= track.end - track.length() {
                    prop_assert!(backwards.push(&need, Some(mark), *at, *value));
                }
            }
            prop_assert_eq!(backwards.digest(), track.digest(), "the order does not matter");
            prop_assert_eq!(backwards.holds_from, track.holds_from);
        }
    }
}
