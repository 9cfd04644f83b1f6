//! Audit events.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::resource::{Links, Reference};
use crate::id::{EventGuid, OrgGuid, SpaceGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    pub guid: EventGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// `audit.app.create`, `app.crash`, ...
    #[serde(rename = "type")]
    pub kind: String,
    pub actor: Party,
    pub target: Party,
    pub data: Value,
    pub space: Option<Reference<SpaceGuid>>,
    pub organization: Option<Reference<OrgGuid>>,
    pub links: Links,
}

/// Who did it, or to what it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    pub guid: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
}
