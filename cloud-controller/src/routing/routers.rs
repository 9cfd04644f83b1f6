//! The routers: who is connected, and which table each has confirmed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::generation::Token;
use cfx_protocol::id::RouterGuid;
use cfx_protocol::link::STREAM_SILENCE_MAX_MS;
use parking_lot::Mutex;
use tokio::sync::watch;

/// A router whose stream broke is still waited for this long: it serves its last table and will
/// dial again. One that stays away longer has ended, or cannot be reached by anybody.
pub const ABSENCE_MAX: Duration = Duration::from_millis(STREAM_SILENCE_MAX_MS + 1_500);
/// Tables whose revisions of the state are remembered, for acknowledgements that come late.
const TABLES_REMEMBERED: usize = 1_024;
/// Routers that are not heard of for this long are not shown any more.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// What is known of one router.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouterStatus {
    pub streams: u32,
    pub acknowledged: Option<Token>,
    /// When it was last connected, or acknowledged something.
    pub heard: Duration,
}

/// Shared by the publisher, the streams and the acknowledgements; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Routers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    version: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    routers: BTreeMap<RouterGuid, RouterStatus>,
    /// Revision of the table, and the revision of the state up to which it is true; newest last.
    tables: VecDeque<(u64, u64)>,
    epoch: u64,
}

impl Default for Routers {
    fn default() -> Self {
        Self(Arc::new(Shared {
            inner: Mutex::default(),
            version: watch::Sender::new(0),
        }))
    }
}

impl Routers {
    /// The table with this token is true for the state up to `revision`.
    pub fn table_covers(&self, token: Token, revision: u64) {
        let mut inner = self.0.inner.lock();
        inner.epoch = token.epoch;
        match inner.tables.back_mut() {
            Some(newest) if newest.0 == token.revision => newest.1 = revision,
            _ => inner.tables.push_back((token.revision, revision)),
        }
        while inner.tables.len() > TABLES_REMEMBERED {
            inner.tables.pop_front();
        }
        drop(inner);
        self.changed();
    }

    /// A router listens; it does until the guard is dropped.
    #[must_use]
    pub fn connected(&self, router: RouterGuid, now: Duration) -> Connected {
        let mut inner = self.0.inner.lock();
        inner
            .routers
            .retain(|_, it| it.streams > 0 || now.saturating_sub(it.heard) < FORGOTTEN);
        let status = inner.routers.entry(router).or_default();
        status.streams += 1;
        status.heard = now;
        drop(inner);
        self.changed();
        Connected {
            router,
            routers: self.clone(),
        }
    }

    pub fn heard(&self, router: RouterGuid, now: Duration) {
        if let Some(status) = self.0.inner.lock().routers.get_mut(&router) {
            status.heard = now;
        }
    }

    pub fn acknowledge(&self, router: RouterGuid, token: Token, now: Duration) {
        let mut inner = self.0.inner.lock();
        let status = inner.routers.entry(router).or_default();
        status.acknowledged = Some(token);
        status.heard = now;
        drop(inner);
        self.changed();
    }

    /// The revision of the state that every router serves at least; none before the first table.
    #[must_use]
    pub fn confirmed(&self, now: Duration) -> Option<u64> {
        let inner = self.0.inner.lock();
        let newest = inner.tables.back()?.1;
        let present = inner
            .routers
            .values()
            .filter(|it| it.streams > 0 || now.saturating_sub(it.heard) < ABSENCE_MAX);
        let mut confirmed = present.map(|status| inner.covered_by(status.acknowledged));
        confirmed.try_fold(newest, |least, one| Some(least.min(one?)))
    }

    #[must_use]
    pub fn all(&self) -> BTreeMap<RouterGuid, RouterStatus> {
        self.0.inner.lock().routers.clone()
    }

    /// Tells when something may have been confirmed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    fn changed(&self) {
        self.0.version.send_modify(|version| *version += 1);
    }
}

impl Inner {
    fn covered_by(&self, acknowledged: Option<Token>) -> Option<u64> {
        let token = acknowledged.filter(|token| token.epoch == self.epoch)?;
        let known = self.tables.iter().rev();
        known
            .skip_while(|(table, _)| *table > token.revision)
            .map(|(_, revision)| *revision)
            .next()
    }
}

/// A router's stream is open.
#[derive(Debug)]
pub struct Connected {
    router: RouterGuid,
    routers: Routers,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut inner = self.routers.0.inner.lock();
        if let Some(status) = inner.routers.get_mut(&self.router) {
            status.streams = status.streams.saturating_sub(1);
        }
        drop(inner);
        self.routers.changed();
    }
}
