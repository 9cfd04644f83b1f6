//! The counters of all containers of one runtime.

use std::collections::HashMap;
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{Counters, FILES, Groups};
use crate::runtime::{ContainerName, RuntimeError, Sample};

/// One part in this many of the process's files may be counters that are kept open; those that find
/// no place are opened for each reading.
const SHARE: usize = 4;

#[derive(Debug)]
pub(in crate::runtime) struct Book {
    counters: Mutex<HashMap<ContainerName, Arc<Counters>>>,
    files: Arc<Semaphore>,
}

impl Book {
    pub(in crate::runtime) fn new() -> Self {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
        let files = usize::try_from(limit).unwrap_or(usize::MAX) / SHARE;
        Self {
            counters: Mutex::default(),
            files: Arc::new(Semaphore::new(files.min(Semaphore::MAX_PERMITS))),
        }
    }

    pub(in crate::runtime) fn has(&self, name: ContainerName) -> bool {
        self.counters.lock().contains_key(&name)
    }

    /// Begin to read those of this process; of one that has ended there is nothing to read.
    pub(in crate::runtime) fn open(&self, name: ContainerName, pid: u32) {
        let place = Arc::clone(&self.files).try_acquire_many_owned(FILES).ok();
        let counters = Groups::of(pid).and_then(|groups| groups.open(place));
        if let Ok(counters) = counters {
            self.counters.lock().insert(name, Arc::new(counters));
        }
    }

    /// What they show; an error, and nothing is known of them any more, when their groups are gone.
    pub(in crate::runtime) fn sample(&self, name: ContainerName) -> Result<Sample, RuntimeError> {
        let counters = self.counters.lock().get(&name).cloned();
        let counters = counters.ok_or(RuntimeError::NoContainer(name))?;
        counters.sample().map_err(|_| {
            // The same name may be reserved anew after a release.
            self.close(name);
            RuntimeError::NoContainer(name)
        })
    }

    /// What was read under one name is read under another from now on; false when nothing was.
    pub(in crate::runtime) fn rename(&self, from: ContainerName, to: ContainerName) -> bool {
        let mut counters = self.counters.lock();
        let renamed = counters.remove(&from);
        let is_known = renamed.is_some();
        counters.extend(renamed.map(|it| (to, it)));
        is_known
    }

    pub(in crate::runtime) fn close(&self, name: ContainerName) {
        self.counters.lock().remove(&name);
    }
}
