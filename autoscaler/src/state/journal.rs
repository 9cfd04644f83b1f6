//! Evidence on disk: the samples that each app's rules still look at, a batch every few seconds.
//! After a restart they are read back, and log-cache fills in what came since.

use std::collections::{BTreeMap, VecDeque};

use cfx_protocol::id::AppGuid;
use cfx_rules::ast::Metric;
use cfx_rules::units::{Milli, Second};
use cfx_store::commit::{Op, VALUE_BYTES_MAX};
use cfx_store::store::Entry;

use super::record::SampleBatch;
use super::{SAMPLES, StateError, put, read};

/// Seconds between two batches: what a restart asks log-cache for again.
pub(crate) const BATCH_S: Second = 10;
/// Room that one sample takes on disk at most, beside its metric's name, bytes.
const SAMPLE_BYTES_MAX: usize = 56;
/// What a part may have of these, so that it fits a value.
const PART_BYTES_MAX: usize = VALUE_BYTES_MAX - 256;

/// One sample of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) index: u32,
    pub(crate) metric: Metric,
    pub(crate) at: Second,
    pub(crate) value: Milli,
}

/// What of one app's samples is on disk, and what is to go there.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Oldest first: when it was written, and its keys.
    written: VecDeque<(Second, Vec<String>)>,
    pending: Vec<Sample>,
}

impl Journal {
    /// From the keys that are there; gives back the samples.
    pub(crate) fn open(entries: &[Entry]) -> Result<(Self, Vec<Sample>), StateError> {
        let mut batches: BTreeMap<Second, Vec<String>> = BTreeMap::new();
        let mut samples = Vec::new();
        for entry in entries {
            let at = second_of(&entry.key).unwrap_or_default();
            batches.entry(at).or_default().push(entry.key.clone());
            let batch: SampleBatch = read(entry)?;
            samples.extend(unpacked(batch));
        }
        let journal = Self {
            written: batches.into_iter().collect(),
            pending: Vec::new(),
        };
        Ok((journal, samples))
    }

    pub(crate) fn add(&mut self, sample: Sample) {
        self.pending.push(sample);
    }

    /// The changes that put what is pending on disk, and take away what no rule looks at any more.
    pub(crate) fn flush(
        &mut self,
        app: AppGuid,
        now: Second,
        span_s: Second,
    ) -> Result<Vec<Op>, StateError> {
        let mut ops = Vec::new();
        while let Some((at, _)) = self.written.front()
            && *at < now - span_s
        {
            let (_, keys) = self.written.pop_front().unwrap_or_default();
            ops.extend(keys.into_iter().map(Op::delete));
        }
        if self.pending.is_empty() {
            return Ok(ops);
        }
        let mut keys = Vec::new();
        for (number, part) in parts(&self.pending).into_iter().enumerate() {
            let key = format!("{SAMPLES}{app}/{now:012}/{number:03}");
            ops.push(put(key.clone(), &packed(part))?);
            keys.push(key);
        }
        self.pending.clear();
        self.written.push_back((now, keys));
        Ok(ops)
    }
}

/// Slices that fit a value each, however long the names of the metrics are.
fn parts(samples: &[Sample]) -> Vec<&[Sample]> {
    let mut parts = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, sample) in samples.iter().enumerate() {
        let name = match &sample.metric {
            Metric::Custom(name) => name.len(),
            _ => 0,
        };
        let size = SAMPLE_BYTES_MAX + name;
        if bytes + size > PART_BYTES_MAX {
            parts.push(&samples[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    parts.push(&samples[from..]);
    parts
}

fn second_of(key: &str) -> Option<Second> {
    key.strip_prefix(SAMPLES)?.split('/').nth(1)?.parse().ok()
}

fn packed(samples: &[Sample]) -> SampleBatch {
    let mut batch = SampleBatch::default();
    let mut rows: BTreeMap<(u16, u32), Vec<(Second, Milli)>> = BTreeMap::new();
    for sample in samples {
        let known = batch.metrics.iter().position(|it| *it == sample.metric);
        let number = known.unwrap_or_else(|| {
            batch.metrics.push(sample.metric.clone());
            batch.metrics.len() - 1
        });
        // A policy names far fewer metrics than that.
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        let row = rows.entry((number, sample.index)).or_default();
        row.push((sample.at, sample.value));
    }
    batch.rows = rows
        .into_iter()
        .map(|((number, index), points)| (number, index, points))
        .collect();
    batch
}

fn unpacked(batch: SampleBatch) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (number, index, points) in batch.rows {
        let Some(metric) = batch.metrics.get(usize::from(number)) else {
            continue;
        };
        samples.extend(points.into_iter().map(|(at, value)| Sample {
            index,
            metric: metric.clone(),
            at,
            value,
        }));
    }
    samples
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn sample(index: u32, at: Second) -> Sample {
        Sample {
            index,
            metric: Metric::Custom(format!("{index:0100}")),
            at,
            value: -999_999_999_999_999,
        }
    }

    fn stored(ops: &[Op]) -> Vec<Entry> {
        let entry = |op: &Op| match op {
            Op::Put { key, value, .. } => Some(Entry {
                key: key.clone(),
                value: Bytes::clone(value),
                create_revision: 1,
                mod_revision: 1,
            }),
            Op::Delete { .. } => None,
        };
        ops.iter().filter_map(entry).collect()
    }

    #[test]
    fn what_was_written_is_read_back_and_every_part_fits_a_value() {
        let mut journal = Journal::default();
        let all: Vec<_> = (0..5_000).map(|n| sample(n, 1_900_000_000)).collect();
        all.iter().cloned().for_each(|it| journal.add(it));
        let ops = journal.flush(AppGuid::NIL, 1_900_000_001, 3_600);
        let entries = stored(&ops.expect("serialises"));
        assert!(entries.len() > 1, "a large batch has parts");
        assert!(entries.iter().all(|it| it.value.len() <= VALUE_BYTES_MAX));
        let (_, read) = Journal::open(&entries).expect("reads");
        assert_eq!(read.len(), all.len());
        assert!(all.iter().all(|it| read.contains(it)));
    }

    #[test]
    fn what_no_rule_looks_at_any_more_goes() {
        let mut journal = Journal::default();
        journal.add(sample(0, 100));
        let first = journal.flush(AppGuid::NIL, 100, 50).expect("serialises");
        let (mut journal, _) = Journal::open(&stored(&first)).expect("reads");
        assert_eq!(journal.flush(AppGuid::NIL, 150, 50).expect("none"), []);
        let gone = journal.flush(AppGuid::NIL, 151, 50).expect("one");
        assert_eq!(gone, [Op::delete(first[0].key())]);
        assert_eq!(journal.flush(AppGuid::NIL, 152, 50).expect("none"), []);
    }
}
