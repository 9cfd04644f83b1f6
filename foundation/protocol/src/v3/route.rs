//! Routes and their destinations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::resource::{Links, Metadata, MetadataPatch, Number, Reference, ToOne};
use crate::id::{AppGuid, DestinationGuid, DomainGuid, RouteGuid, SpaceGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub guid: RouteGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// `http`.
    pub protocol: String,
    pub host: String,
    pub path: String,
    /// Null: there are no TCP routes.
    pub port: Option<u16>,
    /// `host.domain/path`.
    pub url: String,
    pub destinations: Vec<Destination>,
    /// Values are strings, never null: the cf CLI dies of anything else.
    pub options: BTreeMap<String, String>,
    pub relationships: RouteRelationships,
    pub metadata: Metadata,
    pub links: Links,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRelationships {
    pub space: ToOne<SpaceGuid>,
    pub domain: ToOne<DomainGuid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub guid: DestinationGuid,
    pub app: DestinationApp,
    pub weight: Option<u32>,
    pub port: u16,
    /// `http1` or `http2`.
    pub protocol: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationApp {
    pub guid: AppGuid,
    pub process: DestinationProcess,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationProcess {
    #[serde(rename = "type")]
    pub kind: String,
}

/// `GET /v3/routes/{guid}/destinations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destinations {
    pub destinations: Vec<Destination>,
    pub links: Links,
}

/// `POST /v3/routes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRoute {
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub path: Option<String>,
    #[serde(default)]
    pub port: Option<Number>,
    pub relationships: RouteRelationships,
    #[serde(default)]
    pub options: Option<Map<String, Value>>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

/// `PATCH /v3/routes/{guid}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutePatch {
    #[serde(default)]
    pub options: Option<Map<String, Value>>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

/// `POST` and `PATCH /v3/routes/{guid}/destinations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDestinations {
    pub destinations: Vec<NewDestination>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDestination {
    pub app: NewDestinationApp,
    #[serde(default)]
    pub port: Option<Number>,
    #[serde(default)]
    pub weight: Option<Number>,
    #[serde(default)]
    pub protocol: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDestinationApp {
    pub guid: AppGuid,
    #[serde(default)]
    pub process: Option<DestinationProcess>,
}

/// `PATCH /v3/routes/{guid}/relationships/space`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteOwner {
    pub data: Reference<SpaceGuid>,
}
