//! What a cell is to run: specs, shared by all instances of a process, and assignments, one per
//! instance.
//!
//! A cell's desired set is level-triggered: whatever is not in it is to be stopped, and sending it
//! twice changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::health::{HealthCheck, ReadinessCheck};
use crate::id::{
    AppGuid, AssignmentGuid, BuildGuid, BuildpackGuid, DropletGuid, OrgGuid, PackageGuid,
    ProcessGuid, SpaceGuid, TaskGuid,
};

/// The name of a spec: its work and version (`process-<guid>-<version>`). Not a digest of its content:
/// a cell replaces an instance whose spec has another name, and the rename of an organisation is no
/// reason for that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecId(pub Arc<str>);

/// Everything that instances of one version of a process have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    pub owner: Owner,
    pub work: Work,
    pub root: Root,
    pub limits: Limits,
    /// App and system environment, complete but for what only the cell knows
    /// (`CF_INSTANCE_*`, `INSTANCE_*`, `PORT` and their copies in `VCAP_APPLICATION`).
    pub env: BTreeMap<String, String>,
    /// Ports the process listens on; the first is `PORT`.
    pub ports: Vec<u16>,
}

/// Whose instance it is, for logs, metrics and access decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub org: OrgGuid,
    pub org_name: String,
    pub space: SpaceGuid,
    pub space_name: String,
    pub app: AppGuid,
    pub app_name: String,
}

/// What the container is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// A long-running process of an app; restarted when it ends.
    Process {
        process: ProcessGuid,
        process_type: String,
        /// Start command; none means the image's own (docker) or the droplet's.
        command: Option<String>,
        health: HealthCheck,
        readiness: ReadinessCheck,
    },
    /// A command that runs once.
    Task {
        task: TaskGuid,
        name: String,
        command: String,
    },
    /// The staging of a package into a droplet; runs once.
    Staging(StagingWork),
}

/// A staging order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagingWork {
    pub build: BuildGuid,
    pub package: BlobRef<PackageGuid>,
    /// The droplet that this staging makes.
    pub droplet: DropletGuid,
    /// In order; with `detect` the first that recognises the app is used.
    pub buildpacks: Vec<BuildpackRef>,
    /// Ask each buildpack's `detect`; false when the user named the buildpacks.
    pub detect: bool,
    /// The stack the droplet is made for; the cache is kept by app and stack.
    pub stack: String,
    /// The digest of the build cache to start from, if there is one.
    pub cache: Option<String>,
    /// The longest it may take, seconds.
    pub timeout_s: u32,
}

/// Something to download from the controller: `GET /internal/v1/<kind>/<guid>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef<Guid> {
    pub guid: Guid,
    /// Hexadecimal; checked after the download.
    pub sha256: String,
    pub size_bytes: u64,
}

/// A buildpack as staging uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildpackRef {
    pub name: String,
    pub blob: BlobRef<BuildpackGuid>,
}

/// The root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Root {
    /// A stack the cell has, with a droplet on top (none while staging).
    Stack {
        name: String,
        droplet: Option<BlobRef<DropletGuid>>,
    },
    /// A docker image, with its own user, working directory and entry point.
    Image {
        reference: String,
        username: Option<String>,
        password: Option<String>,
    },
}

/// What an instance may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub memory_mb: u32,
    pub disk_mb: u32,
    /// Bytes of log per second; none is unlimited.
    pub log_rate_bytes: Option<u64>,
    pub pids: u32,
    pub fds: u32,
}

/// Processes and threads one instance may have.
pub const PIDS_MAX: u32 = 1_024;
/// Open files one process of an instance may have (Cloud Foundry's default).
pub const FDS_MAX: u32 = 16_384;

/// One instance on one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    pub guid: AssignmentGuid,
    pub spec: SpecId,
    /// 0-based instance index; 0 for tasks and staging.
    pub index: u32,
}

/// One line of the stream `GET /internal/v1/cells/{guid}/desired`: first a snapshot, then deltas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum DesiredFrame {
    Snapshot {
        token: crate::generation::Token,
        specs: BTreeMap<SpecId, Arc<InstanceSpec>>,
        assignments: Vec<Assignment>,
    },
    Delta {
        token: crate::generation::Token,
        /// The token of the frame before; anything else means a frame was missed: dial again.
        previous: crate::generation::Token,
        /// Specs that the cell has not seen on this stream.
        specs: BTreeMap<SpecId, Arc<InstanceSpec>>,
        upsert: Vec<Assignment>,
        remove: Vec<AssignmentGuid>,
    },
    /// Sent each second when there is nothing to say.
    Keepalive { token: crate::generation::Token },
}

impl DesiredFrame {
    #[must_use]
    pub fn token(&self) -> crate::generation::Token {
        match self {
            Self::Snapshot { token, .. }
            | Self::Delta { token, .. }
            | Self::Keepalive { token } => *token,
        }
    }
}
