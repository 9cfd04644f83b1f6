//! Organisations.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::{Links, Metadata, MetadataPatch};
use crate::id::OrgGuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    pub guid: OrgGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub name: String,
    pub suspended: bool,
    pub relationships: OrganizationRelationships,
    pub metadata: Metadata,
    pub links: Links,
}

/// Quotas are not part of the platform: always `{"quota": {"data": null}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationRelationships {
    pub quota: NoQuota,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoQuota {
    pub data: Option<()>,
}

/// `POST /v3/organizations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrganization {
    pub name: String,
    #[serde(default)]
    pub suspended: bool,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

/// `PATCH /v3/organizations/{guid}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganizationPatch {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub suspended: Option<bool>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}
