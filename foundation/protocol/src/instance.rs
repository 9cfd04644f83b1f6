//! The life of an instance on its cell: the states, the events, and the one table that says
//! which event may happen in which state.
//!
//! ```text
//!              Prepared       Launched         Healthy
//!  Preparing ----------> Ready --------> Starting ------> Running
//!      |                   |                |  ^            |  readiness flips inside
//!      | Failed            | Failed         |  |            |
//!      v                   v         Exited |  | Launched   | Exited
//!   Crashed <------------------------------ +  |            |
//!      |  RetryDue                                          |
//!      +-----------> Preparing          Crashed <-----------+
//!
//!  any state -- StopRequested --> Stopping -- Gone --> Gone
//! ```

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where an instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum InstanceState {
    /// Its droplet, volume and container are being made.
    Preparing,
    /// Everything is there; the first process waits for its command.
    Ready,
    /// The app runs; no probe has succeeded yet.
    Starting { since: Timestamp },
    /// The app is healthy. `ready` tells whether it may receive requests.
    Running { since: Timestamp, ready: bool },
    /// The app ended; it waits to be started again, or has been given up (`next_retry_at` none).
    Crashed {
        since: Timestamp,
        reason: CrashReason,
        next_retry_at: Option<Timestamp>,
    },
    /// It was told to stop and has not ended yet.
    Stopping { since: Timestamp },
    /// Nothing of it is left.
    Gone,
}

/// What happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceEvent {
    Prepared,
    Launched,
    Healthy,
    ReadinessChanged {
        ready: bool,
    },
    /// Preparing or launching failed, the health check gave up, or the app ended.
    Crashed {
        reason: CrashReason,
        next_retry_at: Option<Timestamp>,
    },
    RetryDue,
    StopRequested,
    Gone,
}

/// Why an instance is not running any more, in words that `cf events` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CrashReason {
    /// The app's process ended by itself.
    Exited { status: i32 },
    /// The kernel killed it at its memory limit.
    OutOfMemory { limit_mb: u32 },
    /// It used more disk than its quota and was ended.
    DiskQuotaExceeded { limit_mb: u32 },
    /// No probe succeeded within the start timeout.
    NeverHealthy { after_s: u32, detail: String },
    /// It was healthy, and then its liveness check failed.
    Unhealthy { detail: String },
    /// The cell could not prepare or launch it.
    StartFailed { detail: String },
    /// Its container vanished without leaving an exit status.
    Lost,
}

impl fmt::Display for CrashReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { status } => write!(f, "Exited with status {status}"),
            Self::OutOfMemory { .. } => f.write_str("Exited with status 137 (out of memory)"),
            Self::DiskQuotaExceeded { limit_mb } => {
                write!(
                    f,
                    "Exited with status 137 (disk quota of {limit_mb}M exceeded)"
                )
            }
            Self::NeverHealthy { after_s, detail } => {
                write!(f, "Instance never healthy after {after_s}s: {detail}")
            }
            Self::Unhealthy { detail } => write!(f, "Instance became unhealthy: {detail}"),
            Self::StartFailed { detail } => write!(f, "Instance could not be started: {detail}"),
            Self::Lost => f.write_str("Instance vanished from its cell"),
        }
    }
}

/// The event may not happen in this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} may not happen to an instance that is {state:?}")]
pub struct Illegal {
    pub state: Box<InstanceState>,
    pub event: Box<InstanceEvent>,
}

impl InstanceState {
    /// The one transition table.
    pub fn apply(&self, event: InstanceEvent, now: Timestamp) -> Result<InstanceState, Illegal> {
        use InstanceEvent as E;
        use InstanceState as S;
        let next = match (self, &event) {
            (S::Preparing, E::Prepared) => S::Ready,
            (S::Ready, E::Launched) => S::Starting { since: now },
            (S::Starting { .. }, E::Healthy) => S::Running {
                since: now,
                ready: true,
            },
            (S::Running { since, .. }, E::ReadinessChanged { ready }) => S::Running {
                since: *since,
                ready: *ready,
            },
            (
                S::Preparing | S::Ready | S::Starting { .. } | S::Running { .. },
                E::Crashed {
                    reason,
                    next_retry_at,
                },
            ) => S::Crashed {
                since: now,
                reason: reason.clone(),
                next_retry_at: *next_retry_at,
            },
            (
                S::Crashed {
                    next_retry_at: Some(_),
                    ..
                },
                E::RetryDue,
            ) => S::Preparing,
            (S::Stopping { since }, E::StopRequested) => S::Stopping { since: *since },
            (S::Gone, E::StopRequested) => S::Gone,
            (_, E::StopRequested) => S::Stopping { since: now },
            (S::Stopping { .. } | S::Gone, E::Gone) => S::Gone,
            _ => {
                return Err(Illegal {
                    state: Box::new(self.clone()),
                    event: Box::new(event),
                });
            }
        };
        Ok(next)
    }

    /// May the router send it requests?
    #[must_use]
    pub fn is_routable(&self) -> bool {
        matches!(self, Self::Running { ready: true, .. })
    }

    /// Does it hold the memory and disk of its cell?
    #[must_use]
    pub fn holds_resources(&self) -> bool {
        !matches!(self, Self::Gone)
    }

    /// The word the v3 API uses: `RUNNING`, `STARTING`, `CRASHED`, `STOPPING` or `DOWN`.
    #[must_use]
    pub fn v3_name(&self) -> &'static str {
        match self {
            Self::Preparing | Self::Ready | Self::Starting { .. } => "STARTING",
            Self::Running { .. } => "RUNNING",
            Self::Crashed { .. } => "CRASHED",
            Self::Stopping { .. } => "STOPPING",
            Self::Gone => "DOWN",
        }
    }
}

#[cfg(test)]
mod tests;
