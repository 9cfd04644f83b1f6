//! How numbers lie in memory and on disk: the difference to the number before, in as few bytes as
//! it needs, and one token for a run of the same or of holes. An idle instance costs next to nothing.
//!
//! ```text
//!   token = n * 4 + kind      kind 0: a number, n is its difference, zigzag
//!                             kind 1: n times the number before
//!                             kind 2: n holes
//! ```
//! Everything read may be damaged or foreign: it gives fewer numbers, never a panic.

const NUMBER: u64 = 0;
const REPEAT: u64 = 1;
const HOLES: u64 = 2;

pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low(value) | 0x80);
        value >>= 7;
    }
    out.push(low(value));
}

#[allow(clippy::cast_possible_truncation, reason = "seven bits")]
fn low(value: u64) -> u8 {
    (value & 0x7f) as u8
}

pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// A series of optional numbers.
pub(super) fn pack(values: impl Iterator<Item = Option<u32>>) -> Box<[u8]> {
    let mut out = Vec::new();
    let mut before = 0_u32;
    let mut values = values.peekable();
    while let Some(value) = values.next() {
        let mut run = 1;
        while values.next_if_eq(&value).is_some() {
            run += 1;
        }
        match value {
            None => put(&mut out, run << 2 | HOLES),
            Some(value) => {
                let difference = i64::from(value) - i64::from(before);
                put(&mut out, zigzag(difference) << 2 | NUMBER);
                if run > 1 {
                    put(&mut out, (run - 1) << 2 | REPEAT);
                }
                before = value;
            }
        }
    }
    out.into_boxed_slice()
}

/// The numbers of `pack`, at most `most` of them.
pub(super) fn unpack(mut bytes: &[u8], most: usize) -> Vec<Option<u32>> {
    let mut values = Vec::with_capacity(most);
    let mut before = 0_i64;
    while values.len() < most
        && let Some(token) = take(&mut bytes)
    {
        let n = token >> 2;
        let room = most - values.len();
        let run = usize::try_from(n).unwrap_or(room).min(room);
        match token & 3 {
            NUMBER => {
                before = before.saturating_add(unzigzag(n));
                values.push(u32::try_from(before).ok());
            }
            REPEAT => values.extend(std::iter::repeat_n(u32::try_from(before).ok(), run)),
            HOLES => values.extend(std::iter::repeat_n(None, run)),
            _ => break,
        }
    }
    values
}

/// What many seconds come down to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Seconds that are known.
    pub count: u32,
    pub sum: u64,
    pub min: u32,
    pub max: u32,
}

impl Bucket {
    /// None of nothing.
    pub fn fold(values: impl IntoIterator<Item = u32>) -> Option<Self> {
        let values = values.into_iter().map(Self::of);
        values.reduce(Self::merged)
    }

    pub fn of(value: u32) -> Self {
        Self {
            count: 1,
            sum: value.into(),
            min: value,
            max: value,
        }
    }

    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            sum: self.sum.saturating_add(other.sum),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// Buckets as they are appended. What has not come to an end, a run, is held beside the bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Buckets {
    bytes: Vec<u8>,
    last: Bucket,
    /// Kind and length of the run that is not in the bytes yet.
    run: Option<(u64, u64)>,
    len: usize,
}

impl Buckets {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn push(&mut self, bucket: Option<Bucket>) {
        self.len += 1;
        match bucket {
            None => self.extend_run(HOLES),
            Some(bucket) if bucket == self.last => self.extend_run(REPEAT),
            Some(bucket) => {
                self.flush();
                let step = i64::from(bucket.min) - i64::from(self.last.min);
                let floor = u64::from(bucket.min).saturating_mul(bucket.count.into());
                put(&mut self.bytes, zigzag(step) << 2 | NUMBER);
                put(&mut self.bytes, bucket.count.into());
                put(&mut self.bytes, u64::from(bucket.max - bucket.min));
                put(&mut self.bytes, bucket.sum.saturating_sub(floor));
                self.last = bucket;
            }
        }
    }

