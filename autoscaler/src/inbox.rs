//! Measurements that apps send themselves, between the API that takes them and the evaluator that
//! weighs them a moment later.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::id::AppGuid;
use parking_lot::Mutex;

use crate::state::journal::Sample;

/// Samples of one app that may wait for a tick: a few from each of a thousand instances.
const WAITING_MAX: usize = 10_000;

/// Waiting samples; cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox(Arc<Mutex<BTreeMap<AppGuid, Vec<Sample>>>>);

impl Inbox {
    /// False when too many wait already: none of these was taken.
    pub(crate) fn put(&self, app: AppGuid, samples: Vec<Sample>) -> bool {
        let mut waiting = self.0.lock();
        let waiting = waiting.entry(app).or_default();
        if waiting.len() + samples.len() > WAITING_MAX {
            return false;
        }
        waiting.extend(samples);
        true
    }

    pub(crate) fn take(&self, app: AppGuid) -> Vec<Sample> {
        self.0.lock().remove(&app).unwrap_or_default()
    }
}
