//! What an autoscaler reaches outside itself: time, ids, its store, and the platform's public APIs.

use std::sync::Arc;

use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_store::store::Store;

use crate::api::access::{Access, AsCaller};
use crate::public_api::PublicApi;
use crate::source::{LogCache, Source};
use crate::target::{CloudController, Target};

/// Everything ambient that an autoscaler needs.
#[derive(Debug, Clone)]
pub struct Edges {
    pub clock: Clock,
    pub ids: IdSource,
    pub store: Arc<dyn Store>,
    pub source: Arc<dyn Source>,
    pub target: Arc<dyn Target>,
    /// Judges the callers of its API.
    pub access: Arc<dyn Access>,
}

impl Edges {
    /// On a platform that is reached by its public API.
    #[must_use]
    pub fn to_platform(
        clock: Clock,
        ids: IdSource,
        store: Arc<dyn Store>,
        api: &PublicApi,
    ) -> Self {
        Self {
            clock,
            ids,
            store,
            source: Arc::new(LogCache::new(api.clone())),
            target: Arc::new(CloudController::new(api.clone())),
            access: Arc::new(AsCaller::new(api.clone())),
        }
    }
}