    fn extend_run(&mut self, kind: u64) {
        match &mut self.run {
            Some((known, length)) if *known == kind => *length += 1,
            _ => {
                self.flush();
                self.run = Some((kind, 1));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((kind, length)) = self.run.take() {
            put(&mut self.bytes, length << 2 | kind);
        }
    }

    /// Nothing more will come soon.
    pub(super) fn close(&mut self) {
        self.flush();
        self.bytes.shrink_to_fit();
    }

    pub(super) fn bytes(&mut self) -> &[u8] {
        self.flush();
        &self.bytes
    }

    pub(super) fn read(&self) -> Vec<Option<Bucket>> {
        let mut buckets = read(&self.bytes, self.len);
        if let Some((kind, length)) = self.run {
            let value = (kind == REPEAT).then_some(self.last);
            let length = usize::try_from(length).unwrap_or_default();
            buckets.extend(std::iter::repeat_n(value, length));
        }
        buckets.truncate(self.len);
        buckets
    }
}

/// The buckets in `bytes`, at most `most` of them.
pub(super) fn read(mut bytes: &[u8], most: usize) -> Vec<Option<Bucket>> {
    let mut buckets = Vec::with_capacity(most.min(64));
    let mut last = Bucket::default();
    while buckets.len() < most
        && let Some(token) = take(&mut bytes)
    {
        let n = token >> 2;
        let room = most - buckets.len();
        let run = usize::try_from(n).unwrap_or(room).min(room);
        match token & 3 {
            NUMBER => match read_one(&mut bytes, last, unzigzag(n)) {
                Some(bucket) => {
                    last = bucket;
                    buckets.push(Some(bucket));
                }
                None => break,
            },
            REPEAT => buckets.extend(std::iter::repeat_n(Some(last), run)),
            HOLES => buckets.extend(std::iter::repeat_n(None, run)),
            _ => break,
        }
    }
    buckets
}

fn read_one(bytes: &mut &[u8], last: Bucket, step: i64) -> Option<Bucket> {
    let min = u32::try_from(i64::from(last.min).checked_add(step)?).ok()?;
    let count = u32::try_from(take(bytes)?).ok()?;
    let max = min.checked_add(u32::try_from(take(bytes)?).ok()?)?;
    let floor = u64::from(min).checked_mul(count.into())?;
    Some(Bucket {
        count,
        sum: floor.checked_add(take(bytes)?)?,
        min,
        max,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mostly near each other, sometimes wild, sometimes a hole.
    fn seconds() -> impl Strategy<Value = Vec<Option<u32>>> {
        let one = prop_oneof![
            3 => (0..5_u32).prop_map(Some),
            1 => any::<u32>().prop_map(Some),
            1 => Just(None),
        ];
        proptest::collection::vec(one, 0..60)
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(values in seconds()) {
            let packed = pack(values.iter().copied());
            prop_assert_eq!(unpack(&packed, values.len()), values);
        }

        #[test]
        fn buckets_come_back_from_memory_and_from_bytes(groups in proptest::collection::vec(seconds(), 0..20)) {
            let buckets: Vec<_> = groups
                .iter()
                .map(|group| Bucket::fold(group.iter().flatten().copied()))
                .collect();
            let mut kept = Buckets::default();
            for (index, bucket) in buckets.iter().enumerate() {
                kept.push(*bucket);
                prop_assert_eq!(&kept.read(), &buckets[..=index]);
            }
            let len = kept.len();
            prop_assert_eq!(read(kept.bytes(), len), buckets);
        }

        #[test]
        fn damaged_bytes_give_less_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unpack(&bytes, 60).len() <= 60);
            prop_assert!(read(&bytes, 60).len() <= 60);
        }
    }

    #[test]
    fn an_idle_minute_takes_a_few_bytes() {
        assert!(pack([Some(0); 60].into_iter()).len() <= 3);
        assert!(pack((0..60).map(|n| Some(5_000 + n % 3))).len() <= 62);
    }
}
