//! The public API: Cloud Foundry's v3 and UAA, log-cache, and what cfx adds.
//!
//! `endpoints` lists every endpoint; each resource has a file of its name. A handler parses,
//! authorises, calls an action and presents, and does nothing else. Nothing imports this module.

pub(crate) mod endpoints;

mod context;
mod error;
mod request;
mod response;

mod access;
mod permission;

mod label_selector;
mod pagination;
mod query;

mod front;

mod audit_event;
mod buildpack;
mod environment_variable_group;
mod feature_flag;
mod job;
mod log_cache;
mod organization;
mod role;
mod root;
mod space;
mod stack;
mod uaa;
mod user;

pub use context::{Context, Settings};

use axum::Router;

use error::ApiError;

/// The whole public API, ready to be served.
pub fn router(context: Context) -> Router {
    let ids = context.ids.clone();
    let unknown = async || ApiError::unknown_request();
    let router = Router::new();
    let router = endpoints::all()
        .into_iter()
        .fold(router, |router, endpoint| {
            router.route(&endpoint.path, endpoint.handler)
        })
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(context);
    front::wrap(router, ids)
}
