//! The lines of one app, in the order of their timestamps, bounded by number and bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use cfx_protocol::telemetry::LogEnvelope;

use super::{APP_BYTES_MAX, APP_LINES_MAX, Kept, Range};

/// What a line takes beside its texts: envelope, pointer, allocation headers.
const LINE_OVERHEAD_BYTES: usize = 160;
/// How far back a late line is put into its place; an even later one goes there, out of order.
const REORDER_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Ring {
    lines: VecDeque<Arc<LogEnvelope>>,
    bytes: usize,
    expired: u64,
}

impl Ring {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, line: LogEnvelope) {
        self.bytes += size(&line);
        let later = self.lines.iter().rev().take(REORDER_MAX);
        let later = later.take_while(|kept| kept.timestamp_ns > line.timestamp_ns);
        let at = self.lines.len() - later.count();
        self.lines.insert(at, Arc::new(line));
        while self.lines.len() > APP_LINES_MAX || self.bytes > APP_BYTES_MAX {
            self.drop_oldest();
        }
    }

    /// At least one, so that making room always ends.
    pub(super) fn drop_oldest_tenth(&mut self) {
        for _ in 0..self.lines.len().div_ceil(10) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.lines.pop_front() {
            self.bytes -= size(&oldest);
            self.expired += 1;
        }
    }

    pub(super) fn read(&self, range: Range) -> Vec<Arc<LogEnvelope>> {
        let wanted =
            |line: &&Arc<LogEnvelope>| (range.start_ns..range.end_ns).contains(&line.timestamp_ns);
        if range.descending {
            let newest = self.lines.iter().rev().filter(wanted);
            return newest.take(range.limit).cloned().collect();
        }
        let start = self
            .lines
            .partition_point(|line| line.timestamp_ns < range.start_ns);
        let oldest = self.lines.range(start..).filter(wanted);
        oldest.take(range.limit).cloned().collect()
    }

    pub(super) fn kept(&self) -> Kept {
        Kept {
            count: self.lines.len(),
            expired: self.expired,
            oldest_ns: self.lines.front().map_or(0, |line| line.timestamp_ns),
            newest_ns: self.lines.back().map_or(0, |line| line.timestamp_ns),
        }
    }
}

fn size(line: &LogEnvelope) -> usize {
    LINE_OVERHEAD_BYTES + line.payload.len() + line.source_type.len()
}
