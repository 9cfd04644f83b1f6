//! User-provided service instances.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::app::SpaceRelationship;
use super::resource::{Links, Metadata, MetadataPatch, present};
use crate::id::ServiceInstanceGuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInstance {
    pub guid: ServiceInstanceGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub name: String,
    pub tags: Vec<String>,
    /// `user-provided`.
    #[serde(rename = "type")]
    pub kind: String,
    pub syslog_drain_url: Option<String>,
    pub route_service_url: Option<String>,
    pub last_operation: LastOperation,
    pub relationships: SpaceRelationship,
    pub metadata: Metadata,
    pub links: Links,
}

/// How the last change of an instance or a binding went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastOperation {
    /// `create`, `update` or `delete`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `succeeded`.
    pub state: String,
    pub description: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// `POST /v3/service_instances`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewServiceInstance {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    #[serde(default)]
    pub credentials: Option<Map<String, Value>>,
    #[serde(default)]
    pub syslog_drain_url: Option<String>,
    #[serde(default)]
    pub route_service_url: Option<String>,
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    pub relationships: SpaceRelationship,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

/// `PATCH /v3/service_instances/{guid}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceInstancePatch {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "present::deserialize")]
    pub credentials: Option<Option<Map<String, Value>>>,
    #[serde(default, deserialize_with = "present::deserialize")]
    pub syslog_drain_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "present::deserialize")]
    pub route_service_url: Option<Option<String>>,
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}
