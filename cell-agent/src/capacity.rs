//! What the cell offers for placement and what its machine uses.

use std::path::Path;

use cfx_protocol::cell::{Capacity, CellUsage};

use crate::config::{CapacityConfig, Config};
use crate::runtime::sandboxed;
use crate::warm::MEMBER_MB;

/// Starts at once for each core, unless configured.
const STARTS_PER_CORE: u32 = 2;
/// The same in sandboxes, whose starts wait for the kernel more than they compute: namespaces,
/// mounts and links each wait for readers elsewhere to be done.
const SANDBOX_STARTS_PER_CORE: u32 = 8;

/// What the machine has, before any factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    pub memory_mb: u64,
    pub disk_mb: u64,
    pub cores: u32,
}

impl Machine {
    /// Read the machine that this process runs on; `data` tells which disk.
    pub fn read(data: &Path) -> std::io::Result<Self> {
        let meminfo = std::fs::read_to_string("/proc/meminfo")?;
        let disk = nix::sys::statvfs::statvfs(data)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            memory_mb: meminfo_kib(&meminfo, "MemTotal:") >> 10,
            disk_mb: (disk.blocks_available() * disk.fragment_size()) >> 20,
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
        })
    }
}

/// What the cell offers: what the machine has or the operator says, times the overcommit factor.
#[must_use]
pub fn offered(machine: Machine, runtime: &str, config: &Config) -> Capacity {
    let CapacityConfig {
        memory_mb,
        disk_mb,
        cpu_millicores,
        slots,
        overcommit_memory,
        overcommit_disk,
    } = config.capacity;
    // What is made ahead is there before anything is placed.
    let ahead_mb = (config.warm as u64).saturating_mul(MEMBER_MB);
    let memory_mb = memory_mb
        .unwrap_or(machine.memory_mb)
        .saturating_sub(ahead_mb);
    let per_core = match runtime {
        sandboxed::NAME => SANDBOX_STARTS_PER_CORE,
        _ => STARTS_PER_CORE,
    };
    let starts = machine.cores.saturating_mul(per_core);
    Capacity {
        memory_mb: times(memory_mb, overcommit_memory),
        disk_mb: times(disk_mb.unwrap_or(machine.disk_mb), overcommit_disk),
        slots,
        cpu_millicores: cpu_millicores.unwrap_or_else(|| machine.cores.saturating_mul(1_000)),
        starts: config.starts.unwrap_or(starts).max(1),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "mebibytes of a machine are far below 2^52 and the factor is positive"
)]
fn times(amount: u64, factor: f64) -> u64 {
    (amount as f64 * factor) as u64
}

/// What the machine uses now; `cpu` is of instances.
#[must_use]
pub fn usage(machine: Machine, data: &Path, cpu: f64) -> CellUsage {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available_mb = meminfo_kib(&meminfo, "MemAvailable:") >> 10;
    let disk_used_mb = nix::sys::statvfs::statvfs(data)
        .map(|disk| (disk.blocks().saturating_sub(disk.blocks_free()) * disk.fragment_size()) >> 20)
        .unwrap_or_default();
    CellUsage {
        memory_used_mb: machine.memory_mb.saturating_sub(available_mb),
        disk_used_mb,
        cpu,
    }
}

fn meminfo_kib(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use cfx_protocol::id::CellGuid;

    use super::*;

    const MACHINE: Machine = Machine {
        memory_mb: 1_000,
        disk_mb: 2_000,
        cores: 4,
    };

    #[test]
    fn the_offer_is_the_machine_times_the_factor_unless_configured() {
        let mut config = Config::new(CellGuid::NIL, "a".into(), "d".into());
        let offer = offered(MACHINE, "docker", &config);
        assert_eq!(
            (offer.memory_mb, offer.cpu_millicores, offer.starts),
            (1_000, 4_000, 8)
        );
        (
            config.capacity.overcommit_memory,
            config.capacity.overcommit_disk,
        ) = (2.5, 2.0);
        config.capacity.disk_mb = Some(100);
        config.starts = Some(0);
        let offer = offered(MACHINE, "docker", &config);
        assert_eq!(
            (offer.memory_mb, offer.disk_mb, offer.starts),
            (2_500, 200, 1)
        );
        config.starts = None;
        assert_eq!(offered(MACHINE, sandboxed::NAME, &config).starts, 32);
        config.warm = 100;
        assert_eq!(offered(MACHINE, "docker", &config).memory_mb, 1_500);
    }

    #[test]
    fn meminfo_is_read_in_kibibytes() {
        let text = "MemTotal:       24576000 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(meminfo_kib(text, "MemAvailable:"), 1_024);
        assert_eq!(meminfo_kib(text, "Missing:"), 0);
    }
}
