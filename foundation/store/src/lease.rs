//! Leases of backends that live in one process: etcd keeps its own.
//!
//! They end with the process: keys of a lease do not outlive the store that granted it. Time is
//! an argument, so that tests and the simulator own it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::store::StoreError;
use crate::watch::Event;

/// Most leases at a time: components hold one or two each.
pub const LEASES_MAX: usize = 10_000;
/// Shortest lease: etcd counts whole seconds.
pub const LEASE_TTL_MIN: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("the lease {0} has ended")]
    Ended(LeaseId),
    #[error("there are {LEASES_MAX} leases already")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Monotonic time since an arbitrary start.
#[derive(Clone)]
pub struct Monotonic(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Monotonic {
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(elapsed))
    }

    pub(crate) fn now(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Monotonic")
    }
}

/// Which keys go with which lease, and when.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    leases: BTreeMap<LeaseId, Lease>,
    of_key: BTreeMap<String, LeaseId>,
    granted: u64,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    ends_at: Duration,
    keys: BTreeSet<String>,
}

impl Leases {
    pub(crate) fn grant(&mut self, ttl: Duration, now: Duration) -> Result<LeaseId, LeaseError> {
        if self.leases.len() >= LEASES_MAX {
            return Err(LeaseError::TooMany);
        }
        let ttl = ttl.max(LEASE_TTL_MIN);
        self.granted += 1;
        let id = LeaseId(self.granted);
        self.leases.insert(
            id,
            Lease {
                ttl,
                ends_at: now + ttl,
                keys: BTreeSet::new(),
            },
        );
        Ok(id)
    }

    pub(crate) fn keep_alive(&mut self, id: LeaseId, now: Duration) -> Result<(), LeaseError> {
        let lease = self.leases.get_mut(&id).ok_or(LeaseError::Ended(id))?;
        lease.ends_at = now + lease.ttl;
        Ok(())
    }

    pub(crate) fn exists(&self, id: LeaseId) -> bool {
        self.leases.contains_key(&id)
    }

    /// The keys that go with a lease.
    pub(crate) fn keys(&self, id: LeaseId) -> Result<Vec<String>, LeaseError> {
        let lease = self.leases.get(&id).ok_or(LeaseError::Ended(id))?;
        Ok(lease.keys.iter().cloned().collect())
    }

    /// Ends a lease whose keys were deleted.
    pub(crate) fn end(&mut self, id: LeaseId) -> Result<(), LeaseError> {
        let lease = self.leases.remove(&id).ok_or(LeaseError::Ended(id))?;
        for key in &lease.keys {
            self.of_key.remove(key);
        }
        Ok(())
    }

    /// Takes over which key hangs on which lease, as the disk has it.
    pub(crate) fn adopt(&mut self, leased: Vec<(String, u64)>) {
        self.of_key.clear();
        for lease in self.leases.values_mut() {
            lease.keys.clear();
        }
        for (key, id) in leased {
            if let Some(lease) = self.leases.get_mut(&LeaseId(id)) {
                lease.keys.insert(key.clone());
                self.of_key.insert(key, LeaseId(id));
            }
        }
    }

    /// Leases whose time is over.
    pub(crate) fn due(&self, now: Duration) -> Vec<LeaseId> {
        self.leases
            .iter()
            .filter(|(_, lease)| lease.ends_at <= now)
            .map(|(id, _)| *id)
            .collect()
    }

    /// When the next lease ends unless it is kept alive.
    pub(crate) fn next_end(&self) -> Option<Duration> {
        self.leases.values().map(|lease| lease.ends_at).min()
    }

    /// Follows a committed change: a put moves its key to the put's lease, or off any.
    pub(crate) fn follow(&mut self, event: &Event) {
        if let Some(old) = self.of_key.remove(event.key())
            && let Some(lease) = self.leases.get_mut(&old)
        {
            lease.keys.remove(event.key());
        }
        if let Event::Put {
            entry,
            lease: Some(id),
        } = event
            && let Some(lease) = self.leases.get_mut(id)
        {
            lease.keys.insert(entry.key.clone());
            self.of_key.insert(entry.key.clone(), *id);
        }
    }
}
