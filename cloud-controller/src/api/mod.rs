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

mod app_log;
mod download;
mod stg_hold;
mod upload;

mod absent;
mod app;
mod app_action;
mod app_environment;
mod audit_event;
mod autoscaler;
mod build;
mod buildpack;
mod deployment;
mod destination;
mod domain;
mod droplet;
mod environment_variable_group;
mod feature_flag;
mod job;
mod log_cache;
mod manifest;
mod organization;
mod package;
mod package_upload;
mod platform;
mod process;
mod process_instances;
mod promql;
mod role;
mod root;
mod route;
mod service_credential_binding;
mod service_instance;
mod space;
mod stack;
mod task;
mod uaa;
mod user;

pub use context::{Context, Settings};

use axum::Router;

use error::ApiError;
use front::Front;

/// The whole public API, ready to be served.
pub fn router(context: Context) -> Router {
    let front = Front {
        ids: context.ids.clone(),
        events: context.events.clone(),
    };
    let unknown = async || ApiError::unknown_request();
    let router = Router::new();
    let router = endpoints::all()
        .into_iter()
        .fold(router, |router, endpoint| {
            tracing::trace!(method = %endpoint.method, path = endpoint.path, "serves");
            router.route(&endpoint.path, endpoint.handler)
        })
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(context);
    front.wrap(router)
}

#[cfg(test)]
mod tests;
