//! What the evaluator concluded last, for those who ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::id::AppGuid;
use parking_lot::RwLock;

use crate::state::record::DecisionRecord;

/// The evaluator writes it, the API reads it; cloning it is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latest(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    leads: bool,
    decisions: BTreeMap<AppGuid, DecisionRecord>,
}

impl Latest {
    pub(crate) fn leads(&self, leads: bool) {
        self.0.write().leads = leads;
    }

    pub(crate) fn is_leading(&self) -> bool {
        self.0.read().leads
    }

    pub(crate) fn replace<'a>(
        &self,
        decisions: impl Iterator<Item = (AppGuid, &'a DecisionRecord)>,
    ) {
        let decisions = decisions
            .map(|(app, record)| (app, record.clone()))
            .collect();
        self.0.write().decisions = decisions;
    }

    pub(crate) fn of(&self, app: AppGuid) -> Option<DecisionRecord> {
        self.0.read().decisions.get(&app).cloned()
    }
}
