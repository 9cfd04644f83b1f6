//! `/healthz` and `/metrics`, for operators.

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use cfx_process::telemetry::{METRICS_CONTENT_TYPE, Metrics};
use http::header::CONTENT_TYPE;

pub(crate) fn endpoints(metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(show))
        .with_state(metrics)
}

async fn show(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], metrics.render())
}
