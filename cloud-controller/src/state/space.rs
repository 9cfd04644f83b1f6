//! A space inside an organisation.

use cfx_protocol::id::{OrgGuid, SpaceGuid};
use serde::{Deserialize, Serialize};

use super::Link;
use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    pub guid: SpaceGuid,
    pub name: String,
    pub organization: OrgGuid,
    pub meta: Meta,
}

guid_record!(Space, SpaceGuid, "space", self => [Link::SpacesOf(self.organization.0)]);
