//! What happens in the controller's own loops: each method logs and counts.

use std::time::Duration;

use cfx_planner::plan::{Action, Mode, Plan};
use cfx_protocol::id::CellGuid;
use http::{Method, StatusCode};

use crate::metrics::{Act, Answer, Metrics};

/// The one place that tells of things.
#[derive(Debug)]
pub struct Events {
    metrics: Metrics,
}

impl Events {
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }

    /// A pass was made; `done` of its actions were still right when they were committed.
    pub fn planned(&self, plan: &Plan, done: usize, took: Duration) {
        self.metrics.passes.inc();
        self.metrics.pass_seconds.observe(took.as_secs_f64());
        let unplaced = i64::try_from(plan.unplaced.len()).unwrap_or(i64::MAX);
        self.metrics.unplaced.set(unplaced);
        for action in &plan.actions {
            self.metrics.actions.get_or_create(&Act::of(action)).inc();
            match action {
                Action::Place(it) => tracing::info!(
                    work = %it.work, index = it.index, version = it.version,
                    assignment = %it.assignment, cell = %it.cell, reason = %it, "placed"
                ),
                Action::Unroute(it) => tracing::info!(
                    work = %it.work, assignment = %it.assignment, reason = %it.reason, "unrouted"
                ),
                Action::Stop(it) => tracing::info!(
                    work = %it.work, assignment = %it.assignment, reason = %it.reason, "stopped"
                ),
                Action::Forget(it) => tracing::debug!(
                    work = %it.work, assignment = %it.assignment, reason = %it.reason, "forgotten"
                ),
                Action::Abandon { work, why } => {
                    tracing::warn!(%work, reason = %why, "a work was given up");
                }
            }
        }
        if done < plan.actions.len() {
            let planned = plan.actions.len();
            tracing::debug!(planned, done, "the state moved on while it was planned for");
        }
    }

    /// Everything was compared with what the passes knew.
    pub fn swept(&self, repairs: usize) {
        self.metrics.sweep_repairs.inc_by(repairs as u64);
        if repairs > 0 {
            tracing::warn!(
                repairs,
                "a sweep found what the passes before it had missed"
            );
        }
    }

    pub fn sweep_repairs(&self) -> u64 {
        self.metrics.sweep_repairs.get()
    }

    pub fn pass_failed(&self, error: &str) {
        self.metrics.failed_passes.inc();
        tracing::error!(error, "a pass failed and will be made again");
    }

    pub fn mode_changed(&self, mode: Mode) {
        match mode {
            Mode::Normal => tracing::info!("cells answer again: normal mode"),
            Mode::Static { silent, of } => tracing::error!(
                silent,
                of,
                "many cells fell silent at once: nothing is replaced but what serves nowhere"
            ),
        }
    }

    pub fn cell_registered(&self, cell: CellGuid, name: &str) {
        self.metrics.registrations.inc();
        tracing::info!(%cell, name, "a cell registered");
    }

    pub fn crashed(&self, count: usize) {
        self.metrics.crashes.inc_by(count as u64);
    }

    pub fn report_taken(&self) {
        self.metrics.reports.inc();
    }

    pub fn full_report_wanted(&self, cell: CellGuid) {
        self.metrics.full_reports_wanted.inc();
        tracing::debug!(%cell, "a full report is needed");
    }

    pub fn stranger_refused(&self, what: &'static str) {
        self.metrics.refused.inc();
        tracing::warn!(what, "an internal call was refused");
    }

    /// The public API answered. `request` is the name the client was given for it.
    pub fn api_answered(&self, method: &Method, path: &str, status: StatusCode, request: &str) {
        self.metrics
            .api_answers
            .get_or_create(&Answer::of(status))
            .inc();
        if status.is_server_error() {
            tracing::warn!(%method, path, %status, request, "the API answered with an error");
        } else {
            tracing::debug!(%method, path, %status, request, "the API answered");
        }
    }

    pub fn signed_in(&self) {
        self.metrics.sign_ins.inc();
    }

    pub fn sign_in_failed(&self) {
        self.metrics.failed_sign_ins.inc();
    }

    pub fn refresh_token_reused(&self, session: uuid::Uuid) {
        self.metrics.ended_sessions.inc();
        tracing::warn!(%session, "a refresh token was used twice: its session was ended");
    }

    pub fn joined(&self, role: &'static str, guid: uuid::Uuid, name: &str) {
        tracing::info!(role, %guid, name, "a process of the platform joined");
    }
}
