//! Processes of apps, and what their instances do.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::{Links, Metadata, MetadataPatch, Number, ToOne, present};
use crate::id::{AppGuid, InstanceGuid, ProcessGuid};

/// What lists show instead of a start command, which may hold secrets.
pub const HIDDEN_COMMAND: &str = "[PRIVATE DATA HIDDEN IN LISTS]";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub guid: ProcessGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// A counter that grows when instances must be replaced.
    pub version: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub command: Option<String>,
    pub instances: u32,
    pub memory_in_mb: u32,
    pub disk_in_mb: u32,
    /// -1 is unlimited.
    pub log_rate_limit_in_bytes_per_second: i64,
    pub health_check: HealthCheck,
    pub readiness_health_check: HealthCheck,
    pub relationships: ProcessRelationships,
    pub metadata: Metadata,
    pub links: Links,
    /// Only with `embed=process_instances`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_instances: Option<Vec<ProcessInstance>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRelationships {
    pub app: ToOne<AppGuid>,
    /// Always null: revisions are not kept.
    pub revision: ToOne<uuid::Uuid>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    #[serde(rename = "type")]
    pub kind: String,
    pub data: HealthCheckData,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheckData {
    /// Seconds; only of the start check.
    #[serde(default)]
    pub timeout: Option<u32>,
    #[serde(default)]
    pub invocation_timeout: Option<u32>,
    #[serde(default)]
    pub interval: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// One instance in few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInstance {
    pub index: u32,
    pub state: String,
    /// Whole seconds in this state; absent for what is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// `GET /v3/processes/{guid}/process_instances`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInstances {
    pub process_instances: Vec<ProcessInstance>,
    pub links: Links,
}

/// `PATCH /v3/processes/{guid}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessPatch {
    /// Null goes back to the droplet's command.
    #[serde(default, deserialize_with = "present::deserialize")]
    pub command: Option<Option<String>>,
    #[serde(default)]
    pub health_check: Option<HealthCheckPatch>,
    #[serde(default)]
    pub readiness_health_check: Option<HealthCheckPatch>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheckPatch {
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub data: Option<HealthCheckDataPatch>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheckDataPatch {
    #[serde(default)]
    pub timeout: Option<Number>,
    #[serde(default)]
    pub invocation_timeout: Option<Number>,
    #[serde(default)]
    pub interval: Option<Number>,
    #[serde(default)]
    pub endpoint: Option<String>,
}

/// `POST .../actions/scale`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    #[serde(default)]
    pub instances: Option<Number>,
    #[serde(default)]
    pub memory_in_mb: Option<Number>,
    #[serde(default)]
    pub disk_in_mb: Option<Number>,
    /// -1 is unlimited.
    #[serde(default)]
    pub log_rate_limit_in_bytes_per_second: Option<Number>,
}

/// `GET /v3/processes/{guid}/stats`: every desired instance, in order of index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub resources: Vec<InstanceStats>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStats {
    #[serde(rename = "type")]
    pub kind: String,
    pub index: u32,
    pub state: String,
    /// May the router send it requests; null while it does not run.
    pub routable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_guid: Option<InstanceGuid>,
    /// Null only for what is down.
    pub usage: Option<Usage>,
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_internal_ip: Option<String>,
    #[serde(default)]
    pub instance_ports: Vec<InstancePort>,
    /// Seconds.
    pub uptime: u64,
    /// Bytes.
    pub mem_quota: u64,
    pub disk_quota: u64,
    /// Bytes a second; -1 is unlimited.
    pub log_rate_limit: i64,
    pub fds_quota: u32,
    pub isolation_segment: Option<String>,
    /// Why it is not running, if there is something to say.
    pub details: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub time: Timestamp,
    /// 1.0 is a whole core.
    pub cpu: f64,
    /// 1.0 is all of the instance's entitlement.
    pub cpu_entitlement: f64,
    pub mem: u64,
    pub disk: u64,
    pub log_rate: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancePort {
    pub external: u16,
    pub internal: u16,
    pub external_tls_proxy_port: Option<u16>,
    pub internal_tls_proxy_port: Option<u16>,
}
