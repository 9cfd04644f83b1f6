//! What instances used and answered, second by second, in memory, under a budget.
//!
//! ```text
//!   cells, routers -> intake -> traffic (all routers of a second) -> write
//!                                 journal <- seal, once a minute -+
//!                                                        select -> promql, read
//! ```
//! Nothing of it is in the store. Sealed minutes are in the journal, so that a controller that is
//! killed loses the newest minute or so and no more.

mod app;
mod codec;
mod column;
mod instance;
pub mod intake;
mod journal;
mod record;
mod series;
pub mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::id::{AppGuid, AssignmentGuid};
use parking_lot::Mutex;

use app::AppHistory;
pub use app::Kept;
pub use codec::Bucket;
pub use column::{MINUTES_KEPT, SECONDS_KEPT, TENS_KEPT};
pub use instance::Identity;
pub use series::{Facts, Kind, Sample, Series};

/// Bytes of all numbers in memory. A busy instance takes 26 KB for ten minutes of seconds, and 70
/// KB for each day; what is idle takes a tenth.
pub const BYTES_MAX: usize = 256 * 1024 * 1024;
/// How late a number may come, seconds: longer than routers are waited for.
pub const LATE_MAX: i64 = 15;

/// Numbers of one start of an instance in one second.
#[derive(Debug, Clone)]
pub struct Entry {
    pub identity: Identity,
    /// None: as known before.
    pub facts: Option<Facts>,
    /// What counts the crashes of its index: the assignment, and how often it was started before.
    pub starts: Option<(AssignmentGuid, u32)>,
    pub values: Vec<(Kind, u32)>,
}

/// A series that was asked for.
#[derive(Debug, Clone)]
pub struct Found {
    pub identity: Identity,
    pub series: Series,
    pub samples: Vec<Sample>,
}

/// More samples than one query may load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more samples than a query may read")]
pub struct TooMany;

/// The history; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct MetricsHistory(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    apps: BTreeMap<AppGuid, AppHistory>,
    bytes_max: usize,
    /// Minutes that end by then are sealed.
    sealed_until: i64,
}

impl Default for MetricsHistory {
    fn default() -> Self {
        Self::with_budget(BYTES_MAX)
    }
}

