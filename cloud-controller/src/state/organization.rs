//! An organisation: the tenant.

use cfx_protocol::id::OrgGuid;
use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    pub guid: OrgGuid,
    pub name: String,
    pub suspended: bool,
    pub meta: Meta,
}

guid_record!(Organization, OrgGuid, "organization", self => []);
