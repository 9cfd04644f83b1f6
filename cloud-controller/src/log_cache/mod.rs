//! The newest log lines of each app, in memory, under a budget. They do not outlive the
//! controller, and nothing here waits for a disk.

mod ring;

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::id::AppGuid;
use cfx_protocol::telemetry::LogEnvelope;
use parking_lot::Mutex;

use ring::Ring;

/// Lines kept of one app: what `cf logs --recent` can show, ten times over.
pub const APP_LINES_MAX: usize = 10_000;
/// Bytes kept of one app, lines and their bookkeeping.
pub const APP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes kept of all apps.
pub const TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Which envelopes a reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Nanoseconds since 1970, this one included.
    pub start_ns: i64,
    /// This one excluded.
    pub end_ns: i64,
    pub limit: usize,
    /// Newest first, and the newest of the range rather than the oldest.
    pub descending: bool,
}

/// What is known of an app's lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    pub count: usize,
    /// Lines that are gone, for want of room.
    pub expired: u64,
    pub oldest_ns: i64,
    pub newest_ns: i64,
}

/// The cache; cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct LogCache(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    apps: BTreeMap<AppGuid, Ring>,
    bytes: usize,
}

impl LogCache {
    /// Take in lines of any apps, in any order.
    pub fn append(&self, envelopes: Vec<LogEnvelope>) {
        let mut inner = self.0.lock();
        for envelope in envelopes {
            let ring = inner.apps.entry(envelope.app).or_default();
            let before = ring.bytes();
            ring.push(envelope);
            let after = ring.bytes();
            inner.bytes = inner.bytes + after - before;
        }
        inner.make_room();
    }

    #[must_use]
    pub fn read(&self, app: AppGuid, range: Range) -> Vec<Arc<LogEnvelope>> {
        let inner = self.0.lock();
        inner
            .apps
            .get(&app)
            .map(|ring| ring.read(range))
            .unwrap_or_default()
    }

    #[must_use]
    pub fn kept(&self, app: AppGuid) -> Option<Kept> {
        self.0.lock().apps.get(&app).map(Ring::kept)
    }

    /// The apps that have lines.
    #[must_use]
    pub fn apps(&self) -> Vec<AppGuid> {
        self.0.lock().apps.keys().copied().collect()
    }

    /// Drop the lines of apps that are gone.
    pub fn retain(&self, lives: impl Fn(AppGuid) -> bool) {
        let mut inner = self.0.lock();
        inner.apps.retain(|app, _| lives(*app));
        inner.bytes = inner.apps.values().map(Ring::bytes).sum();
    }
}

impl Inner {
    /// Past the budget the app with the most bytes loses its oldest lines.
    fn make_room(&mut self) {
        while self.bytes > TOTAL_BYTES_MAX {
            let Some(largest) = self.apps.values_mut().max_by_key(|ring| ring.bytes()) else {
                return;
            };
            let before = largest.bytes();
            largest.drop_oldest_tenth();
            self.bytes -= before - largest.bytes();
        }
    }
}

#[cfg(test)]
mod tests;
