//! Health and metrics of the controller, for operators and their tools, on a listener of its own.

use axum::Router;
use axum::routing::get;
use cfx_process::telemetry::{METRICS_CONTENT_TYPE, Metrics};
use http::header;

/// What the listener serves.
#[derive(Debug)]
pub struct Admin {
    metrics: Metrics,
}

impl Admin {
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }

    pub fn router(self) -> Router {
        let metrics = self.metrics;
        let text = async move || {
            let kind = [(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)];
            (kind, metrics.render())
        };
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/metrics", get(text))
    }
}
