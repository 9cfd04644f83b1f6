//! What an operator asks a router: is it well, what does it count, what does it route.
//!
//! Meant for a loopback listener: the table names every app.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cfx_process::telemetry::{METRICS_CONTENT_TYPE, Metrics};
use cfx_protocol::route::Route;

use crate::table::publish::Publisher;

/// What the endpoints look at.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) metrics: Metrics,
    pub(crate) draining: Arc<AtomicBool>,
}

impl Admin {
    pub(crate) fn endpoints(self) -> Router {
        Router::new()
            .route("/health", get(health))
            .route("/healthz", get(health))
            .route("/metrics", get(metrics))
            .route("/routes", get(routes))
            .with_state(self)
    }
}

/// 200 while clients should come here: a table is served and the router does not drain.
async fn health(State(admin): State<Admin>) -> Response {
    if admin.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    if admin.publisher.newest().token().is_none() {
        return (StatusCode::SERVICE_UNAVAILABLE, "no route table yet\n").into_response();
    }
    let headers = [
        (header::CACHE_CONTROL, "private, max-age=0"),
        (header::EXPIRES, "0"),
    ];
    (headers, "ok\n").into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let headers = [(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)];
    (headers, admin.metrics.render()).into_response()
}

/// The table as it is served, ordered by host and path.
async fn routes(State(admin): State<Admin>) -> Response {
    let table = admin.publisher.newest();
    let mut routes: Vec<Route> = table.routes().map(|entry| entry.to_route()).collect();
    routes.sort_by(|a, b| (&a.host, &a.path).cmp(&(&b.host, &b.path)));
    let answer = serde_json::json!({ "token": table.token(), "routes": routes });
    axum::Json(answer).into_response()
}
