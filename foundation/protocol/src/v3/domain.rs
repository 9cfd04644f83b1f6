//! Domains.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::{Links, Metadata, MetadataPatch, Reference, ToMany, ToOne};
use crate::id::{DomainGuid, OrgGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    pub guid: DomainGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub name: String,
    pub internal: bool,
    /// Always null: there are no TCP routers.
    pub router_group: Option<Reference<uuid::Uuid>>,
    /// `["http"]`.
    pub supported_protocols: Vec<String>,
    pub relationships: DomainRelationships,
    pub metadata: Metadata,
    pub links: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainRelationships {
    /// Null: shared by all.
    pub organization: ToOne<OrgGuid>,
    pub shared_organizations: ToMany<OrgGuid>,
}

/// `POST /v3/domains`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    pub name: String,
    #[serde(default)]
    pub internal: Option<bool>,
    #[serde(default)]
    pub router_group: Option<Reference<uuid::Uuid>>,
    #[serde(default)]
    pub relationships: Option<NewDomainRelationships>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDomainRelationships {
    #[serde(default)]
    pub organization: Option<ToOne<OrgGuid>>,
    #[serde(default)]
    pub shared_organizations: Option<ToMany<OrgGuid>>,
}

/// `GET /v3/domains/{guid}/route_reservations`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteReservation {
    pub matching_route: bool,
}
