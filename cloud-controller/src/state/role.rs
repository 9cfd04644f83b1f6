//! Who may do what where.

use cfx_protocol::id::{OrgGuid, RoleGuid, SpaceGuid, UserGuid};
use serde::{Deserialize, Serialize};

use super::Link;
use super::meta::Meta;
use super::table::guid_record;

/// Role types as the v3 API names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleType {
    OrganizationUser,
    OrganizationAuditor,
    OrganizationManager,
    OrganizationBillingManager,
    SpaceAuditor,
    SpaceDeveloper,
    SpaceManager,
    SpaceSupporter,
}

/// Where a role holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleTarget {
    Organization(OrgGuid),
    Space(SpaceGuid),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    pub guid: RoleGuid,
    pub user: UserGuid,
    pub role: RoleType,
    pub target: RoleTarget,
    pub meta: Meta,
}

guid_record!(RoleAssignment, RoleGuid, "role", self => [
    Link::RolesOf(self.user.0),
    match self.target {
        RoleTarget::Organization(guid) => Link::RolesIn(guid.0),
        RoleTarget::Space(guid) => Link::RolesIn(guid.0),
    },
]);
