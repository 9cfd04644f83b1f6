//! One kind of number of one start of an instance: seconds for ten minutes, ten-second buckets for
//! six hours, minutes for a week.
//!
//! ```text
//!   write --> open minutes --seal--> packed minutes (1 s)
//!                                \-> buckets of 10 s --\
//!                                \-> buckets of 1 min ---> read: the finest that is there
//! ```
//! A minute is sealed when nothing can come for it any more, and then folded into the coarser
//! tiers. A second is named by its end: the minute from 60 on holds the seconds 61 to 120.

use std::collections::VecDeque;

use super::codec::{self, Bucket, Buckets};

/// Seconds of a minute.
pub(super) const MINUTE: i64 = 60;
/// Width of a bucket of the middle tier, seconds.
pub(super) const TEN: i64 = 10;
/// How far back single seconds reach, seconds.
pub const SECONDS_KEPT: i64 = 10 * 60;
/// How far back ten-second buckets reach, seconds.
pub const TENS_KEPT: i64 = 6 * 3_600;
/// How far back minutes reach, seconds.
pub const MINUTES_KEPT: i64 = 7 * 86_400;
/// Buckets in one block: what is packed and dropped together.
const BLOCK_BUCKETS: usize = 60;
/// What a block takes beside its bytes: its fields and the allocation.
const BLOCK_OVERHEAD_BYTES: usize = 96;
/// No value.
const HOLE: u32 = u32::MAX;
/// What larger values are kept as.
pub(super) const VALUE_MAX: u32 = HOLE - 1;

/// What is known of the time that ends at `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub at: i64,
    /// Seconds: 1, 10 or 60.
    pub width: i64,
    pub bucket: Bucket,
}

#[derive(Debug, Default)]
pub(super) struct Column {
    open: Vec<(i64, Box<[u32; 60]>)>,
    sealed: VecDeque<(i64, Box<[u8]>)>,
    pub(super) tens: Tier,
    pub(super) minutes: Tier,
    /// Earlier seconds come too late.
    sealed_until: i64,
}

/// A packed minute, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackedMinute {
    pub(super) start: i64,
    pub(super) bytes: Box<[u8]>,
}

/// The minute that a second is in, and its place there.
fn place(at: i64) -> (i64, usize) {
    let start = (at - 1).div_euclid(MINUTE) * MINUTE;
    (start, usize::try_from(at - 1 - start).unwrap_or_default())
}

impl Column {
    /// False: it came too late.
    pub(super) fn write(&mut self, at: i64, value: u32) -> bool {
        let (start, index) = place(at);
        if start < self.sealed_until {
            return false;
        }
        let known = self.open.iter().position(|(open, _)| *open == start);
        let known = known.unwrap_or_else(|| {
            self.open.push((start, Box::new([HOLE; 60])));
            self.open.sort_unstable_by_key(|(start, _)| *start);
            self.open
                .iter()
                .position(|(open, _)| *open == start)
                .unwrap_or_default()
        });
        if let Some(second) = self.open[known].1.get_mut(index) {
            *second = value.min(VALUE_MAX);
        }
        true
    }

    /// Close the minutes that end by `until`; each is handed over as it is packed.
    pub(super) fn seal(&mut self, until: i64, mut packed: impl FnMut(&PackedMinute)) {
        while self
            .open
            .first()
            .is_some_and(|(start, _)| start + MINUTE <= until)
        {
            let (start, seconds) = self.open.remove(0);
            let values = seconds
                .iter()
                .map(|value| (*value != HOLE).then_some(*value));
            let minute = PackedMinute {
                start,
                bytes: codec::pack(values),
            };
            packed(&minute);
            self.take_minute(minute);
        }
        self.sealed_until = self.sealed_until.max(until.div_euclid(MINUTE) * MINUTE);
    }

