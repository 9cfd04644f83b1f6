//! What routers call: they follow the route table and say which one they serve.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use cfx_protocol::id::RouterGuid;
use cfx_protocol::route::TableAck;
use http::StatusCode;

use super::Context;
use super::cell::ndjson;
use super::peer::{Refused, Router};

pub(super) async fn routes(router: Router, State(context): State<Context>) -> Response {
    ndjson(Body::from_stream(context.publisher.stream(router.0)))
}

pub(super) async fn acknowledge(
    router: Router,
    Path(guid): Path<RouterGuid>,
    State(context): State<Context>,
    Json(ack): Json<TableAck>,
) -> Result<StatusCode, Refused> {
    router.is(guid)?;
    router.is(ack.router)?;
    let now = context.clock.monotonic();
    context.routers.acknowledge(guid, ack.token, now);
    Ok(StatusCode::NO_CONTENT)
}
