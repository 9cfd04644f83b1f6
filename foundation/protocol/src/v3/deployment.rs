//! Deployments: replacing an app's instances without a gap.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::app::AppRelationship;
use super::resource::{Links, Metadata, MetadataPatch, Number, Reference};
use crate::id::{DeploymentGuid, DropletGuid, ProcessGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub guid: DeploymentGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The word of older clients: `DEPLOYING`, `DEPLOYED`, `CANCELING`, `CANCELED`.
    pub state: String,
    pub status: DeploymentStatus,
    /// `rolling`.
    pub strategy: String,
    pub options: DeploymentOptions,
    pub droplet: Option<Reference<DropletGuid>>,
    pub previous_droplet: Option<Reference<DropletGuid>>,
    pub new_processes: Vec<NewProcess>,
    pub relationships: AppRelationship,
    pub metadata: Metadata,
    pub links: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentStatus {
    /// `ACTIVE` or `FINALIZED`.
    pub value: String,
    /// `DEPLOYING`, `DEPLOYED`, `CANCELING`, `CANCELED` or `SUPERSEDED`.
    pub reason: String,
    pub details: DeploymentDetails,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentDetails {
    pub last_successful_healthcheck: Option<Timestamp>,
    pub last_status_change: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentOptions {
    pub max_in_flight: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewProcess {
    pub guid: ProcessGuid,
    #[serde(rename = "type")]
    pub kind: String,
}

/// `POST /v3/deployments`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDeployment {
    pub relationships: AppRelationship,
    #[serde(default)]
    pub droplet: Option<Reference<DropletGuid>>,
    #[serde(default)]
    pub revision: Option<serde_json::Value>,
    #[serde(default)]
    pub strategy: Option<String>,
    #[serde(default)]
    pub options: Option<NewDeploymentOptions>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDeploymentOptions {
    #[serde(default)]
    pub max_in_flight: Option<Number>,
    #[serde(default)]
    pub canary: Option<serde_json::Value>,
    #[serde(default)]
    pub web_instances: Option<Number>,
    #[serde(default)]
    pub memory_in_mb: Option<Number>,
    #[serde(default)]
    pub disk_in_mb: Option<Number>,
    #[serde(default)]
    pub log_rate_limit_in_bytes_per_second: Option<Number>,
}
