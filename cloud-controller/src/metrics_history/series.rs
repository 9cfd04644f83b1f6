//! The series that people and rules ask for, and the numbers that each is made of.
//!
//! What follows from another number (percent of the entitlement) or never changes (quotas) is not
//! kept but computed.

use super::column::Reading;

/// MiB to bytes.
const MIB: f64 = 1_048_576.0;

macro_rules! series {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $unit:literal;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Series {
            $($(#[$doc])* $name,)+
        }

        impl Series {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// As PromQL and log-cache name it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// As loggregator's gauges name it.
            #[must_use]
            pub fn unit(self) -> &'static str {
                match self {
                    $(Self::$name => $unit,)+
                }
            }
        }
    };
}

series! {
    /// Percent of one core.
    Cpu = "cpu", "percentage";
    /// Percent of what the instance is entitled to.
    CpuEntitlement = "cpu_entitlement", "percentage";
    Memory = "memory", "bytes";
    MemoryQuota = "memory_quota", "bytes";
    Disk = "disk", "bytes";
    DiskQuota = "disk_quota", "bytes";
    Pids = "pids", "count";
    /// Seconds since it became RUNNING.
    ContainerAge = "container_age", "seconds";
    /// All crashes of the instance's index, of earlier starts too.
    Crashes = "crashes", "count";
    HttpRequests = "http_requests", "requests";
    HttpErrors = "http_errors", "requests";
    HttpInFlight = "http_in_flight", "requests";
    HttpLatencyP50 = "http_latency_p50", "ms";
    HttpLatencyP90 = "http_latency_p90", "ms";
    HttpLatencyP95 = "http_latency_p95", "ms";
    HttpLatencyP99 = "http_latency_p99", "ms";
}

/// A number that is kept for each second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Thousandths of a percent of a core.
    Cpu = 0,
    MemoryKib = 1,
    DiskKib = 2,
    Pids = 3,
    Crashes = 4,
    Requests = 5,
    Errors = 6,
    InFlight = 7,
    /// Microseconds, as all latencies.
    P50 = 8,
    P90 = 9,
    P95 = 10,
    P99 = 11,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Cpu,
        Self::MemoryKib,
        Self::DiskKib,
        Self::Pids,
        Self::Crashes,
        Self::Requests,
        Self::Errors,
        Self::InFlight,
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
    ];
}

/// What is known of a start beside its numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    pub memory_mb: u32,
    pub disk_mb: u32,
    /// Thousandths of a core.
    pub entitlement_millicores: u32,
    /// Seconds since 1970; none before it ran.
    pub running_since: Option<i64>,
}

/// One value of a series, over the time that ends at `at`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub at: i64,
    /// Seconds: 1, 10 or 60.
    pub width: i64,
    /// Of those, how many are known.
    pub count: u32,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

impl Sample {
    #[must_use]
    pub fn value(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }
}

impl Series {
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|series| series.name() == name)
    }

    /// The number that it is made of.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Cpu | Self::CpuEntitlement => Kind::Cpu,
            Self::Memory | Self::MemoryQuota | Self::ContainerAge => Kind::MemoryKib,
            Self::Disk | Self::DiskQuota => Kind::DiskKib,
            Self::Pids => Kind::Pids,
            Self::Crashes => Kind::Crashes,
            Self::HttpRequests => Kind::Requests,
            Self::HttpErrors => Kind::Errors,
            Self::HttpInFlight => Kind::InFlight,
            Self::HttpLatencyP50 => Kind::P50,
            Self::HttpLatencyP90 => Kind::P90,
            Self::HttpLatencyP95 => Kind::P95,
            Self::HttpLatencyP99 => Kind::P99,
        }
    }

    /// What a reading means; none when the series has no value then.
    #[must_use]
    pub fn sample(self, reading: &Reading, facts: &Facts) -> Option<Sample> {
        let scale = match self {
            Self::Cpu => 0.001,
            Self::CpuEntitlement if facts.entitlement_millicores == 0 => return None,
            // Millipercent of a core, by thousandths of a core.
            Self::CpuEntitlement => 1.0 / f64::from(facts.entitlement_millicores),
            Self::Memory | Self::Disk => 1_024.0,
            Self::MemoryQuota => return Some(constant(reading, f64::from(facts.memory_mb) * MIB)),
            Self::DiskQuota => return Some(constant(reading, f64::from(facts.disk_mb) * MIB)),
            Self::ContainerAge => return age(reading, facts.running_since?),
            Self::HttpLatencyP50
            | Self::HttpLatencyP90
            | Self::HttpLatencyP95
            | Self::HttpLatencyP99 => 0.001,
            Self::Pids
            | Self::Crashes
            | Self::HttpRequests
            | Self::HttpErrors
            | Self::HttpInFlight => 1.0,
        };
        let bucket = reading.bucket;
        Some(Sample {
            at: reading.at,
            width: reading.width,
            count: bucket.count,
            sum: whole(bucket.sum) * scale,
            min: f64::from(bucket.min) * scale,
            max: f64::from(bucket.max) * scale,
        })
    }
}

fn constant(reading: &Reading, value: f64) -> Sample {
    Sample {
        at: reading.at,
        width: reading.width,
        count: reading.bucket.count,
        sum: value * f64::from(reading.bucket.count),
        min: value,
        max: value,
    }
}

fn age(reading: &Reading, since: i64) -> Option<Sample> {
    let newest = reading.at - since;
    if newest < 0 {
        return None;
    }
    let oldest = (newest - reading.width + 1).max(0);
    let (oldest, newest) = (seconds(oldest), seconds(newest));
    Some(Sample {
        at: reading.at,
        width: reading.width,
        count: reading.bucket.count,
        sum: (oldest + newest) / 2.0 * f64::from(reading.bucket.count),
        min: oldest,
        max: newest,
    })
}

#[allow(
    clippy::cast_precision_loss,
    reason = "sums of a minute are far below 2^52"
)]
fn whole(number: u64) -> f64 {
    number as f64
}

#[allow(clippy::cast_precision_loss, reason = "ages are far below 2^52")]
fn seconds(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::codec::Bucket;
    use super::*;

    #[test]
    fn each_series_is_told_in_its_own_unit() {
        let facts = Facts {
            memory_mb: 64,
            disk_mb: 128,
            entitlement_millicores: 250,
            running_since: Some(100),
        };
        let reading = |value| Reading {
            at: 107,
            width: 1,
            bucket: Bucket::of(value),
        };
        for (series, kept, told) in [
            (Series::Cpu, 25_000, 25.0),
            (Series::CpuEntitlement, 25_000, 100.0),
            (Series::Memory, 2, 2_048.0),
            (Series::MemoryQuota, 2, 64.0 * MIB),
            (Series::DiskQuota, 2, 128.0 * MIB),
            (Series::ContainerAge, 2, 7.0),
            (Series::Crashes, 3, 3.0),
            (Series::HttpLatencyP99, 1_500, 1.5),
        ] {
            let sample = series.sample(&reading(kept), &facts).expect("a value");
            assert!(
                (sample.value() - told).abs() < 1e-9,
                "{series:?} {sample:?}"
            );
        }
        let unknown = Facts::default();
        for series in [Series::CpuEntitlement, Series::ContainerAge] {
            assert_eq!(series.sample(&reading(1), &unknown), None);
        }
    }

    #[test]
    fn every_series_is_found_by_its_name_and_every_kind_is_some_series() {
        for series in Series::ALL {
            assert_eq!(Series::of(series.name()), Some(*series));
        }
        for kind in Kind::ALL {
            assert!(Series::ALL.iter().any(|series| series.kind() == kind));
        }
    }
}
