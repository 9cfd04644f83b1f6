//! Every endpoint of the public API: method, path, handler. There is no other registration.
//!
//! A handler that takes a `Call` serves authenticated callers only; the few that take a
//! `Visitor` serve anyone. What a caller may do is decided in permission.rs.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use super::context::Context;
use super::{
    audit_event, buildpack, environment_variable_group, feature_flag, job, log_cache, organization,
    role, root, space, stack, uaa, user,
};

/// One row.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(super) handler: MethodRouter<Context>,
}

/// The whole table.
pub(crate) fn all() -> Vec<Endpoint> {
    let uaa = uaa().into_iter();
    let under_prefix = uaa.map(|endpoint| Endpoint {
        path: format!("/uaa{}", endpoint.path),
        ..endpoint
    });
    let tables = [platform(), tenants(), logs(), self::uaa()];
    tables.into_iter().flatten().chain(under_prefix).collect()
}

/// The platform itself.
#[rustfmt::skip]
fn platform() -> Vec<Endpoint> {
    vec![
        // Where things are.
        get("/", root::show),
        get("/v3", root::v3),
        get("/v3/info", root::info),
        get("/whoami", user::whoami),

        // What operators set.
        get("/v3/feature_flags", feature_flag::list),
        get("/v3/feature_flags/{name}", feature_flag::show),
        patch("/v3/feature_flags/{name}", feature_flag::update),
        get("/v3/environment_variable_groups/{name}", environment_variable_group::show),
        patch("/v3/environment_variable_groups/{name}", environment_variable_group::update),
        get("/v3/stacks", stack::list),
        get("/v3/stacks/{guid}", stack::show),
        get("/v3/isolation_segments", stack::isolation_segments),
        get("/v3/buildpacks", buildpack::list),
        post("/v3/buildpacks", buildpack::create),
        get("/v3/buildpacks/{guid}", buildpack::show),
        patch("/v3/buildpacks/{guid}", buildpack::update),
        delete("/v3/buildpacks/{guid}", buildpack::delete),

        // What happened.
        get("/v3/audit_events", audit_event::list),
        get("/v3/audit_events/{guid}", audit_event::show),
        get("/v3/jobs/{guid}", job::show),
    ]
}

/// Organisations, spaces, and who may do what in them.
#[rustfmt::skip]
fn tenants() -> Vec<Endpoint> {
    vec![
        get("/v3/organizations", organization::list),
        post("/v3/organizations", organization::create),
        get("/v3/organizations/{guid}", organization::show),
        patch("/v3/organizations/{guid}", organization::update),
        delete("/v3/organizations/{guid}", organization::delete),

        get("/v3/spaces", space::list),
        post("/v3/spaces", space::create),
        get("/v3/spaces/{guid}", space::show),
        patch("/v3/spaces/{guid}", space::update),
        delete("/v3/spaces/{guid}", space::delete),

        get("/v3/users", user::list),
        post("/v3/users", user::create),
        get("/v3/users/{guid}", user::show),
        patch("/v3/users/{guid}", user::update),
        delete("/v3/users/{guid}", user::delete),

        get("/v3/roles", role::list),
        post("/v3/roles", role::create),
        get("/v3/roles/{guid}", role::show),
        delete("/v3/roles/{guid}", role::delete),
    ]
}

/// Log-cache.
#[rustfmt::skip]
fn logs() -> Vec<Endpoint> {
    vec![
        get("/api/v1/info", log_cache::info),
        get("/api/v1/meta", log_cache::meta),
        get("/api/v1/read/{source_id}", log_cache::read),
    ]
}

/// UAA: at the root, and under `/uaa` as the root's links say.
#[rustfmt::skip]
fn uaa() -> Vec<Endpoint> {
    vec![
        get("/login", uaa::login::info),
        get("/info", uaa::login::info),
        get("/userinfo", uaa::login::userinfo),
        get("/token_key", uaa::key::show),
        get("/token_keys", uaa::key::list),
        post("/oauth/token", uaa::token::issue),
        delete("/oauth/token/revoke/{token_id}", uaa::token::revoke),
        post("/oauth/clients", uaa::client::create),
        get("/oauth/clients/{client_id}", uaa::client::show),
        delete("/oauth/clients/{client_id}", uaa::client::delete),
        get("/Users", uaa::user::list),
        post("/Users", uaa::user::create),
        get("/Users/{id}", uaa::user::show),
        delete("/Users/{id}", uaa::user::delete),
        put("/Users/{id}/password", uaa::user::set_password),
    ]
}

fn get<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::GET, MethodFilter::GET, path, handler)
}

fn post<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::POST, MethodFilter::POST, path, handler)
}

fn put<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::PUT, MethodFilter::PUT, path, handler)
}

fn patch<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::PATCH, MethodFilter::PATCH, path, handler)
}

fn delete<H: Handler<T, Context>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    endpoint(Method::DELETE, MethodFilter::DELETE, path, handler)
}

fn endpoint<H: Handler<T, Context>, T: 'static>(
    method: Method,
    filter: MethodFilter,
    path: &'static str,
    handler: H,
) -> Endpoint {
    Endpoint {
        method,
        path: path.to_owned(),
        handler: on(filter, handler),
    }
}
