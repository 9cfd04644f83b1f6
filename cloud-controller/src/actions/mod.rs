//! What can be done to the platform: pure functions of a `Draft`, an `Act` (time, ids, actor) and
//! what was asked. Each judges the request against the state, changes the draft and leaves its audit
//! event in the same commit. Nothing here does I/O or knows of HTTP.

pub mod act;
pub mod app;
pub mod bootstrap;
pub mod build;
pub mod buildpack;
pub mod client;
pub mod deletion;
pub mod deployment;
pub mod destination;
pub mod domain;
pub mod droplet;
pub mod environment;
pub mod feature_flag;
pub mod health_check;
pub mod history;
pub mod job;
pub mod join_token;
pub mod lifecycle;
pub mod limits;
pub mod manifest;
pub mod metadata;
pub mod name;
pub mod organization;
pub mod package;
pub mod process;
pub mod refused;
pub mod retention;
pub mod role;
pub mod route;
pub mod service;
pub mod session;
pub mod space;
pub mod stack;
pub mod task;
pub mod user;
pub mod vcap;

pub use act::{Act, Target};
pub use refused::Refused;

#[cfg(test)]
pub(crate) mod fixture;
