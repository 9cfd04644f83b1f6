//! Spaces.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::{Links, Metadata, MetadataPatch, ToOne};
use crate::id::{OrgGuid, SpaceGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    pub guid: SpaceGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub name: String,
    pub relationships: SpaceRelationships,
    pub metadata: Metadata,
    pub links: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceRelationships {
    pub organization: ToOne<OrgGuid>,
}

/// `POST /v3/spaces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSpace {
    pub name: String,
    pub relationships: SpaceRelationships,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

/// `PATCH /v3/spaces/{guid}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpacePatch {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}
