//! What happens in a router beside requests: one method per thing, which logs and counts it.
//!
//! Requests are counted by `metrics::ThreadMetrics` and told by the access log.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::telemetry::START_TRACE;
use cfx_protocol::generation::Token;

use crate::metrics::TableMetrics;
use crate::running::Addresses;
use crate::table::Counts;
use crate::table::apply::ApplyError;
use crate::table::sync::StreamEnd;

/// The log and the numbers of the router as a whole.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) table: Arc<TableMetrics>,
}

impl Events {
    pub(crate) fn started(&self, addresses: &Addresses, threads: usize) {
        tracing::info!(?addresses, threads, "the router listens");
    }

    pub(crate) fn draining(&self, wait: Duration) {
        tracing::info!(
            ?wait,
            "the router drains: health checks fail, connections are asked to close"
        );
    }

    pub(crate) fn stopped(&self, failed_threads: usize) {
        tracing::info!(failed_threads, "the router has stopped");
    }

    pub(crate) fn thread_lost(&self, thread: usize) {
        tracing::error!(thread, "a router thread ended on its own");
    }

    pub(crate) fn table_restored(&self, token: Token, counts: Counts) {
        self.table_holds(token, counts);
        tracing::info!(
            %token,
            routes = counts.routes,
            "serving from the saved table until a controller answers"
        );
    }

    pub(crate) fn table_applied(&self, token: Token, counts: Counts) {
        let endpoints = counts.endpoints;
        tracing::trace!(target: START_TRACE, endpoints, step = "routed", "start");
        self.table_holds(token, counts);
        self.table.updates.add(1);
        tracing::debug!(%token, routes = counts.routes, endpoints = counts.endpoints, "new table");
    }

    fn table_holds(&self, token: Token, counts: Counts) {
        self.table.routes.set(counts.routes as u64);
        self.table.endpoints.set(counts.endpoints as u64);
        self.table.revision.set(token.revision);
    }

    pub(crate) fn table_heard(&self, now: Duration) {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.table.heard_ms.set(now_ms);
    }

    pub(crate) fn stream_lost(&self, end: &StreamEnd) {
        self.table.stream_losses.add(1);
        match end {
            StreamEnd::Apply(ApplyError::Refused(refused)) => {
                tracing::error!(%refused, "a controller offers a table that must not be followed");
            }
            _ => {
                tracing::warn!(reason = %end, "the stream of route tables is lost, dialling again")
            }
        }
    }

    pub(crate) fn metrics_refused(&self, error: &dyn Display) {
        tracing::warn!(%error, "a second of metrics was refused and is lost");
    }

    pub(crate) fn ack_failed(&self, error: &dyn Display) {
        tracing::warn!(%error, "the table could not be acknowledged, trying again");
    }

    pub(crate) fn saved_table_unusable(&self, error: &dyn Display) {
        tracing::error!(%error, "the saved table cannot be used, waiting for a controller");
    }

    pub(crate) fn table_not_saved(&self, error: &dyn Display) {
        tracing::error!(%error, "the table could not be saved");
    }

    pub(crate) fn log_lines_undelivered(&self, lines: usize, error: &dyn Display) {
        self.table.log_lines_undelivered.add(lines as u64);
        tracing::debug!(%error, lines, "access log lines were not taken and are dropped");
    }

    pub(crate) fn access_log_file_unusable(&self, error: &dyn Display) {
        tracing::error!(%error, "the access log file cannot be written");
    }

    pub(crate) fn accept_failed(&self, error: &dyn Display) {
        tracing::warn!(%error, "cannot accept a connection");
    }
}
