//! Tasks: commands that run once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::app::AppRelationship;
use super::resource::{Links, Metadata, MetadataPatch, Number, Reference};
use crate::id::{DropletGuid, ProcessGuid, TaskGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub guid: TaskGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub sequence_id: u32,
    pub name: String,
    /// Absent from lists: it may hold secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    pub state: String,
    pub memory_in_mb: u32,
    pub disk_in_mb: u32,
    pub log_rate_limit_in_bytes_per_second: i64,
    pub result: TaskResult,
    pub droplet_guid: DropletGuid,
    pub relationships: AppRelationship,
    pub metadata: Metadata,
    pub links: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    pub failure_reason: Option<String>,
}

/// `POST /v3/apps/{guid}/tasks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    #[serde(default)]
    pub command: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub memory_in_mb: Option<Number>,
    #[serde(default)]
    pub disk_in_mb: Option<Number>,
    #[serde(default)]
    pub log_rate_limit_in_bytes_per_second: Option<Number>,
    #[serde(default)]
    pub droplet_guid: Option<DropletGuid>,
    #[serde(default)]
    pub template: Option<TaskTemplate>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTemplate {
    pub process: Reference<ProcessGuid>,
}
