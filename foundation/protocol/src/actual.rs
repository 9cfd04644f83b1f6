//! What a cell says about what it runs.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cell::CellUsage;
use crate::generation::Token;
use crate::id::{AssignmentGuid, BuildGuid, CellGuid, InstanceGuid, ProcessGuid, TaskGuid};
use crate::instance::InstanceState;

/// One instance as its cell sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceReport {
    pub assignment: AssignmentGuid,
    /// The guid of the present start.
    pub instance: InstanceGuid,
    /// How often this assignment was started before.
    pub starts: u32,
    pub state: InstanceState,
    /// Crashes in a row, as the back-off counts them.
    pub crashes: u32,
    /// Where its ports answer; none until it has one.
    pub address: Option<Address>,
    /// The last sample; none until there is one.
    pub usage: Option<Usage>,
    /// Set once for tasks and staging, and then kept until the assignment is removed.
    pub outcome: Option<Outcome>,
}

/// The address an assignment owns for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Where routers reach it.
    pub host: IpAddr,
    pub port: u16,
    /// Its own address inside the cell's network.
    pub internal_ip: IpAddr,
}

/// What an instance uses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    pub sampled_at: Timestamp,
    /// Of one core, 1.0 is a whole core.
    pub cpu: f64,
    /// Of the instance's entitlement, 1.0 is all of it.
    pub cpu_entitlement: f64,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    /// Bytes of log per second.
    pub log_rate_bytes: u64,
    pub pids: u32,
}

/// How a run-once work ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    Task {
        task: TaskGuid,
        failure: Option<String>,
    },
    Staging {
        build: BuildGuid,
        result: Result<StagedDroplet, StagingFailure>,
    },
}

/// A droplet that staging made and uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedDroplet {
    pub sha256: String,
    pub size_bytes: u64,
    /// What `detect` printed, or the buildpack's name.
    pub detected_buildpack: String,
    pub buildpacks: Vec<String>,
    /// Process types and their commands: the buildpack's defaults under the Procfile's.
    pub process_types: std::collections::BTreeMap<String, String>,
    /// The digest of the new build cache, if one was uploaded.
    pub cache: Option<String>,
}

/// Why staging failed; `id` is Cloud Foundry's name for it (`NoAppDetectedError`, ...).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagingFailure {
    pub id: String,
    pub message: String,
}

/// `POST /internal/v1/cells/{guid}/report`, once a second and at once when a state changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellReport {
    pub cell: CellGuid,
    /// One run of the agent.
    pub boot: uuid::Uuid,
    /// 1 for the first report of a boot.
    pub sequence: u64,
    /// The newest desired set the cell has taken over; none before the first.
    pub applied: Option<Token>,
    /// Order-independent digest of `(assignment, instance, v3 state, ready)` of all instances.
    pub digest: u64,
    /// All instances are listed, not just those that changed.
    pub full: bool,
    pub instances: Vec<InstanceReport>,
    /// Assignments of which nothing is left.
    pub gone: Vec<AssignmentGuid>,
    /// Crashes since the last acknowledged report, oldest first.
    pub crashes: Vec<CrashReport>,
    pub usage: CellUsage,
    /// The runtime answers; false takes the cell out of placement.
    pub healthy: bool,
    pub draining: bool,
}

/// A crash, for events and for the count of an app's crashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashReport {
    pub assignment: AssignmentGuid,
    pub instance: InstanceGuid,
    pub process: ProcessGuid,
    pub index: u32,
    pub at: Timestamp,
    pub reason: crate::instance::CrashReason,
    pub crashes: u32,
    pub next_retry_at: Option<Timestamp>,
}

/// The controller's answer to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportReply {
    /// The controller does not know what the cell assumes it knows: send a full report.
    pub want_full: bool,
}

/// The digest of `CellReport::digest`: FNV-1a of each instance, combined by exclusive or.
#[must_use]
pub fn digest<'a>(instances: impl IntoIterator<Item = &'a InstanceReport>) -> u64 {
    instances
        .into_iter()
        .map(digest_one)
        .fold(0, |all, one| all ^ one)
}

fn digest_one(report: &InstanceReport) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = OFFSET;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    };
    eat(report.assignment.0.as_bytes());
    eat(report.instance.0.as_bytes());
    eat(report.state.v3_name().as_bytes());
    eat(&[u8::from(report.state.is_routable())]);
    hash
}
