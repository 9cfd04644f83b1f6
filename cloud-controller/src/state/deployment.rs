//! A replacement of an app's instances without a gap.

use cfx_protocol::id::{AppGuid, DeploymentGuid, DropletGuid, ProcessGuid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Link;
use super::meta::Meta;
use super::process::RunningVersion;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub guid: DeploymentGuid,
    pub app: AppGuid,
    /// The web process whose instances are replaced.
    pub process: ProcessGuid,
    pub strategy: Strategy,
    pub status: DeploymentStatus,
    pub droplet: Option<DropletGuid>,
    pub previous_droplet: Option<DropletGuid>,
    /// What to go back to when it is cancelled.
    pub previous: Option<RunningVersion>,
    pub max_in_flight: u32,
    pub last_status_change: Timestamp,
    pub last_healthy_at: Option<Timestamp>,
    pub meta: Meta,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    Rolling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DeploymentStatus {
    Deploying,
    Deployed,
    Canceling,
    Canceled,
    Superseded,
}

impl DeploymentStatus {
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Deploying | Self::Canceling)
    }
}

guid_record!(Deployment, DeploymentGuid, "deployment", self => [Link::DeploymentsOf(self.app.0)]);
