//! What is scaled: the web processes of apps, as the platform's public API shows and changes them.
//!
//! `CloudController` is the real thing; tests script one.

mod cloud_controller;

use std::fmt;

use async_trait::async_trait;
use cfx_protocol::id::{AppGuid, ProcessGuid};
use cfx_rules::units::Second;
use cfx_rules::window::Running;

use crate::public_api::CallError;

pub use cloud_controller::CloudController;

/// With this label set to `true` an app is left alone; Cloud Foundry's autoscaler knows it too.
pub const DISABLE_LABEL: &str = "app-autoscaler.cloudfoundry.org/disable-autoscaling";

/// An app that could be scaled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub app: AppGuid,
    pub name: String,
    pub process: ProcessGuid,
    /// Wanted now.
    pub instances: u32,
    /// Those that are RUNNING.
    pub running: Vec<Running>,
    pub is_started: bool,
    /// By its label.
    pub is_disabled: bool,
}

/// What is to become of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub process: ProcessGuid,
    /// The decision holds only while the process still has this many.
    pub from: u32,
    pub to: u32,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum TargetError {
    /// Somebody else scaled first: their number stands, and the next tick decides anew.
    #[error("it was scaled by somebody else in the meantime")]
    Stale,
    #[error(transparent)]
    Call(#[from] CallError),
}

#[async_trait]
pub trait Target: fmt::Debug + Send + Sync {
    /// These apps as they are now; what is gone is absent.
    async fn workloads(&self, apps: &[AppGuid], now: Second) -> Result<Vec<Workload>, TargetError>;

    /// Set the number of instances, unless somebody else has changed it.
    async fn scale(&self, change: &Change) -> Result<(), TargetError>;
}
