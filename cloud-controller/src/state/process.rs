//! A process of an app: `web`, `worker`, ...

use cfx_protocol::health::{HealthCheck, ReadinessCheck};
use cfx_protocol::id::{AppGuid, DropletGuid, ProcessGuid};
use serde::{Deserialize, Serialize};

use super::Link;
use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub guid: ProcessGuid,
    pub app: AppGuid,
    pub process_type: String,
    /// The user's own start command; none takes the droplet's.
    pub command: Option<String>,
    pub instances: u32,
    pub memory_mb: u32,
    pub disk_mb: u32,
    /// Bytes a second; none is unlimited.
    pub log_rate_bytes: Option<u64>,
    pub health: HealthCheck,
    pub readiness: ReadinessCheck,
    /// Grows when running instances must be replaced: restart, restage, a change of memory.
    /// Instances of another version are not this process's any more.
    pub version: u64,
    /// The highest version there ever was: a cancelled deployment goes back to an older one, and no
    /// number is used twice.
    #[serde(default)]
    pub version_max: u64,
    /// What instances of this version were made from, fixed when the version began, so that a
    /// later `set-env` does not change them: see `RunningVersion`.
    pub running: Option<RunningVersion>,
    pub meta: Meta,
}

/// What a restart froze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningVersion {
    pub version: u64,
    /// None for docker apps without a droplet blob.
    pub droplet: Option<DropletGuid>,
    pub command: Option<String>,
    /// The user's variables (running group under app).
    pub environment: std::collections::BTreeMap<String, String>,
    pub memory_mb: u32,
    pub disk_mb: u32,
    pub log_rate_bytes: Option<u64>,
    pub health: HealthCheck,
    pub readiness: ReadinessCheck,
    /// VCAP_SERVICES at the time, as JSON text.
    pub vcap_services: String,
    /// Routes at the time, for VCAP_APPLICATION.
    pub uris: Vec<String>,
    pub app_name: String,
}

guid_record!(Process, ProcessGuid, "process", self => [Link::ProcessesOf(self.app.0)]);
