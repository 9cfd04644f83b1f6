//! What an operator may choose about a cell. `Raw` is as typed, `Config` is what it means.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use cfx_protocol::id::CellGuid;
use cfx_protocol::quantity::parse_bytes;
use serde::Deserialize;

use crate::hooks::ground::Ready;
use crate::plan::BackOff;

/// Instances at once when nothing else is said: Diego's number for one cell.
pub const SLOTS_DEFAULT: u32 = 250;
/// Largest overcommit factor that is not a typing error.
pub const OVERCOMMIT_MAX: f64 = 64.0;
/// Smallest factor that still leaves a cell of use.
pub const OVERCOMMIT_MIN: f64 = 0.1;
/// Room for unpacked droplets when nothing else is said, bytes.
const DROPLET_CACHE_DEFAULT_BYTES: u64 = 10 << 30;
/// CPU for reading log floods when nothing else is said, thousandths of a core.
const LOG_CPU_DEFAULT_MILLICORES: u32 = 250;

/// Most instances made ahead: as many as have addresses beside those that run.
pub const WARM_MAX: usize = 1_000;
/// Volumes and networks made ahead when nothing else is said: as many as start while the next are
/// being made.
const READY_DEFAULT: usize = 8;
/// Most of them: each volume has a loop device, and each network an address.
pub const READY_MAX: usize = 4_000;

/// Everything the agent was told.
#[derive(Debug, Clone)]
pub struct Config {
    pub cell: CellGuid,
    pub name: String,
    pub zone: String,
    pub tags: Vec<String>,
    /// Everything the cell keeps on disk lives here.
    pub data: PathBuf,
    /// `CF_INSTANCE_IP` of its instances.
    pub address: IpAddr,
    pub capacity: CapacityConfig,
    /// Starts at once; none: twice the cores.
    pub starts: Option<u32>,
    /// Instances made ahead, whose first process waits.
    pub warm: usize,
    /// Volumes and network namespaces made ahead.
    pub ready: Ready,
    pub droplet_cache_bytes: u64,
    /// CPU for reading logs, thousandths of a core; past it the writers wait.
    pub log_cpu_millicores: u32,
    /// Where `/metrics` and `/healthz` answer.
    pub admin: Option<SocketAddr>,
    /// First user id of instances; each has its own.
    pub uid_base: u32,
    pub timing: Timing,
}

/// What the cell offers; what is left open is what the machine has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CapacityConfig {
    pub memory_mb: Option<u64>,
    pub disk_mb: Option<u64>,
    pub cpu_millicores: Option<u32>,
    pub slots: u32,
    /// Memory is offered this many times: apps rarely use what they may.
    pub overcommit_memory: f64,
    /// The same for disk.
    pub overcommit_disk: f64,
}

impl Default for CapacityConfig {
    fn default() -> Self {
        Self {
            memory_mb: None,
            disk_mb: None,
            cpu_millicores: None,
            slots: SLOTS_DEFAULT,
            overcommit_memory: 1.0,
            overcommit_disk: 1.0,
        }
    }
}

/// Times of an instance's life. Cloud Foundry's, except in tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    pub back_off: BackOff,
    /// Between the withdrawal of an instance from its routes and TERM, for requests in flight.
    pub in_flight: Duration,
    /// Between TERM and KILL.
    pub graceful: Duration,
    /// Between two samples of what instances use.
    pub sample: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            back_off: BackOff::default(),
            in_flight: Duration::from_secs(2),
            graceful: Duration::from_secs(10),
            sample: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// A cell with defaults for everything that has one.
    #[must_use]
    pub fn new(cell: CellGuid, name: String, data: PathBuf) -> Self {
        Self {
            cell,
            name,
            zone: "default".to_owned(),
            tags: Vec::new(),
            data,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            capacity: CapacityConfig::default(),
            starts: None,
            warm: 0,
            ready: Ready {
                volumes: READY_DEFAULT,
                networks: READY_DEFAULT,
            },
            droplet_cache_bytes: DROPLET_CACHE_DEFAULT_BYTES,
            log_cpu_millicores: LOG_CPU_DEFAULT_MILLICORES,
            admin: None,
            uid_base: UID_BASE_DEFAULT,
            timing: Timing::default(),
        }
    }
}

/// Above every user of an ordinary system and below what `u16` ranges of containers use.
const UID_BASE_DEFAULT: u32 = 2_000_000;

/// The `cell:` part of a configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    pub name: String,
    #[serde(default = "default_zone")]
    pub zone: String,
    #[serde(default)]
    pub tags: Vec<String>,
    pub data: PathBuf,
    pub address: IpAddr,
    /// `8G`; none: all the machine has.
    pub memory: Option<String>,
    pub disk: Option<String>,
    pub cores: Option<f64>,
    pub slots: Option<u32>,
    /// Of memory and disk, unless one of them has its own.
    pub overcommit: Option<f64>,
    pub overcommit_memory: Option<f64>,
    pub overcommit_disk: Option<f64>,
    pub starts: Option<u32>,
    /// Instances made ahead; each takes 4 MiB of the memory that the cell offers.
    pub warm: Option<usize>,
    /// Volumes and network namespaces made ahead.
    pub ready: Option<usize>,
    pub droplet_cache: Option<String>,
    /// Of one core.
    pub log_cpu: Option<f64>,
    pub admin: Option<SocketAddr>,
    pub uid_base: Option<u32>,
}

fn default_zone() -> String {
    "default".to_owned()
}

