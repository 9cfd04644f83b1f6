//! Everything worth telling: each method logs and counts.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use cfx_process::telemetry::Metrics;
use cfx_protocol::id::AppGuid;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::evaluator::{Tick, TickError};
use crate::target::{Change, TargetError};

/// Where a tick's seconds fall.
const TICK_SECONDS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// What happens in an autoscaler.
#[derive(Debug)]
pub(crate) struct Events {
    tick_seconds: Histogram,
    tick_failures: Counter,
    acts: Counter,
    refusals: Counter,
    stale: Counter,
    apps: Gauge,
    evidence_bytes: Gauge,
    leading: Gauge,
    api_requests: Counter,
    /// Failed ticks in a row: only the first is a warning.
    failing: AtomicU64,
}

impl Events {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let counter = |name: &str, help: &str| {
            let counter = Counter::default();
            metrics.register(|registry| registry.register(name, help, counter.clone()));
            counter
        };
        let gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            metrics.register(|registry| registry.register(name, help, gauge.clone()));
            gauge
        };
        let tick_seconds = Histogram::new(TICK_SECONDS);
        metrics.register(|registry| {
            let help = "From the beginning of a tick to its end";
            registry.register("cfx_autoscaler_tick_seconds", help, tick_seconds.clone());
        });
        Self {
            tick_seconds,
            tick_failures: counter("cfx_autoscaler_tick_failures", "Ticks without an end"),
            acts: counter("cfx_autoscaler_acts", "Apps scaled"),
            refusals: counter("cfx_autoscaler_refusals", "Acts that failed"),
            stale: counter(
                "cfx_autoscaler_stale_acts",
                "Acts that somebody else's scale came before",
            ),
            apps: gauge("cfx_autoscaler_apps", "Apps with rules that are watched"),
            evidence_bytes: gauge("cfx_autoscaler_evidence_bytes", "Memory of samples"),
            leading: gauge("cfx_autoscaler_leading", "1 when this autoscaler acts"),
            api_requests: counter("cfx_autoscaler_api_requests", "Requests to the API"),
            failing: AtomicU64::new(0),
        }
    }

    pub(crate) fn ticked(&self, tick: Tick, took: Duration) {
        self.tick_seconds.observe(took.as_secs_f64());
        self.leading.set(i64::from(tick != Tick::Following));
        if matches!(tick, Tick::Idle | Tick::Following) {
            self.watches(0, 0);
        }
        let failed = self.failing.swap(0, std::sync::atomic::Ordering::Relaxed);
        if failed > 0 {
            tracing::info!(failed, "the platform answers again");
        }
        tracing::debug!(?tick, ?took, "tick");
    }

    pub(crate) fn tick_failed(&self, error: &TickError) {
        self.tick_failures.inc();
        let before = self
            .failing
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if before == 0 {
            tracing::warn!(%error, "a tick failed; the next ones try again");
        } else {
            tracing::debug!(%error, before, "a tick failed again");
        }
    }

    pub(crate) fn leads(&self) {
        tracing::info!("this autoscaler acts from now on");
    }

    pub(crate) fn watches(&self, apps: usize, bytes: usize) {
        self.apps.set(i64::try_from(apps).unwrap_or(i64::MAX));
        self.evidence_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn acted(&self, app: AppGuid, change: &Change, ended: &Result<(), TargetError>) {
        let (from, to) = (change.from, change.to);
        match ended {
            Ok(()) => {
                self.acts.inc();
                tracing::info!(%app, from, to, "an app was scaled");
            }
            Err(TargetError::Stale) => {
                self.stale.inc();
                tracing::info!(%app, from, to, "an app was scaled by somebody else first");
            }
            Err(TargetError::Call(error)) => {
                self.refusals.inc();
                tracing::warn!(%app, from, to, %error, "an app could not be scaled");
            }
        }
    }

    pub(crate) fn app_gone(&self, app: AppGuid) {
        tracing::info!(%app, "an app is gone, and its rules with it");
    }

    pub(crate) fn all_gone(&self, apps: usize) {
        tracing::error!(
            apps,
            "the platform shows none of the apps with rules: may the autoscaler's client still \
             read them? Their rules are kept"
        );
    }

    pub(crate) fn out_of_memory(&self, app: AppGuid, bytes: usize) {
        tracing::error!(%app, bytes, "the samples take all the memory they may: an app is not watched");
    }

    pub(crate) fn policy_unreadable(&self, app: AppGuid, detail: &str) {
        tracing::error!(%app, detail, "a stored policy cannot be read and is left alone");
    }

    pub(crate) fn api_answered(&self, path: &str, status: http::StatusCode) {
        self.api_requests.inc();
        tracing::debug!(path, %status, "answered");
    }
}
