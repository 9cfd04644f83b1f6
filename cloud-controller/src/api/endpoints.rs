//! Every endpoint of the public API: method, path, handler. There is no other registration.
//!
//! A handler that takes a `Call` serves authenticated callers only; the few that take a
//! `Visitor` serve anyone. What a caller may do is decided in permission.rs.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

use super::context::Context;
use super::{
    absent, audit_event, autoscaler, buildpack, environment_variable_group, feature_flag, job,
    log_cache, organization, platform, promql, role, root, space, stack, uaa, user,
};
use super::{
    app, app_action, app_environment, build, deployment, destination, domain, droplet, manifest,
    package, package_upload, process, process_instances, route, service_credential_binding,
    service_instance, task,
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
    let tables = [
        platform(),
        tenants(),
        apps(),
        staging(),
        routes(),
        services(),
        logs(),
        autoscaler(),
        self::uaa(),
    ];
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
        get("/v3/buildpacks", buildpack::list),
        post("/v3/buildpacks", buildpack::create),
        get("/v3/buildpacks/{guid}", buildpack::show),
        patch("/v3/buildpacks/{guid}", buildpack::update),
        delete("/v3/buildpacks/{guid}", buildpack::delete),
        post("/v3/buildpacks/{guid}/upload", buildpack::upload),

        // What there is none of.
        get("/v3/isolation_segments", absent::list),
        get("/v3/organization_quotas", absent::list),
        get("/v3/security_groups", absent::list),
        get("/v3/space_quotas", absent::list),

        // What cfx adds.
        get("/cfx/v1/status", platform::status),
        get("/cfx/v1/cells", platform::cells),
        get("/cfx/v1/why/{guid}", platform::why),
        post("/cfx/v1/join_tokens", platform::create_join_token),

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

        get("/v3/organizations/{guid}/relationships/default_isolation_segment", absent::relationship_of_organization),

        get("/v3/spaces", space::list),
        post("/v3/spaces", space::create),
        get("/v3/spaces/{guid}", space::show),
        patch("/v3/spaces/{guid}", space::update),
        delete("/v3/spaces/{guid}", space::delete),
        get("/v3/spaces/{guid}/relationships/isolation_segment", absent::relationship_of_space),
        get("/v3/spaces/{guid}/running_security_groups", absent::list_of_space),
        get("/v3/spaces/{guid}/staging_security_groups", absent::list_of_space),

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

/// Apps, and what runs of them.
#[rustfmt::skip]
fn apps() -> Vec<Endpoint> {
    vec![
        get("/v3/apps", app::list),
        post("/v3/apps", app::create),
        get("/v3/apps/{guid}", app::show),
        patch("/v3/apps/{guid}", app::update),
        delete("/v3/apps/{guid}", app::delete),
        post("/v3/apps/{guid}/actions/start", app_action::start),
        post("/v3/apps/{guid}/actions/stop", app_action::stop),
        post("/v3/apps/{guid}/actions/restart", app_action::restart),
        get("/v3/apps/{guid}/droplets/current", app_action::current_droplet),
        get("/v3/apps/{guid}/relationships/current_droplet", app_action::current_droplet_relationship),
        patch("/v3/apps/{guid}/relationships/current_droplet", app_action::set_current_droplet),
        get("/v3/apps/{guid}/env", app_environment::show),
        get("/v3/apps/{guid}/environment_variables", app_environment::variables),
        patch("/v3/apps/{guid}/environment_variables", app_environment::update),
        get("/v3/apps/{guid}/features", app_environment::features),
        get("/v3/apps/{guid}/features/{name}", app_environment::feature),
        patch("/v3/apps/{guid}/features/{name}", app_environment::set_feature),
        get("/v3/apps/{guid}/ssh_enabled", app_environment::ssh_enabled),

        post("/v3/spaces/{guid}/actions/apply_manifest", manifest::apply),
        post("/v3/spaces/{guid}/manifest_diff", manifest::difference),
        get("/v3/apps/{guid}/manifest", manifest::show),

        get("/v3/processes", process::list),
        get("/v3/processes/{guid}", process::show),
        patch("/v3/processes/{guid}", process::update),
        post("/v3/processes/{guid}/actions/scale", process::scale),
        get("/v3/processes/{guid}/sidecars", process::sidecars),
        get("/v3/processes/{guid}/stats", process_instances::stats),
        get("/v3/processes/{guid}/process_instances", process_instances::list),
        delete("/v3/processes/{guid}/instances/{index}", process::terminate_instance),
        get("/v3/apps/{guid}/processes", process::list_of_app),
        get("/v3/apps/{guid}/processes/{type}", process::show),
        patch("/v3/apps/{guid}/processes/{type}", process::update),
        post("/v3/apps/{guid}/processes/{type}/actions/scale", process::scale),
        get("/v3/apps/{guid}/processes/{type}/sidecars", process::sidecars),
        get("/v3/apps/{guid}/processes/{type}/stats", process_instances::stats),
        get("/v3/apps/{guid}/processes/{type}/process_instances", process_instances::list),
        delete("/v3/apps/{guid}/processes/{type}/instances/{index}", process::terminate_instance),
        get("/v3/apps/{guid}/sidecars", app::sidecars),

        get("/v3/deployments", deployment::list),
        post("/v3/deployments", deployment::create),
        get("/v3/deployments/{guid}", deployment::show),
        post("/v3/deployments/{guid}/actions/cancel", deployment::cancel),
        post("/v3/deployments/{guid}/actions/continue", deployment::continue_),

        get("/v3/tasks", task::list),
        get("/v3/tasks/{guid}", task::show),
        put("/v3/tasks/{guid}/cancel", task::cancel),
        post("/v3/tasks/{guid}/actions/cancel", task::cancel),
        get("/v3/apps/{guid}/tasks", task::list_of_app),
        post("/v3/apps/{guid}/tasks", task::create),
    ]
}

/// From bits to droplets.
#[rustfmt::skip]
fn staging() -> Vec<Endpoint> {
    vec![
        post("/v3/resource_matches", package::resource_matches),
        get("/v3/packages", package::list),
        post("/v3/packages", package::create),
        get("/v3/packages/{guid}", package::show),
        delete("/v3/packages/{guid}", package::delete),
        post("/v3/packages/{guid}/upload", package_upload::upload),
        get("/v3/packages/{guid}/download", package::download),
        get("/v3/packages/{guid}/droplets", package::droplets),
        get("/v3/apps/{guid}/packages", package::list_of_app),

        get("/v3/builds", build::list),
        post("/v3/builds", build::create),
        get("/v3/builds/{guid}", build::show),
        get("/v3/apps/{guid}/builds", build::list_of_app),

        get("/v3/droplets", droplet::list),
        post("/v3/droplets", droplet::create),
        get("/v3/droplets/{guid}", droplet::show),
        delete("/v3/droplets/{guid}", droplet::delete),
        post("/v3/droplets/{guid}/upload", droplet::upload),
        get("/v3/droplets/{guid}/download", droplet::download),
        get("/v3/apps/{guid}/droplets", droplet::list_of_app),
    ]
}

/// Domains, routes and where they lead.
#[rustfmt::skip]
fn routes() -> Vec<Endpoint> {
    vec![
        get("/v3/domains", domain::list),
        post("/v3/domains", domain::create),
        get("/v3/domains/{guid}", domain::show),
        delete("/v3/domains/{guid}", domain::delete),
        get("/v3/domains/{guid}/route_reservations", domain::route_reservations),
        get("/v3/organizations/{guid}/domains", domain::list_of_organization),
        get("/v3/organizations/{guid}/domains/default", domain::default_of_organization),

        get("/v3/routes", route::list),
        post("/v3/routes", route::create),
        get("/v3/routes/{guid}", route::show),
        patch("/v3/routes/{guid}", route::update),
        delete("/v3/routes/{guid}", route::delete),
        patch("/v3/routes/{guid}/relationships/space", route::transfer),
        get("/v3/routes/{guid}/destinations", destination::list),
        post("/v3/routes/{guid}/destinations", destination::insert),
        patch("/v3/routes/{guid}/destinations", destination::replace),
        delete("/v3/routes/{guid}/destinations/{destination}", destination::delete),
        get("/v3/apps/{guid}/routes", route::list_of_app),
        delete("/v3/spaces/{guid}/routes", route::delete_unmapped),
    ]
}

/// Services that users provide, and the lists that are empty without brokers.
#[rustfmt::skip]
fn services() -> Vec<Endpoint> {
    vec![
        get("/v3/service_instances", service_instance::list),
        post("/v3/service_instances", service_instance::create),
        get("/v3/service_instances/{guid}", service_instance::show),
        patch("/v3/service_instances/{guid}", service_instance::update),
        delete("/v3/service_instances/{guid}", service_instance::delete),
        get("/v3/service_instances/{guid}/credentials", service_instance::credentials),
        get("/v3/service_instances/{guid}/parameters", service_instance::parameters),
        get("/v3/service_instances/{guid}/permissions", service_instance::permissions),
        get("/v3/service_instances/{guid}/relationships/shared_spaces", service_instance::shared_spaces),
        get("/v3/service_instances/{guid}/relationships/shared_spaces/usage_summary", service_instance::shared_spaces_usage),

        get("/v3/service_credential_bindings", service_credential_binding::list),
        post("/v3/service_credential_bindings", service_credential_binding::create),
        get("/v3/service_credential_bindings/{guid}", service_credential_binding::show),
        delete("/v3/service_credential_bindings/{guid}", service_credential_binding::delete),
        get("/v3/service_credential_bindings/{guid}/details", service_credential_binding::details),
        get("/v3/service_credential_bindings/{guid}/parameters", service_credential_binding::parameters),

        get("/v3/service_route_bindings", service_credential_binding::none),
        get("/v3/service_brokers", service_credential_binding::none),
        get("/v3/service_offerings", service_credential_binding::none),
        get("/v3/service_plans", service_credential_binding::none),
    ]
}

/// Log-cache.
#[rustfmt::skip]
fn logs() -> Vec<Endpoint> {
    vec![
        get("/api/v1/info", log_cache::info),
        get("/api/v1/meta", log_cache::meta),
        get("/api/v1/read/{source_id}", log_cache::read),
        get("/api/v1/query", promql::query),
        post("/api/v1/query", promql::query),
        get("/api/v1/query_range", promql::query_range),
        post("/api/v1/query_range", promql::query_range),
    ]
}

/// The autoscaler's own API: passed on to it, whatever it is.
#[rustfmt::skip]
fn autoscaler() -> Vec<Endpoint> {
    vec![
        get("/health", autoscaler::forward),
        get("/v1/info", autoscaler::forward),
        get("/v1/apps/{guid}/{*rest}", autoscaler::forward),
        put("/v1/apps/{guid}/{*rest}", autoscaler::forward),
        post("/v1/apps/{guid}/{*rest}", autoscaler::forward),
        delete("/v1/apps/{guid}/{*rest}", autoscaler::forward),
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
