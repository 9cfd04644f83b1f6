//! What every action is told: the time, where ids come from, and who acts. And the one way to
//! leave an audit event, in the same commit as what it tells of.

use std::time::Duration;

use cfx_process::entropy::IdSource;
use cfx_protocol::id::{EventGuid, OrgGuid, SpaceGuid};
use jiff::Timestamp;
use serde_json::Value;

use crate::state::Draft;
use crate::state::audit_event::{AuditEvent, Party};
use crate::state::organization::Organization;
use crate::state::space::Space;

/// One act of somebody at one moment.
#[derive(Debug, Clone)]
pub struct Act<'a> {
    pub now: Timestamp,
    pub ids: &'a IdSource,
    pub actor: Party,
}

/// What is done to something, where.
#[derive(Debug, Clone)]
pub struct Target {
    pub party: Party,
    pub space: Option<SpaceGuid>,
    pub organization: Option<OrgGuid>,
}

impl Target {
    /// An organisation itself.
    #[must_use]
    pub fn organization(organization: &Organization) -> Self {
        Self {
            party: Party {
                guid: organization.guid.to_string(),
                kind: "organization".to_owned(),
                name: organization.name.clone(),
            },
            space: None,
            organization: Some(organization.guid),
        }
    }

    /// Something that lives in a space; its organisation is the space's.
    pub fn in_space(
        draft: &Draft,
        space: SpaceGuid,
        kind: &str,
        guid: impl ToString,
        name: &str,
    ) -> Self {
        let organization = draft.get::<Space>(&space).map(|space| space.organization);
        Self {
            party: Party {
                guid: guid.to_string(),
                kind: kind.to_owned(),
                name: name.to_owned(),
            },
            space: Some(space),
            organization,
        }
    }
}

impl Act<'_> {
    /// Leave an audit event. `data` must not hold secrets.
    pub fn record(&self, draft: &mut Draft, kind: &str, target: Target, data: Value) {
        // Events of one act keep their order, for those who list them by time.
        let order = Duration::from_nanos(draft.changed() as u64);
        draft.put(AuditEvent {
            guid: self.ids.guid::<EventGuid>(),
            kind: kind.to_owned(),
            actor: self.actor.clone(),
            target: target.party,
            data,
            space: target.space,
            organization: target.organization,
            created_at: self.now.checked_add(order).unwrap_or(self.now),
        });
    }
}

/// The platform itself, where nobody asked.
#[must_use]
pub fn platform() -> Party {
    Party {
        guid: "cloud-controller".to_owned(),
        kind: "system".to_owned(),
        name: "system".to_owned(),
    }
}
