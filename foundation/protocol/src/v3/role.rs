//! Roles.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::{Links, ToOne};
use crate::id::{OrgGuid, RoleGuid, SpaceGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub guid: RoleGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// `space_developer`, `organization_manager`, ...
    #[serde(rename = "type")]
    pub kind: String,
    pub relationships: RoleRelationships,
    pub links: Links,
}

/// One of organisation and space is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRelationships {
    pub user: ToOne<String>,
    pub organization: ToOne<OrgGuid>,
    pub space: ToOne<SpaceGuid>,
}

/// `POST /v3/roles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    #[serde(rename = "type")]
    pub kind: String,
    pub relationships: NewRoleRelationships,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRoleRelationships {
    pub user: ToUser,
    #[serde(default)]
    pub organization: Option<ToOne<OrgGuid>>,
    #[serde(default)]
    pub space: Option<ToOne<SpaceGuid>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToUser {
    pub data: UserReference,
}

/// A user by guid (or a client by its id), or by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserReference {
    #[serde(default)]
    pub guid: Option<String>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub origin: Option<String>,
}
