//! The controller's metrics, in Prometheus' text format.

use cfx_planner::Action;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// What a plan can do, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Kind {
    Place,
    Unroute,
    Stop,
    Forget,
    Abandon,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Act {
    kind: Kind,
}

impl Act {
    #[must_use]
    pub fn of(action: &Action) -> Self {
        let kind = match action {
            Action::Place(_) => Kind::Place,
            Action::Unroute(_) => Kind::Unroute,
            Action::Stop(_) => Kind::Stop,
            Action::Forget(_) => Kind::Forget,
            Action::Abandon { .. } => Kind::Abandon,
        };
        Self { kind }
    }
}

/// Counters and gauges, with the registry that prints them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(crate) passes: Counter,
    pub(crate) failed_passes: Counter,
    pub(crate) pass_seconds: Histogram,
    pub(crate) actions: Family<Act, Counter>,
    pub(crate) unplaced: Gauge,
    pub(crate) registrations: Counter,
    pub(crate) reports: Counter,
    pub(crate) full_reports_wanted: Counter,
    pub(crate) crashes: Counter,
    pub(crate) refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("cfx_controller"),
            passes: Counter::default(),
            failed_passes: Counter::default(),
            // From a tenth of a millisecond to three seconds.
            pass_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            actions: Family::default(),
            unplaced: Gauge::default(),
            registrations: Counter::default(),
            reports: Counter::default(),
            full_reports_wanted: Counter::default(),
            crashes: Counter::default(),
            refused: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("passes", "Passes of the convergence loop", &self.passes);
        counter("failed_passes", "Passes that failed", &self.failed_passes);
        counter("cell_registrations", "Cells that presented themselves", &self.registrations);
        counter("cell_reports", "Reports of cells taken in", &self.reports);
        counter("full_reports_wanted", "Reports that did not suffice", &self.full_reports_wanted);
        counter("crashes", "Crashes of app instances", &self.crashes);
        counter("internal_calls_refused", "Internal calls refused", &self.refused);
        let seconds = self.pass_seconds.clone();
        registry.register("pass_seconds", "Time of one pass", seconds);
        let actions = self.actions.clone();
        registry.register("planned_actions", "Actions that passes planned", actions);
        let unplaced = self.unplaced.clone();
        registry.register("unplaced_instances", "Instances that no cell can take", unplaced);
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a string takes any text");
        text
    }
}
