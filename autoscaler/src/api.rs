//! The autoscaler's public API: Cloud Foundry's app-autoscaler, and under `.../cfx/` what goes
//! beyond it. `endpoints` lists all of it.

pub mod access;
mod call;
mod credential;
mod error;
mod explain;
mod history;
mod measurement;
mod page;
mod policy;
mod rate;
mod rules;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::edges::Edges;
use crate::events::Events;
use crate::inbox::Inbox;
use crate::latest::Latest;
use crate::state::policies::Policies;
use error::ApiError;
use rate::Rate;

/// Largest request, bytes: what fits the store, with room for white space.
const BODY_MAX_BYTES: usize = 256 * 1024;

/// What handlers work with; cloning it is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) edges: Edges,
    pub(crate) policies: Policies,
    pub(crate) inbox: Inbox,
    pub(crate) latest: Latest,
    pub(crate) events: Arc<Events>,
    pub(crate) rate: Arc<Rate>,
}

/// The whole API, ready to be served.
#[rustfmt::skip]
pub(crate) fn endpoints(context: Context) -> Router {
    let unknown = async || ApiError::NotFound("there is no such endpoint".to_owned());
    Router::new()
        .route("/health", get(health))
        .route("/v1/info", get(info))

        // As app-autoscaler has them.
        .route("/v1/apps/{guid}/policy", get(policy::show).put(policy::attach).delete(policy::detach))
        .route("/v1/apps/{guid}/scaling_histories", get(history::list))
        .route("/v1/apps/{guid}/aggregated_metric_histories/{metric}", get(measurement::list))
        .route("/v1/apps/{guid}/metrics", post(measurement::receive))

        .route("/v1/apps/{guid}/credential", put(credential::create).delete(credential::delete))

        // What cfx adds.
        .route("/v1/apps/{guid}/cfx/rules", get(rules::list).post(rules::add).put(rules::replace).delete(rules::remove_all))
        .route("/v1/apps/{guid}/cfx/rules/{number}", delete(rules::remove))
        .route("/v1/apps/{guid}/cfx/enabled", put(rules::switch))
        .route("/v1/apps/{guid}/cfx/pause", put(rules::pause).delete(rules::resume))
        .route("/v1/apps/{guid}/cfx/explain", get(explain::explain))
        .route("/v1/apps/{guid}/cfx/decisions", get(explain::list))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(from_fn_with_state(context.clone(), count))
        .with_state(context)
}

async fn count(State(context): State<Context>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let answer = next.run(request).await;
    context.events.api_answered(&path, answer.status());
    answer
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "up" }))
}

async fn info() -> Json<Value> {
    Json(json!({
        "name": "cfx-autoscaler",
        "build": env!("CARGO_PKG_VERSION"),
        "support": "",
        "description": "Scales apps by rule, by schedule and by app-autoscaler policies",
    }))
}

#[cfg(test)]
mod tests;
