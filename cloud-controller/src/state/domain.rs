//! A domain that routes live under.

use cfx_protocol::id::{DomainGuid, OrgGuid};
use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    pub guid: DomainGuid,
    pub name: String,
    /// Reached only from instances.
    pub internal: bool,
    /// Private to an organisation; none is shared by all.
    pub organization: Option<OrgGuid>,
    /// Where routes go that name no domain. One shared domain is.
    #[serde(default)]
    pub default: bool,
    pub meta: Meta,
}

guid_record!(Domain, DomainGuid, "domain", self => []);