impl MetricsHistory {
    #[must_use]
    pub fn with_budget(bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            apps: BTreeMap::new(),
            bytes_max,
            sealed_until: 0,
        })))
    }

    /// Take in the numbers of the second that ends at `at`. Those that come too late are dropped.
    pub fn write(&self, at: i64, entries: impl IntoIterator<Item = Entry>) {
        let mut inner = self.0.lock();
        for entry in entries {
            let app = inner.apps.entry(entry.identity.app).or_default();
            app.write(at, entry);
        }
    }

    /// Series between two moments, the first excluded. `room` is how many samples may be loaded,
    /// and becomes what is left of it.
    pub fn select(
        &self,
        apps: Option<&[AppGuid]>,
        wanted: impl Fn(&Identity, Series) -> bool,
        (after, until): (i64, i64),
        room: &mut usize,
    ) -> Result<Vec<Found>, TooMany> {
        let inner = self.0.lock();
        let mut found = Vec::new();
        let mut of_app = |app: &AppHistory| app.select(&wanted, (after, until), room, &mut found);
        match apps {
            Some(apps) => {
                let known = apps.iter().filter_map(|app| inner.apps.get(app));
                known.into_iter().try_for_each(&mut of_app)?;
            }
            None => inner.apps.values().try_for_each(&mut of_app)?,
        }
        Ok(found)
    }

    /// All series of each instance of an app at each second of a time, in the order of time.
    #[must_use]
    pub fn gauges(&self, app: AppGuid, (after, until): (i64, i64)) -> Vec<Gauges> {
        let inner = self.0.lock();
        inner
            .apps
            .get(&app)
            .map(|app| app.gauges(after, until))
            .unwrap_or_default()
    }

    #[must_use]
    pub fn kept(&self, app: AppGuid) -> Option<Kept> {
        self.0.lock().apps.get(&app).and_then(AppHistory::kept)
    }

    /// The apps that have numbers.
    #[must_use]
    pub fn apps(&self) -> Vec<AppGuid> {
        self.0.lock().apps.keys().copied().collect()
    }

    /// Drop the numbers of apps that are gone.
    pub fn retain(&self, lives: impl Fn(AppGuid) -> bool) {
        self.0.lock().apps.retain(|app, _| lives(*app));
    }

    /// Seal the minutes for which nothing can come any more, drop what is past its time, and make
    /// room. Gives the records of what was sealed.
    #[must_use]
    pub fn seal(&self, now: i64) -> Vec<u8> {
        self.seal_until(now - LATE_MAX, now)
    }

    /// Is there a minute to seal?
    #[must_use]
    pub fn is_due(&self, now: i64) -> bool {
        now - LATE_MAX >= self.0.lock().sealed_until + column::MINUTE
    }

    /// Seal all, for the end.
    #[must_use]
    pub fn seal_everything(&self, now: i64) -> Vec<u8> {
        self.seal_until(now + column::MINUTE, now)
    }

    fn seal_until(&self, until: i64, now: i64) -> Vec<u8> {
        let until = until.div_euclid(column::MINUTE) * column::MINUTE;
        let mut inner = self.0.lock();
        let mut records = Vec::new();
        if until <= inner.sealed_until {
            return records;
        }
        inner.sealed_until = until;
        for app in inner.apps.values_mut() {
            app.seal(until, now, &mut records);
        }
        inner.apps.retain(|_, app| !app.is_empty());
        inner.make_room();
        records
    }

    /// Bytes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.lock().apps.values().map(AppHistory::size).sum()
    }

    /// Everything that is sealed of one app, as records.
    pub(super) fn snapshot(&self, app: AppGuid) -> Vec<u8> {
        let inner = self.0.lock();
        let mut records = Vec::new();
        if let Some(app) = inner.apps.get(&app) {
            app.snapshot(&mut records);
        }
        records
    }

    /// Take over what an earlier controller kept; false when the record cannot be read.
    pub(super) fn restore(&self, payload: &[u8]) -> bool {
        let Some(record) = record::read(payload) else {
            return false;
        };
        let mut inner = self.0.lock();
        let app = inner.apps.entry(record.identity.app).or_default();
        app.restore(record);
        true
    }

    /// After a restore.
    pub(super) fn settle(&self, now: i64) {
        let mut inner = self.0.lock();
        for app in inner.apps.values_mut() {
            app.settle(now);
        }
        inner.apps.retain(|_, app| !app.is_empty());
        inner.make_room();
    }
}

impl Inner {
    /// Past the budget the app with the most bytes loses its oldest and coarsest numbers.
    fn make_room(&mut self) {
        let mut sizes: BTreeMap<AppGuid, usize> = BTreeMap::new();
        for (guid, app) in &self.apps {
            sizes.insert(*guid, app.size());
        }
        let mut bytes: usize = sizes.values().sum();
        while bytes > self.bytes_max {
            let largest = sizes.iter().max_by_key(|(_, size)| **size);
            let Some((guid, size)) = largest.map(|(guid, size)| (*guid, *size)) else {
                return;
            };
            let app = self.apps.get_mut(&guid);
            let left = app.and_then(|app| app.drop_oldest().then(|| app.size()));
            match left {
                Some(left) => {
                    bytes = bytes - size + left;
                    sizes.insert(guid, left);
                }
                // What is left of it is not sealed yet.
                None => drop(sizes.remove(&guid)),
            }
        }
    }
}

/// The numbers of one instance in one second.
#[derive(Debug, Clone)]
pub struct Gauges {
    pub at: i64,
    pub identity: Identity,
    pub values: Vec<(Series, f64)>,
}

#[cfg(test)]
mod tests;
