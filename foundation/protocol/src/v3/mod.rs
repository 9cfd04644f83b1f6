//! Wire types of the Cloud Foundry v3 API, one file per resource.

pub mod error;
pub mod resource;

pub mod app;
pub mod audit_event;
pub mod build;
pub mod buildpack;
pub mod deployment;
pub mod domain;
pub mod droplet;
pub mod feature_flag;
pub mod job;
pub mod manifest;
pub mod organization;
pub mod package;
pub mod platform;
pub mod process;
pub mod role;
pub mod route;
pub mod service_credential_binding;
pub mod service_instance;
pub mod space;
pub mod stack;
pub mod task;
pub mod user;