    /// A minute that was packed, now or by an earlier controller.
    pub(super) fn take_minute(&mut self, minute: PackedMinute) {
        let start = minute.start;
        let seconds = codec::unpack(&minute.bytes, BLOCK_BUCKETS);
        for (part, ten) in (0..).zip(seconds.chunks(usize::try_from(TEN).unwrap_or(1))) {
            if let Some(bucket) = Bucket::fold(ten.iter().flatten().copied()) {
                self.tens.push(TEN, start + part * TEN, bucket);
            }
        }
        if let Some(bucket) = Bucket::fold(seconds.into_iter().flatten()) {
            self.minutes.push(MINUTE, start, bucket);
            self.sealed.push_back((start, minute.bytes));
        }
    }

    /// Drop what is past its time.
    pub(super) fn expire(&mut self, now: i64) {
        while let Some((start, _)) = self.sealed.front()
            && start + MINUTE <= now - SECONDS_KEPT
        {
            self.sealed.pop_front();
        }
        self.tens.expire(TEN, now - TENS_KEPT);
        self.minutes.expire(MINUTE, now - MINUTES_KEPT);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
            && self.sealed.is_empty()
            && self.tens.is_empty()
            && self.minutes.is_empty()
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        let sealed = self.sealed.iter().map(|(_, bytes)| bytes.len());
        size_of::<Self>()
            + self.open.len() * (size_of::<[u32; 60]>() + 16)
            + sealed.sum::<usize>()
            + self.sealed.capacity() * size_of::<(i64, Box<[u8]>)>()
            + self.tens.size()
            + self.minutes.size()
    }

    /// The age of the oldest block, with the coarsest tier first: `(tier, start)`.
    pub(super) fn oldest(&self) -> Option<(Dropped, i64)> {
        let minutes = self.minutes.oldest().map(|at| (Dropped::Minutes, at));
        let tens = || self.tens.oldest().map(|at| (Dropped::Tens, at));
        let seconds = || {
            self.sealed
                .front()
                .map(|(start, _)| (Dropped::Seconds, *start))
        };
        minutes.or_else(tens).or_else(seconds)
    }

    /// Drop the blocks of a tier that begin at `start` or earlier.
    pub(super) fn drop_oldest(&mut self, tier: Dropped, start: i64) {
        match tier {
            Dropped::Minutes => self.minutes.drop_until(start),
            Dropped::Tens => self.tens.drop_until(start),
            Dropped::Seconds => self.sealed.retain(|(at, _)| *at > start),
        }
    }

    /// What is known between two moments, the first excluded, in the order of time: of each moment
    /// the finest.
    pub(super) fn read(&self, after: i64, until: i64) -> Vec<Reading> {
        let seconds_from = self.seconds_from();
        let tens_from = self.tens.begins().unwrap_or(seconds_from).min(seconds_from);
        let mut readings = Vec::new();
        self.minutes
            .read(MINUTE, after, until.min(tens_from), &mut readings);
        self.tens
            .read(TEN, after, until.min(seconds_from), &mut readings);
        let wanted = |at: &i64| *at > after && *at <= until;
        let mut second = |at: i64, value: u32| {
            if wanted(&at) {
                readings.push(Reading {
                    at,
                    width: 1,
                    bucket: Bucket::of(value),
                });
            }
        };
        let overlaps = |start: i64| start < until && start + MINUTE > after;
        for (start, bytes) in self.sealed.iter().filter(|(start, _)| overlaps(*start)) {
            let values = codec::unpack(bytes, BLOCK_BUCKETS);
            for (at, value) in (start + 1..).zip(values) {
                value.into_iter().for_each(|value| second(at, value));
            }
        }
        for (start, values) in self.open.iter().filter(|(start, _)| overlaps(*start)) {
            for (at, value) in (start + 1..).zip(values.iter()) {
                Some(*value)
                    .filter(|value| *value != HOLE)
                    .into_iter()
                    .for_each(|value| second(at, value));
            }
        }
        readings
    }

    /// Single seconds are there after this moment.
    fn seconds_from(&self) -> i64 {
        let sealed = self.sealed.front().map(|(start, _)| *start);
        let open = self.open.first().map(|(start, _)| *start);
        sealed.or(open).unwrap_or(i64::MAX)
    }
}

/// What is dropped first when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dropped {
    Minutes,
    Tens,
    Seconds,
}

