//! A command that runs once with an app's droplet.

use std::collections::BTreeMap;

use cfx_protocol::id::{AppGuid, DropletGuid, TaskGuid};
use serde::{Deserialize, Serialize};

use super::Link;
use super::intent::Intent;
use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub guid: TaskGuid,
    pub app: AppGuid,
    pub sequence_id: u32,
    pub name: String,
    pub command: String,
    pub droplet: DropletGuid,
    /// The user's variables (running group under app) when the task was created.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// VCAP_SERVICES at the time, as JSON text.
    #[serde(default)]
    pub vcap_services: String,
    pub memory_mb: u32,
    pub disk_mb: u32,
    pub log_rate_bytes: Option<u64>,
    pub state: TaskState,
    pub failure_reason: Option<String>,
    pub intent: Option<Intent>,
    pub meta: Meta,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskState {
    Pending,
    Running,
    Succeeded,
    Canceling,
    Failed,
}

guid_record!(Task, TaskGuid, "task", self => [Link::TasksOf(self.app.0)]);
