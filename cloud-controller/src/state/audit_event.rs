//! What was done, by whom, to what. Append-only; the oldest go when there are too many.

use cfx_protocol::id::{EventGuid, OrgGuid, SpaceGuid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    pub guid: EventGuid,
    /// `audit.app.create`, `app.crash`, ...
    pub kind: String,
    pub actor: Party,
    pub target: Party,
    /// Secrets are redacted before they come here.
    pub data: Value,
    pub space: Option<SpaceGuid>,
    pub organization: Option<OrgGuid>,
    pub created_at: Timestamp,
}

/// Who did it, or to what it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    pub guid: String,
    /// `user`, `app`, `space`, `process`, ...
    pub kind: String,
    pub name: String,
}

guid_record!(AuditEvent, EventGuid, "audit_event", self => []);
