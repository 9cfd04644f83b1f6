//! Watches one instance from its launch on and tells the agent what it finds.
//!
//! Probes are made over real sockets by `probe`; what they mean is decided by `verdict`, which is
//! pure. Nothing here stops or restarts anything.

pub mod crowd;
pub mod probe;
pub mod verdict;

use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_protocol::actual::Address;
use cfx_protocol::health::{Check, HealthCheck, ReadinessCheck};

use crowd::Crowd;
use probe::Target;
use verdict::{StartVerdict, Startup, pause};

/// From the launch to the first probe: before that no program listens.
const FIRST_PROBE: Duration = Duration::from_millis(1);
/// Liveness probes of instances that started together are spread over this many parts of their
/// interval.
const SPREAD: u32 = 16;

/// What a monitor finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is up. `ready` tells whether it may receive requests already.
    Healthy {
        ready: bool,
    },
    NeverHealthy {
        after_s: u32,
        detail: String,
    },
    Unhealthy {
        detail: String,
    },
    ReadinessChanged {
        ready: bool,
    },
}

/// Ends a monitor: nobody listens any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unheard;

/// What to watch and how.
#[derive(Debug, Clone)]
pub struct Monitor {
    pub health: HealthCheck,
    pub readiness: ReadinessCheck,
    pub target: Target,
    /// All that are starting on this cell.
    pub crowd: Crowd,
    pub clock: Clock,
}

impl Monitor {
    #[must_use]
    pub fn new(
        health: HealthCheck,
        readiness: ReadinessCheck,
        address: Address,
        ports: &[u16],
        crowd: Crowd,
        clock: Clock,
    ) -> Self {
        let target = Target {
            ip: address.internal_ip,
            ports: ports.to_vec(),
        };
        Self {
            health,
            readiness,
            target,
            crowd,
            clock,
        }
    }

    /// From the launch: returns when the instance has failed or nobody listens.
    pub async fn from_start(self, tell: impl Fn(Finding) -> Result<(), Unheard>) {
        if let Err(never) = self.wait_until_up().await {
            // Unheard: then it does not matter.
            return tell(never).unwrap_or_default();
        }
        let ready = self.is_ready().await;
        if tell(Finding::Healthy { ready }).is_ok() {
            self.keep_watching(ready, tell).await;
        }
    }

    /// Of an instance that was found healthy before.
    pub async fn keep_watching(self, ready: bool, tell: impl Fn(Finding) -> Result<(), Unheard>) {
        tokio::select! {
            () = self.watch_liveness(&tell) => {}
            () = self.watch_readiness(ready, &tell) => {}
        }
    }

    async fn wait_until_up(&self) -> Result<(), Finding> {
        let _starting = self.crowd.join();
        let mut startup = Startup::new(self.health.start_timeout_s, self.clock.monotonic());
        if self.health.check != Check::Process {
            self.clock.sleep(FIRST_PROBE).await;
        }
        loop {
            let result = self
                .probe(&self.health.check, self.health.invocation_timeout_s)
                .await;
            let crowd = self.crowd.count();
            match startup.judge(result, self.clock.monotonic(), crowd) {
                StartVerdict::Up => return Ok(()),
                StartVerdict::AgainAfter(pause) => self.clock.sleep(pause).await,
                StartVerdict::Never { after_s, detail } => {
                    return Err(Finding::NeverHealthy { after_s, detail });
                }
            }
        }
    }

    async fn watch_liveness(&self, tell: &impl Fn(Finding) -> Result<(), Unheard>) {
        if self.health.check == Check::Process {
            // Its end is seen by others.
            return std::future::pending().await;
        }
        let interval = seconds(self.health.interval_s);
        let mut wait = interval / SPREAD * (1 + self.target.number() % SPREAD);
        loop {
            self.clock.sleep(wait).await;
            wait = interval;
            let result = self
                .probe(&self.health.check, self.health.invocation_timeout_s)
                .await;
            if let Err(detail) = result {
                return tell(Finding::Unhealthy { detail }).unwrap_or_default();
            }
        }
    }

    async fn watch_readiness(
        &self,
        mut ready: bool,
        tell: &impl Fn(Finding) -> Result<(), Unheard>,
    ) {
        if self.readiness.check == Check::Process {
            return std::future::pending().await;
        }
        let interval = seconds(self.readiness.interval_s);
        let (began, mut was_ready) = (self.clock.monotonic(), ready);
        loop {
            // One that has not been ready yet may be any moment.
            let wait = match was_ready {
                true => interval,
                false => {
                    let elapsed = self.clock.monotonic().saturating_sub(began);
                    pause(elapsed, self.crowd.count(), interval)
                }
            };
            self.clock.sleep(wait).await;
            let now = self.is_ready().await;
            was_ready |= now;
            if now != ready {
                ready = now;
                if tell(Finding::ReadinessChanged { ready }).is_err() {
                    return;
                }
            }
        }
    }

    async fn is_ready(&self) -> bool {
        let check = &self.readiness;
        self.probe(&check.check, check.invocation_timeout_s)
            .await
            .is_ok()
    }

    async fn probe(&self, check: &Check, timeout_s: u32) -> Result<(), String> {
        probe::probe(check, &self.target, seconds(timeout_s)).await
    }
}

/// An interval or timeout of 0 would be a busy loop or a sure failure.
fn seconds(number: u32) -> Duration {
    Duration::from_secs(u64::from(number.max(1)))
}

#[cfg(test)]
mod tests;
