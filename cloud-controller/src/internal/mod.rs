//! The internal endpoints, for cells and routers: `cfx_protocol::link` lists them. They have a
//! listener of their own with mutual TLS; a peer's certificate says who it is, and it may speak
//! only for itself.

mod cell;
mod join;
mod logs;
mod metrics;
mod peer;
mod router;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::identity::Authority;
use cfx_protocol::link::{FRAME_MAX_BYTES, PREFIX};
use cfx_protocol::metrics::METRICS_MAX_BYTES;

use crate::blobs::Blobs;
use crate::blobs::internal::InternalBlobs;
use crate::cells::Observed;
use crate::convergence::Dispatch;
use crate::events::Events;
use crate::log_cache::LogCache;
use crate::metrics_history::intake::Intake;
use crate::routing::{Publisher, Routers};
use crate::state::StateHandle;

/// Largest small message, bytes: a registration with hundreds of stacks and tags.
const MESSAGE_MAX_BYTES: usize = 256 * 1024;
/// Largest report, bytes: 20,000 instances with long crash reasons.
const REPORT_MAX_BYTES: usize = 16 * 1024 * 1024;

/// What the endpoints work with; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Context {
    pub state: StateHandle,
    pub observed: Observed,
    pub dispatch: Dispatch,
    pub publisher: Publisher,
    pub routers: Routers,
    pub log_cache: LogCache,
    pub metrics: Intake,
    pub blobs: Blobs,
    pub authority: Arc<Authority>,
    pub clock: Clock,
    pub ids: IdSource,
    pub events: Arc<Events>,
}

/// All of them, ready to be served on the internal listener.
pub fn endpoints(context: Context) -> Router {
    let blobs = crate::blobs::internal::router(InternalBlobs {
        state: context.state.clone(),
        blobs: context.blobs.clone(),
    });
    let limit = DefaultBodyLimit::max;
    let path = |path: &str| format!("{PREFIX}{path}");
    Router::new()
        .route(&path("/cells"), post(cell::register))
        .route(&path("/cells/{guid}/desired"), get(cell::desired))
        .route(&path("/routes"), get(router::routes))
        .route(&path("/routers/{guid}/ack"), post(router::acknowledge))
        .route(&path("/join"), post(join::join))
        .layer(limit(MESSAGE_MAX_BYTES))
        .route(
            &path("/cells/{guid}/report"),
            post(cell::report).layer(limit(REPORT_MAX_BYTES)),
        )
        .route(
            &path("/logs"),
            post(logs::append).layer(limit(FRAME_MAX_BYTES)),
        )
        .route(
            &path("/metrics"),
            post(metrics::take).layer(limit(METRICS_MAX_BYTES)),
        )
        .with_state(context)
        .merge(blobs)
}
