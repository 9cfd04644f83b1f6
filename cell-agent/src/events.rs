//! What happens in a cell, each with its log line and its count. Metric names are bounded: no guid
//! is ever a label.

use std::sync::atomic::AtomicU64;

use cfx_process::telemetry::{Metrics, START_TRACE};
use cfx_protocol::desired::Assignment;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};
use cfx_protocol::instance::CrashReason;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// Bounds of start times, seconds: from a warm start to one that downloads a large droplet.
const START_BOUNDS_S: [f64; 11] = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0];

/// The cell's counters; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Events {
    starts: Counter,
    crashes: Counter,
    start_failures: Counter,
    stop_overruns: Counter,
    step_failures: Counter,
    steps_missed: Counter,
    refused_frames: Counter,
    redials: Counter,
    log_lines_lost: Counter,
    state_failures: Counter,
    swept: Counter,
    prepared_in_seconds: Histogram,
    instances: Gauge,
    running: Gauge,
    warm: Gauge,
    usage_cores: Gauge<f64, AtomicU64>,
}

impl Events {
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
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
        let prepared_in_seconds = Histogram::new(START_BOUNDS_S);
        let usage_cores = Gauge::<f64, AtomicU64>::default();
        metrics.register(|registry| {
            let help = "From order to a waiting process";
            registry.register(
                "cfx_cell_prepare_seconds",
                help,
                prepared_in_seconds.clone(),
            );
            let help = "CPU of all instances";
            registry.register("cfx_cell_instances_cpu_cores", help, usage_cores.clone());
        });
        Self {
            starts: counter("cfx_cell_starts", "Instances armed"),
            crashes: counter("cfx_cell_crashes", "Instances that crashed"),
            start_failures: counter(
                "cfx_cell_start_failures",
                "Instances that could not be made",
            ),
            stop_overruns: counter(
                "cfx_cell_stop_overruns",
                "Instances killed after their grace",
            ),
            step_failures: counter("cfx_cell_step_failures", "Steps that failed and go on"),
            steps_missed: counter(
                "cfx_cell_steps_missed",
                "Steps found by the look at everything: bugs",
            ),
            refused_frames: counter(
                "cfx_cell_refused_frames",
                "Frames of older or foreign controllers",
            ),
            redials: counter(
                "cfx_cell_redials",
                "Dials of the controller after the first",
            ),
            log_lines_lost: counter(
                "cfx_cell_log_lines_lost",
                "Log lines dropped before delivery",
            ),
            state_failures: counter(
                "cfx_cell_state_failures",
                "Failures of the cell's own state",
            ),
            swept: counter("cfx_cell_swept", "Leftovers of earlier agents cleared away"),
            prepared_in_seconds,
            instances: gauge(
                "cfx_cell_instances",
                "Assignments of which something is here",
            ),
            running: gauge("cfx_cell_instances_running", "Instances that run"),
            warm: gauge("cfx_cell_warm", "Instances that were made ahead and wait"),
            usage_cores,
        }
    }

    /// For measuring: a start has come this far.
    pub fn start_step(&self, assignment: &Assignment, step: &'static str) {
        let Assignment { guid, index, .. } = assignment;
        tracing::trace!(target: START_TRACE, assignment = %guid, index, step, "start");
    }

    pub fn prepared(&self, name: InstanceGuid, seconds: f64) {
        self.prepared_in_seconds.observe(seconds);
        tracing::debug!(instance = %name, seconds, "instance prepared");
    }

    pub fn armed(&self, name: InstanceGuid) {
        self.starts.inc();
        tracing::info!(instance = %name, "instance started");
    }

    pub fn start_failed(&self, name: InstanceGuid, detail: &str) {
        self.start_failures.inc();
        tracing::warn!(instance = %name, detail, "instance could not be started");
    }

    pub fn crashed(&self, name: InstanceGuid, reason: &CrashReason, crashes: u32) {
        self.crashes.inc();
        tracing::info!(instance = %name, %reason, crashes, "instance crashed");
    }

    pub fn stop_overran(&self, name: InstanceGuid) {
        self.stop_overruns.inc();
        tracing::info!(instance = %name, "instance did not end within its grace and was killed");
    }

    pub fn step_failed(&self, name: InstanceGuid, step: &'static str, detail: &str) {
        self.step_failures.inc();
        tracing::warn!(instance = %name, step, detail, "a step failed and will be tried again");
    }

    pub fn frame_refused(&self, why: &dyn std::fmt::Display) {
        self.refused_frames.inc();
        tracing::warn!(%why, "a frame of the controller was refused; the cell goes on as it is");
    }

    pub fn redial(&self, why: &str) {
        self.redials.inc();
        tracing::debug!(why, "dialling the controller again");
    }

    pub fn log_lines_lost(&self, count: u64) {
        self.log_lines_lost.inc_by(count);
    }

    pub fn state_not_saved(&self, error: &dyn std::fmt::Display) {
        self.state_failures.inc();
        tracing::error!(%error, "the cell's state could not be saved: nothing new is begun until it can");
    }

    pub fn state_damaged(&self, what: &str) {
        self.state_failures.inc();
        tracing::error!(
            what,
            "the cell's state is damaged: what runs goes on, and the rest comes back from the controller"
        );
    }

    pub fn warm(&self, ready: usize) {
        self.warm.set(i64::try_from(ready).unwrap_or(i64::MAX));
    }

    pub fn swept(&self, name: InstanceGuid) {
        self.swept.inc();
        tracing::warn!(instance = %name, "cleared away what an earlier agent left");
    }

    pub fn step_was_missed(&self, assignment: AssignmentGuid, reason: &'static str) {
        self.steps_missed.inc();
        tracing::error!(%assignment, reason, "a step was found that should have been taken before");
    }

    pub fn adopted(&self, running: usize, ended: usize) {
        tracing::info!(
            running,
            ended,
            "took over the instances of an earlier agent"
        );
    }

    pub fn clock_was_set(&self, by: jiff::SignedDuration) {
        tracing::warn!(%by, "the wall clock was set; waits stay as long as they were");
    }

    pub fn illegal(&self, illegal: &dyn std::fmt::Display) {
        tracing::error!(%illegal, "an event came that may not happen; it was ignored");
    }

    pub fn counted(&self, instances: usize, running: usize, cpu_cores: f64) {
        self.instances
            .set(i64::try_from(instances).unwrap_or(i64::MAX));
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
        self.usage_cores.set(cpu_cores);
    }
}
