//! An asynchronous operation of the API.

use cfx_protocol::id::JobGuid;
use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub guid: JobGuid,
    /// `app.delete`, `space.apply_manifest`, ...
    pub operation: String,
    pub state: JobState,
    pub errors: Vec<JobError>,
    pub warnings: Vec<String>,
    /// Name and path of a link to what it made, if anything.
    pub resource: Option<(String, String)>,
    /// Who may see it.
    pub user: uuid::Uuid,
    pub meta: Meta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    pub code: u32,
    pub title: String,
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobState {
    Processing,
    Polling,
    Complete,
    Failed,
}

guid_record!(Job, JobGuid, "job", self => []);
