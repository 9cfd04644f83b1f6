//! What the CLI reads of v3 resources: only the fields it uses, tolerant of all others, because it
//! also speaks to other Cloud Foundry installations and other versions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ErrorItem;

#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    #[serde(default)]
    pub(crate) pagination: Pagination,
    #[serde(default = "Vec::new")]
    pub(crate) resources: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Pagination {
    pub(crate) next: Option<Link>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Link {
    pub(crate) href: String,
}

/// `{"data": {"guid": ...}}`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ToOne {
    pub(crate) data: Option<Guid>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Guid {
    pub(crate) guid: String,
}

/// An org, a space, a domain, a stack: something with a guid and a name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NamedResource {
    pub(crate) guid: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct App {
    pub(crate) guid: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) lifecycle: Lifecycle,
}

impl App {
    pub(crate) fn is_started(&self) -> bool {
        self.state == "STARTED"
    }

    pub(crate) fn is_docker(&self) -> bool {
        self.lifecycle.kind == "docker"
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Lifecycle {
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Process {
    pub(crate) guid: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) command: Option<String>,
    #[serde(default)]
    pub(crate) instances: u32,
    #[serde(default)]
    pub(crate) memory_in_mb: u64,
    #[serde(default)]
    pub(crate) disk_in_mb: u64,
    #[serde(default)]
    pub(crate) log_rate_limit_in_bytes_per_second: Option<i64>,
    #[serde(default)]
    pub(crate) relationships: ProcessRelationships,
    #[serde(default)]
    pub(crate) process_instances: Vec<ProcessInstance>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct ProcessRelationships {
    #[serde(default)]
    pub(crate) app: ToOne,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProcessInstance {
    #[serde(default)]
    pub(crate) state: String,
}

/// One instance as `/stats` tells it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    #[serde(default)]
    pub(crate) index: u32,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) routable: Option<bool>,
    #[serde(default)]
    pub(crate) uptime: Option<u64>,
    #[serde(default)]
    pub(crate) details: Option<String>,
    #[serde(default)]
    pub(crate) mem_quota: Option<u64>,
    #[serde(default)]
    pub(crate) disk_quota: Option<u64>,
    #[serde(default)]
    pub(crate) log_rate_limit: Option<i64>,
    #[serde(default)]
    pub(crate) usage: Option<Usage>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    #[serde(default)]
    pub(crate) cpu: Option<f64>,
    #[serde(default)]
    pub(crate) cpu_entitlement: Option<f64>,
    #[serde(default)]
    pub(crate) mem: Option<u64>,
    #[serde(default)]
    pub(crate) disk: Option<u64>,
    #[serde(default)]
    pub(crate) log_rate: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Route {
    pub(crate) guid: String,
    #[serde(default)]
    pub(crate) host: String,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) protocol: String,
    #[serde(default)]
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) destinations: Vec<Destination>,
    #[serde(default)]
    pub(crate) relationships: RouteRelationships,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct RouteRelationships {
    #[serde(default)]
    pub(crate) space: ToOne,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Destination {
    #[serde(default)]
    pub(crate) guid: String,
    #[serde(default)]
    pub(crate) app: DestinationApp,
    #[serde(default)]
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) protocol: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct DestinationApp {
    #[serde(default)]
    pub(crate) guid: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Domain {
    pub(crate) guid: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) internal: bool,
    #[serde(default)]
    pub(crate) supported_protocols: Vec<String>,
    #[serde(default)]
    pub(crate) relationships: DomainRelationships,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct DomainRelationships {
    #[serde(default)]
    pub(crate) organization: ToOne,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) guid: String,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) data: PackageData,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct PackageData {
    #[serde(default)]
    pub(crate) error: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Build {
    pub(crate) guid: String,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) droplet: Option<Guid>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Droplet {
    pub(crate) guid: String,
    #[serde(default)]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default)]
    pub(crate) stack: Option<String>,
    #[serde(default)]
    pub(crate) image: Option<String>,
    #[serde(default)]
    pub(crate) buildpacks: Option<Vec<DropletBuildpack>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DropletBuildpack {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) version: Option<String>,
    #[serde(default)]
    pub(crate) detect_output: Option<String>,
    #[serde(default)]
    pub(crate) buildpack_name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) guid: String,
    #[serde(default)]
    pub(crate) strategy: Option<String>,
    #[serde(default)]
    pub(crate) status: DeploymentStatus,
    #[serde(default)]
    pub(crate) new_processes: Vec<NewProcess>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct DeploymentStatus {
    #[serde(default)]
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) reason: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct NewProcess {
    pub(crate) guid: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Event {
    #[serde(default)]
    pub(crate) guid: String,
    #[serde(default)]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) actor: Actor,
    #[serde(default)]
    pub(crate) data: Value,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Actor {
    #[serde(default)]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Job {
    #[serde(default)]
    pub(crate) operation: String,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) errors: Vec<ErrorItem>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ServiceInstance {
    pub(crate) guid: String,
    pub(crate) name: String,
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) syslog_drain_url: Option<String>,
    #[serde(default)]
    pub(crate) route_service_url: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ServiceBinding {
    pub(crate) guid: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) relationships: BindingRelationships,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct BindingRelationships {
    #[serde(default)]
    pub(crate) app: ToOne,
    #[serde(default)]
    pub(crate) service_instance: ToOne,
}

impl ServiceBinding {
    pub(crate) fn app(&self) -> Option<&str> {
        Some(&self.relationships.app.data.as_ref()?.guid)
    }

    pub(crate) fn service(&self) -> Option<&str> {
        Some(&self.relationships.service_instance.data.as_ref()?.guid)
    }
}

/// `GET /v3/apps/:g/env`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AppEnvironment {
    #[serde(default)]
    pub(crate) system_env_json: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) application_env_json: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) environment_variables: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) running_env_json: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) staging_env_json: BTreeMap<String, Value>,
}

/// A file that resource matching knows or is asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MatchedFile {
    pub(crate) checksum: Checksum,
    pub(crate) size_in_bytes: u64,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) mode: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) value: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Matches {
    #[serde(default)]
    pub(crate) resources: Vec<MatchedFile>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ManifestDiff {
    #[serde(default)]
    pub(crate) diff: Vec<DiffLine>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DiffLine {
    #[serde(default)]
    pub(crate) op: String,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) value: Value,
    #[serde(default)]
    pub(crate) was: Value,
}
