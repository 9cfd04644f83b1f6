//! What cells call: they present themselves, follow their desired set, and report.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use cfx_protocol::actual::{CellReport, CrashReport, ReportReply};
use cfx_protocol::cell::CellRegistration;
use cfx_protocol::id::CellGuid;
use cfx_protocol::telemetry::{LogEnvelope, Stream};
use http::{StatusCode, header};

use super::Context;
use super::peer::{Cell, Refused};
use crate::actions::{Act, act, stack};
use crate::convergence::record_crashes;
use crate::state::process::Process;

/// Crashes taken in with one report. A cell that had no controller for days may have more; the
/// oldest are dropped, their count lives on in the newest.
const CRASHES_MAX: usize = 1_000;

pub(super) async fn register(
    cell: Cell,
    State(context): State<Context>,
    Json(registration): Json<CellRegistration>,
) -> Result<StatusCode, Refused> {
    cell.is(registration.guid)?;
    learn_stacks(&context, &registration.stacks).await?;
    context
        .events
        .cell_registered(registration.guid, &registration.name);
    let now = context.clock.monotonic();
    context.observed.register(registration, now);
    Ok(StatusCode::OK)
}

/// Apps may ask for a stack as soon as a cell has it.
async fn learn_stacks(context: &Context, brought: &[String]) -> Result<(), Refused> {
    if !stack::is_news(&context.state.read(), brought) {
        return Ok(());
    }
    let act = Act {
        now: context.clock.now(),
        ids: &context.ids,
        actor: act::platform(),
    };
    let learnt = context.state.write(|draft| {
        stack::learn(draft, &act, brought);
        Ok::<_, std::convert::Infallible>(())
    });
    learnt
        .await
        .map_err(|error| Refused::NotStored(error.to_string()))
}

pub(super) async fn desired(
    cell: Cell,
    Path(guid): Path<CellGuid>,
    State(context): State<Context>,
) -> Result<Response, Refused> {
    cell.is(guid)?;
    if context.observed.cell(guid).is_none() {
        return Err(Refused::NotRegistered);
    }
    let body = Body::from_stream(context.dispatch.stream(guid));
    Ok(ndjson(body))
}

pub(super) async fn report(
    cell: Cell,
    Path(guid): Path<CellGuid>,
    State(context): State<Context>,
    Json(mut report): Json<CellReport>,
) -> Result<Json<ReportReply>, Refused> {
    cell.is(guid)?;
    cell.is(report.cell)?;
    let crashes = std::mem::take(&mut report.crashes);
    let now = context.clock.monotonic();
    let accepted = context.observed.report(report, now);
    context.events.report_taken();
    // After the rest: a store that takes nothing must not make the cell look lost.
    if !crashes.is_empty() {
        take_in_crashes(&context, guid, &crashes).await?;
    }
    if !accepted {
        context.events.full_report_wanted(guid);
    }
    Ok(Json(ReportReply {
        want_full: !accepted,
    }))
}

/// They are durable before the cell hears that its report was taken.
async fn take_in_crashes(
    context: &Context,
    cell: CellGuid,
    crashes: &[CrashReport],
) -> Result<(), Refused> {
    let newest = &crashes[crashes.len().saturating_sub(CRASHES_MAX)..];
    let recorded = record_crashes(&context.state, cell, newest).await;
    let recorded = recorded.map_err(|error| Refused::NotStored(error.to_string()))?;
    context.events.crashed(recorded.len());
    let lines = recorded.iter().filter_map(|it| crash_line(context, it));
    context.log_cache.append(lines.collect());
    Ok(())
}

/// The line that `cf logs` shows for a crash, in Cloud Foundry's words.
fn crash_line(context: &Context, crash: &CrashReport) -> Option<LogEnvelope> {
    let state = context.state.read();
    let process = state.get::<Process>(&crash.process)?;
    let payload = serde_json::json!({
        "instance": crash.instance,
        "index": crash.index,
        "reason": "CRASHED",
        "exit_description": crash.reason.to_string(),
        "crash_count": crash.crashes,
        "crash_timestamp": crash.at,
    });
    let line = format!(
        "App instance exited with guid {} payload: {payload}",
        process.app
    );
    Some(LogEnvelope {
        timestamp_ns: i64::try_from(crash.at.as_nanosecond()).unwrap_or(i64::MAX),
        app: process.app,
        stream: Stream::Out,
        source_type: "API".to_owned(),
        instance_index: 0,
        process: Some(crash.process),
        instance: Some(crash.instance),
        payload: line.into_bytes(),
    })
}

/// An endless answer, one frame a line.
pub(super) fn ndjson(body: Body) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/x-ndjson"),
    );
    response
}
