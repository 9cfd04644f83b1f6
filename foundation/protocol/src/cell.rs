//! What a cell is and what it has.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::id::CellGuid;

/// `POST /internal/v1/cells`: a cell presents itself, each time it connects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellRegistration {
    pub guid: CellGuid,
    pub name: String,
    /// Availability zone label; instances of an app are spread over zones first.
    pub zone: String,
    /// `docker` or `sandbox`.
    pub runtime: String,
    pub version: String,
    pub stacks: Vec<String>,
    /// Placement tags; an app's isolation segment must be among them, and a tagged cell takes only
    /// apps that ask for its tag.
    pub tags: Vec<String>,
    pub capacity: Capacity,
    /// `CF_INSTANCE_IP` of its instances.
    pub address: IpAddr,
    /// The address of the cell as its instances see it: resolver and router listen there.
    pub gateway: Option<IpAddr>,
}

/// What a cell offers for placement: physical amounts times the overcommit factor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    pub memory_mb: u64,
    pub disk_mb: u64,
    /// Instances at once.
    pub slots: u32,
    /// Thousandths of a core.
    pub cpu_millicores: u32,
    /// Starts at once.
    pub starts: u32,
}

/// What the machine of a cell uses, for people; placement counts reservations instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CellUsage {
    pub memory_used_mb: u64,
    pub disk_used_mb: u64,
    /// Load of all cores, 1.0 is one core.
    pub cpu: f64,
}

/// Least CPU entitlement of an instance, thousandths of a core.
pub const ENTITLEMENT_MIN_MILLICORES: u32 = 50;

/// The CPU entitlement of an instance: the cell's cores in proportion to the instance's share of
/// the cell's memory.
#[must_use]
pub fn entitlement_millicores(capacity: &Capacity, memory_mb: u32) -> u32 {
    let share =
        u64::from(capacity.cpu_millicores) * u64::from(memory_mb) / capacity.memory_mb.max(1);
    u32::try_from(share)
        .unwrap_or(capacity.cpu_millicores)
        .clamp(
            ENTITLEMENT_MIN_MILLICORES,
            capacity.cpu_millicores.max(ENTITLEMENT_MIN_MILLICORES),
        )
}