/// Buckets of one width.
#[derive(Debug, Default)]
pub(super) struct Tier {
    blocks: VecDeque<(i64, Buckets)>,
    /// The newest bucket; an instance that a controller took over in its middle adds to it.
    tail: Option<(i64, Bucket)>,
}

impl Tier {
    /// The bucket that begins at `start`. Earlier ones than the newest are not taken.
    pub(super) fn push(&mut self, width: i64, start: i64, bucket: Bucket) {
        match &mut self.tail {
            Some((tail, known)) if *tail == start => *known = known.merged(bucket),
            Some((tail, _)) if *tail > start => {}
            tail => {
                let before = tail.replace((start, bucket));
                if let Some((start, bucket)) = before {
                    self.append(width, start, bucket);
                }
            }
        }
    }

    fn append(&mut self, width: i64, start: i64, bucket: Bucket) {
        if let Some((first, block)) = self.blocks.back_mut() {
            let index = usize::try_from((start - *first) / width).unwrap_or(usize::MAX);
            if index < BLOCK_BUCKETS {
                while block.len() < index {
                    block.push(None);
                }
                return block.push(Some(bucket));
            }
            block.close();
        }
        let mut block = Buckets::default();
        block.push(Some(bucket));
        self.blocks.push_back((start, block));
    }

    fn expire(&mut self, width: i64, oldest: i64) {
        let block = width * i64::try_from(BLOCK_BUCKETS).unwrap_or(0);
        self.drop_until(oldest - block);
        if self
            .tail
            .is_some_and(|(start, _)| start + width <= oldest && self.blocks.is_empty())
        {
            self.tail = None;
        }
    }

    fn drop_until(&mut self, start: i64) {
        while self.blocks.front().is_some_and(|(at, _)| *at <= start) {
            self.blocks.pop_front();
        }
    }

    fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.tail.is_none()
    }

    pub(super) fn newest(&self) -> Option<Bucket> {
        self.tail.map(|(_, bucket)| bucket)
    }

    fn begins(&self) -> Option<i64> {
        self.oldest().or_else(|| self.tail.map(|(start, _)| start))
    }

    /// Only whole blocks are dropped.
    fn oldest(&self) -> Option<i64> {
        self.blocks.front().map(|(start, _)| *start)
    }

    fn size(&self) -> usize {
        let blocks = self.blocks.iter().map(|(_, block)| block.size());
        blocks.sum::<usize>() + self.blocks.len() * BLOCK_OVERHEAD_BYTES
    }

    fn read(&self, width: i64, after: i64, until: i64, into: &mut Vec<Reading>) {
        let mut take = |start: i64, bucket: Bucket| {
            let at = start + width;
            if at > after && at <= until {
                into.push(Reading { at, width, bucket });
            }
        };
        let block_width = width * i64::try_from(BLOCK_BUCKETS).unwrap_or(0);
        let overlaps = |start: i64| start < until && start + block_width > after;
        for (start, block) in self.blocks.iter().filter(|(start, _)| overlaps(*start)) {
            for (index, bucket) in (0..).zip(block.read()) {
                if let Some(bucket) = bucket {
                    take(start + index * width, bucket);
                }
            }
        }
        if let Some((start, bucket)) = self.tail {
            take(start, bucket);
        }
    }

    /// Everything, for a file: start and bytes of each block, the tail as a block of its own.
    pub(super) fn blocks(&self) -> Vec<(i64, usize, Vec<u8>)> {
        let block = |(start, block): &(i64, Buckets)| {
            let mut block = block.clone();
            (*start, block.len(), block.bytes().to_vec())
        };
        let mut all: Vec<_> = self.blocks.iter().map(block).collect();
        if let Some((start, bucket)) = self.tail {
            let mut last = Buckets::default();
            last.push(Some(bucket));
            all.push((start, 1, last.bytes().to_vec()));
        }
        all
    }

    /// A block of a file, as if its buckets came one by one.
    pub(super) fn take_block(&mut self, width: i64, start: i64, len: usize, bytes: &[u8]) {
        let buckets = codec::read(bytes, len.min(BLOCK_BUCKETS));
        for (index, bucket) in (0..).zip(buckets) {
            if let Some(bucket) = bucket {
                self.push(width, start + index * width, bucket);
            }
        }
    }
}
