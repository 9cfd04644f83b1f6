//! The controller's metrics.

use cfx_planner::Action;
use cfx_process::telemetry;
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

/// The class of an answer's status, as a label: `2xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answer {
    status: &'static str,
}

impl Answer {
    #[must_use]
    pub fn of(status: http::StatusCode) -> Self {
        let status = match status.as_u16() {
            ..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        Self { status }
    }
}

/// Prefix of every name.
const PREFIX: &str = "cfx_controller";

/// Counters and gauges of the controller's own loops.
#[derive(Debug)]
pub struct Metrics {
    pub(crate) passes: Counter,
    pub(crate) failed_passes: Counter,
    pub(crate) sweep_repairs: Counter,
    pub(crate) pass_seconds: Histogram,
    pub(crate) actions: Family<Act, Counter>,
    pub(crate) unplaced: Gauge,
    pub(crate) registrations: Counter,
    pub(crate) reports: Counter,
    pub(crate) full_reports_wanted: Counter,
    pub(crate) crashes: Counter,
    pub(crate) refused: Counter,
    pub(crate) api_answers: Family<Answer, Counter>,
    pub(crate) sign_ins: Counter,
    pub(crate) failed_sign_ins: Counter,
    pub(crate) ended_sessions: Counter,
}

impl Metrics {
    /// Register everything once, at start.
    #[must_use]
    pub fn register(telemetry: &telemetry::Metrics) -> Self {
        let metrics = Self {
            passes: Counter::default(),
            failed_passes: Counter::default(),
            sweep_repairs: Counter::default(),
            // From a tenth of a millisecond to three seconds.
            pass_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            actions: Family::default(),
            unplaced: Gauge::default(),
            registrations: Counter::default(),
            reports: Counter::default(),
            full_reports_wanted: Counter::default(),
            crashes: Counter::default(),
            refused: Counter::default(),
            api_answers: Family::default(),
            sign_ins: Counter::default(),
            failed_sign_ins: Counter::default(),
            ended_sessions: Counter::default(),
        };
        telemetry.register(|registry| metrics.name(registry.sub_registry_with_prefix(PREFIX)));
        metrics
    }

    fn name(&self, registry: &mut Registry) {
        let counters = [
            ("passes", "Passes of the convergence loop", &self.passes),
            ("failed_passes", "Passes that failed", &self.failed_passes),
            (
                "sweep_repairs",
                "What sweeps over everything found that passes had missed",
                &self.sweep_repairs,
            ),
            (
                "cell_registrations",
                "Cells that presented themselves",
                &self.registrations,
            ),
            ("cell_reports", "Reports of cells taken in", &self.reports),
            (
                "full_reports_wanted",
                "Reports that did not suffice",
                &self.full_reports_wanted,
            ),
            ("crashes", "Crashes of app instances", &self.crashes),
            (
                "internal_calls_refused",
                "Internal calls refused",
                &self.refused,
            ),
            ("sign_ins", "Sign-ins with a password", &self.sign_ins),
            (
                "failed_sign_ins",
                "Sign-ins with a wrong password",
                &self.failed_sign_ins,
            ),
            (
                "ended_sessions",
                "Sessions ended because a refresh token came twice",
                &self.ended_sessions,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "pass_seconds",
            "Time of one pass",
            self.pass_seconds.clone(),
        );
        registry.register(
            "planned_actions",
            "Actions that passes planned",
            self.actions.clone(),
        );
        registry.register(
            "api_answers",
            "Answers of the public API",
            self.api_answers.clone(),
        );
        let unplaced = self.unplaced.clone();
        registry.register(
            "unplaced_instances",
            "Instances that no cell can take",
            unplaced,
        );
    }
}
