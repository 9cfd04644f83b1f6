//! What the platform is meant to be, as durable records in memory.
//!
//! `State` is a persistent value: a snapshot costs one pointer, readers never wait, and an action
//! is a pure function of a `Draft` (a private copy plus the list of what changed). The `handle`
//! commits a draft to the store and then publishes it. Nothing here knows of HTTP, cells or time.

mod diff;
mod draft;
mod handle;
mod table;

pub mod app;
pub mod audit_event;
pub mod auth;
pub mod build;
pub mod buildpack;
pub mod deployment;
pub mod domain;
pub mod droplet;
pub mod feature_flag;
pub mod intent;
pub mod job;
pub mod meta;
pub mod organization;
pub mod package;
pub mod process;
pub mod role;
pub mod route;
pub mod service;
pub mod space;
pub mod stack;
pub mod task;
pub mod user;

pub use diff::changed_keys;
pub use draft::Draft;
pub use handle::{OpenError, StateHandle, WriteError};
pub use table::{Link, Record, Stored, Table};

#[cfg(test)]
mod tests;

use table::tables;

tables! {
    organizations: organization::Organization,
    spaces: space::Space,
    users: user::User,
    clients: auth::Client,
    signing_keys: auth::SigningKey,
    refresh_tokens: auth::RefreshToken,
    join_tokens: auth::JoinToken,
    roles: role::RoleAssignment,
    apps: app::App,
    processes: process::Process,
    packages: package::Package,
    builds: build::Build,
    droplets: droplet::Droplet,
    deployments: deployment::Deployment,
    tasks: task::Task,
    domains: domain::Domain,
    routes: route::Route,
    service_instances: service::ServiceInstance,
    service_bindings: service::ServiceBinding,
    jobs: job::Job,
    audit_events: audit_event::AuditEvent,
    buildpacks: buildpack::Buildpack,
    stacks: stack::Stack,
    feature_flags: feature_flag::FeatureFlag,
    environment_groups: app::EnvironmentGroup,
    intents: intent::IntentChunk,
}
