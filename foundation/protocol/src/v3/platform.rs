//! What cfx tells about itself beyond Cloud Foundry's API: `/cfx/v1/...`.
//!
//! These endpoints take the same bearer tokens as v3. `why` follows the visibility of the app;
//! the others are for administrators.
//!
//! ```text
//! GET  /                                     links.cfx = {href: ".../cfx/v1", meta: CfxMeta}
//! GET  /cfx/v1/status                       PlatformStatus
//! GET  /cfx/v1/cells                        CellList
//! GET  /cfx/v1/why/{app_guid}[?index=N]     Why
//! POST /cfx/v1/join_tokens                  NewJoinToken -> JoinToken (201)
//! ```

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::actual::Usage;
use crate::cell::{Capacity, CellUsage};
use crate::generation::Token;
use crate::id::{AppGuid, CellGuid, ClusterGuid, InstanceGuid, RouterGuid};
use crate::link::Role;

/// `links.cfx.meta` of the API's root: what anyone may know, so that URLs of apps can be printed
/// with the port that the routers listen on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CfxMeta {
    pub version: String,
    /// Ports that people reach the routers by; none when not served.
    #[serde(default)]
    pub http_port: Option<u16>,
    #[serde(default)]
    pub https_port: Option<u16>,
}

/// `GET /cfx/v1/status`: the platform on one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlatformStatus {
    pub version: String,
    pub cluster: ClusterGuid,
    pub started_at: Timestamp,
    /// Where the newest state stands.
    pub token: Token,
    /// The default domain of apps.
    pub apps_domain: String,
    /// Ports that people reach the routers by; none when not served or not known.
    pub http_port: Option<u16>,
    pub https_port: Option<u16>,
    pub cells: CellCounts,
    pub routers: Vec<RouterStatus>,
    pub apps: AppCounts,
    pub instances: InstanceCounts,
    /// What needs an operator's eye, in sentences; empty when all is well.
    #[serde(default)]
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellCounts {
    pub ready: u32,
    pub suspect: u32,
    pub lost: u32,
    pub draining: u32,
    /// Their runtime does not answer.
    pub unhealthy: u32,
}

/// A router as the controller last heard of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouterStatus {
    pub guid: RouterGuid,
    /// The table it serves; none before its first acknowledgement.
    pub acknowledged: Option<Token>,
    pub connected: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppCounts {
    pub started: u32,
    pub stopped: u32,
}

/// Instances of started apps, by their v3 state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounts {
    pub desired: u32,
    pub running: u32,
    pub starting: u32,
    pub crashed: u32,
    /// Wanted, but nowhere.
    pub down: u32,
}

/// `GET /cfx/v1/cells`, ordered by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellList {
    pub cells: Vec<CellStatus>,
}

/// Whether a cell may be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellState {
    Ready,
    /// Silent for a moment: nothing new is placed on it.
    Suspect,
    /// Silent for long: its instances are replaced.
    Lost,
    Draining,
    /// It answers, but its runtime does not.
    Unhealthy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellStatus {
    pub guid: CellGuid,
    pub name: String,
    pub zone: String,
    pub runtime: String,
    pub version: String,
    pub state: CellState,
    pub address: IpAddr,
    pub stacks: Vec<String>,
    pub tags: Vec<String>,
    pub capacity: Capacity,
    pub reserved: Reserved,
    pub usage: CellUsage,
    pub last_report_at: Option<Timestamp>,
}

/// What placed instances hold of a cell's capacity, whether they use it or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    pub memory_mb: u64,
    pub disk_mb: u64,
    pub slots: u32,
}

/// `POST /cfx/v1/join_tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJoinToken {
    /// `cell` or `router`.
    pub role: Role,
    /// Life of the token, seconds; none for the default of an hour.
    #[serde(default)]
    pub ttl_s: Option<u32>,
}

/// A token that admits one process once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    pub token: String,
    pub role: Role,
    pub expires_at: Timestamp,
    /// PEM of the platform's certificate authority: what the new process is to trust.
    pub authority: String,
    /// Where the controllers' internal listeners are.
    pub controllers: Vec<SocketAddr>,
}

/// `GET /cfx/v1/why/{app_guid}`: where each instance is and why, or why it is nowhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    pub app: AppGuid,
    pub name: String,
    /// `STARTED` or `STOPPED`.
    pub state: String,
    /// By process type, then index.
    pub instances: Vec<WhyInstance>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhyInstance {
    pub process_type: String,
    pub index: u32,
    /// The v3 state: `RUNNING`, `STARTING`, `CRASHED`, `STOPPING` or `DOWN`.
    pub state: String,
    pub since: Option<Timestamp>,
    pub cell: Option<CellName>,
    pub instance: Option<InstanceGuid>,
    /// Where routers reach it.
    pub address: Option<SocketAddr>,
    /// The planner's reason for where it is (or is not), one sentence.
    pub reason: String,
    /// Its last crash, if it has one.
    pub crash: Option<WhyCrash>,
    /// Why no cell takes it; none when it is placed.
    pub unplaced: Option<Unplaced>,
    pub usage: Option<Usage>,
}

/// A cell as people call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellName {
    pub guid: CellGuid,
    pub name: String,
    pub zone: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyCrash {
    /// As events show it: `Exited with status 1`.
    pub reason: String,
    pub at: Timestamp,
    /// In a row, as the back-off counts them.
    pub crashes: u32,
    /// None: given up, or running again.
    pub next_retry_at: Option<Timestamp>,
}

/// How many cells there are, and how many each constraint ruled out first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unplaced {
    pub cells: u32,
    pub ruled_out: Vec<RuledOut>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuledOut {
    /// `memory`, `disk`, `stack`, `tags`, `slots`, `state`, ...
    pub constraint: String,
    pub cells: u32,
    /// What was missing: `needs 1024M, most free is 512M`.
    pub detail: String,
}
