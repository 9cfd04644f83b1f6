//! Jobs: what 202 answers lead to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::V3Error;
use super::resource::Links;
use crate::id::JobGuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub guid: JobGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub operation: String,
    /// `PROCESSING`, `POLLING`, `COMPLETE` or `FAILED`; a failed one has at least one error.
    pub state: String,
    pub errors: Vec<V3Error>,
    pub warnings: Vec<JobWarning>,
    pub links: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobWarning {
    pub detail: String,
}
