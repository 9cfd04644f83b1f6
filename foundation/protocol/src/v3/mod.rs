//! Wire types of the Cloud Foundry v3 API, one file per resource.

pub mod platform;
pub mod resource;