/// A value that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("cell.{field}: {source}")]
    Amount {
        field: &'static str,
        source: cfx_protocol::quantity::InvalidQuantity,
    },
    #[error("cell.{field} must be between {least} and {most}")]
    OutOfRange {
        field: &'static str,
        least: String,
        most: String,
    },
    #[error("cell.{field} must not be empty")]
    Empty { field: &'static str },
}

impl Raw {
    /// What it means, for the cell that the certificate names.
    pub fn check(self, cell: CellGuid) -> Result<Config, Invalid> {
        for (field, text) in [("name", &self.name), ("zone", &self.zone)] {
            if text.trim().is_empty() {
                return Err(Invalid::Empty { field });
            }
        }
        let both = Some(factor("overcommit", self.overcommit)?);
        let capacity = CapacityConfig {
            memory_mb: mebibytes("memory", self.memory.as_deref())?,
            disk_mb: mebibytes("disk", self.disk.as_deref())?,
            cpu_millicores: millicores("cores", self.cores, 1_024.0)?,
            slots: self.slots.unwrap_or(SLOTS_DEFAULT),
            overcommit_memory: factor("overcommit_memory", self.overcommit_memory.or(both))?,
            overcommit_disk: factor("overcommit_disk", self.overcommit_disk.or(both))?,
        };
        let defaults = Config::new(cell, self.name, self.data);
        Ok(Config {
            zone: self.zone,
            tags: self.tags,
            address: self.address,
            capacity,
            starts: self.starts,
            warm: count("warm", self.warm, WARM_MAX)?.unwrap_or(defaults.warm),
            ready: count("ready", self.ready, READY_MAX)?.map_or(defaults.ready, |count| Ready {
                volumes: count,
                networks: count,
            }),
            droplet_cache_bytes: amount("droplet_cache", self.droplet_cache.as_deref())?
                .unwrap_or(defaults.droplet_cache_bytes),
            log_cpu_millicores: millicores("log_cpu", self.log_cpu, 64.0)?
                .unwrap_or(defaults.log_cpu_millicores),
            admin: self.admin,
            uid_base: self.uid_base.unwrap_or(defaults.uid_base),
            ..defaults
        })
    }
}

fn factor(field: &'static str, factor: Option<f64>) -> Result<f64, Invalid> {
    let factor = factor.unwrap_or(1.0);
    in_range(field, factor, OVERCOMMIT_MIN, OVERCOMMIT_MAX)
}

fn amount(field: &'static str, text: Option<&str>) -> Result<Option<u64>, Invalid> {
    text.map(parse_bytes)
        .transpose()
        .map_err(|source| Invalid::Amount { field, source })
}

fn mebibytes(field: &'static str, text: Option<&str>) -> Result<Option<u64>, Invalid> {
    Ok(amount(field, text)?.map(|bytes| bytes >> 20))
}

fn millicores(field: &'static str, cores: Option<f64>, most: f64) -> Result<Option<u32>, Invalid> {
    let Some(cores) = cores else {
        return Ok(None);
    };
    let cores = in_range(field, cores, 0.01, most)?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked"
    )]
    Ok(Some((cores * 1_000.0) as u32))
}

fn count(field: &'static str, count: Option<usize>, most: usize) -> Result<Option<usize>, Invalid> {
    match count {
        Some(count) if count > most => Err(Invalid::OutOfRange {
            field,
            least: "0".to_owned(),
            most: most.to_string(),
        }),
        other => Ok(other),
    }
}

fn in_range(field: &'static str, value: f64, least: f64, most: f64) -> Result<f64, Invalid> {
    // Written so that NaN fails too.
    if value >= least && value <= most {
        return Ok(value);
    }
    Err(Invalid::OutOfRange {
        field,
        least: least.to_string(),
        most: most.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(more: &str) -> Raw {
        let text = format!("name: a\ndata: d\naddress: 127.0.0.1\n{more}");
        serde_yaml::from_str(&text).expect("parses")
    }

    #[test]
    fn what_is_typed_becomes_what_is_meant() {
        let config = raw("memory: 8G\ncores: 1.5\nlog_cpu: 0.5\n")
            .check(CellGuid::NIL)
            .expect("valid");
        assert_eq!(config.capacity.memory_mb, Some(8_192));
        assert_eq!(config.capacity.cpu_millicores, Some(1_500));
        assert_eq!(config.log_cpu_millicores, 500);
        assert_eq!(config.capacity.slots, SLOTS_DEFAULT);
        assert_eq!((config.warm, config.ready.volumes), (0, READY_DEFAULT));
        let config = raw("overcommit: 2\novercommit_disk: 3\n")
            .check(CellGuid::NIL)
            .expect("valid");
        assert_eq!(
            (
                config.capacity.overcommit_memory,
                config.capacity.overcommit_disk
            ),
            (2.0, 3.0)
        );
    }

    #[test]
    fn nonsense_is_refused_with_the_name_of_its_field() {
        for (text, field) in [
            ("memory: lots", "cell.memory"),
            ("overcommit: 0", "cell.overcommit"),
            ("overcommit: .nan", "cell.overcommit"),
            ("overcommit_memory: 65", "cell.overcommit_memory"),
            ("overcommit_disk: 0", "cell.overcommit_disk"),
            ("cores: -1", "cell.cores"),
            ("zone: ' '", "cell.zone"),
            ("warm: 1001", "cell.warm"),
        ] {
            let error = raw(text).check(CellGuid::NIL).expect_err(text).to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
