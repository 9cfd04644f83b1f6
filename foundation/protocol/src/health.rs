//! How an instance shows that it is well.

use serde::{Deserialize, Serialize};

/// Default time an instance has to become healthy, seconds (Cloud Foundry's default).
pub const START_TIMEOUT_DEFAULT_S: u32 = 60;
/// Longest start timeout an operator may ask for, seconds.
pub const START_TIMEOUT_MAX_S: u32 = 3_600;
/// Default time one probe may take, seconds.
pub const INVOCATION_TIMEOUT_DEFAULT_S: u32 = 1;
/// Default time between liveness probes, seconds.
pub const LIVENESS_INTERVAL_DEFAULT_S: u32 = 30;
/// Default time between readiness probes, seconds.
pub const READINESS_INTERVAL_DEFAULT_S: u32 = 5;

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Check {
    /// A TCP connection to every port of the process succeeds.
    Port,
    /// `GET endpoint` on the first port answers 200.
    Http { endpoint: String },
    /// The process runs.
    Process,
}

/// Start and liveness check of an instance. Failing it is a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    pub check: Check,
    /// Time to the first success after start.
    pub start_timeout_s: u32,
    pub invocation_timeout_s: u32,
    /// Between liveness probes once healthy.
    pub interval_s: u32,
}

/// Readiness check of an instance. Failing it takes the instance out of its routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadinessCheck {
    pub check: Check,
    pub invocation_timeout_s: u32,
    pub interval_s: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            check: Check::Port,
            start_timeout_s: START_TIMEOUT_DEFAULT_S,
            invocation_timeout_s: INVOCATION_TIMEOUT_DEFAULT_S,
            interval_s: LIVENESS_INTERVAL_DEFAULT_S,
        }
    }
}

impl Default for ReadinessCheck {
    fn default() -> Self {
        Self {
            check: Check::Process,
            invocation_timeout_s: INVOCATION_TIMEOUT_DEFAULT_S,
            interval_s: READINESS_INTERVAL_DEFAULT_S,
        }
    }
}
