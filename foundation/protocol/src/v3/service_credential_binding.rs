//! Bindings of service instances to apps.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::resource::{Links, Metadata, MetadataPatch, ToOne};
use super::service_instance::LastOperation;
use crate::id::{AppGuid, ServiceBindingGuid, ServiceInstanceGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCredentialBinding {
    pub guid: ServiceBindingGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub name: Option<String>,
    /// `app`.
    #[serde(rename = "type")]
    pub kind: String,
    pub last_operation: LastOperation,
    pub relationships: BindingRelationships,
    pub metadata: Metadata,
    pub links: Links,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRelationships {
    pub app: ToOne<AppGuid>,
    pub service_instance: ToOne<ServiceInstanceGuid>,
}

/// `POST /v3/service_credential_bindings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewServiceCredentialBinding {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub strategy: Option<String>,
    #[serde(default)]
    pub parameters: Option<Map<String, Value>>,
    pub relationships: NewBindingRelationships,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBindingRelationships {
    #[serde(default)]
    pub app: Option<ToOne<AppGuid>>,
    pub service_instance: ToOne<ServiceInstanceGuid>,
}

/// `GET /v3/service_credential_bindings/{guid}/details`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingDetails {
    pub credentials: Map<String, Value>,
    pub syslog_drain_url: Option<String>,
    pub volume_mounts: Vec<Value>,
}
