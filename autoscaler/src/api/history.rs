//! `scaling_histories`: what was done to an app, and what failed.

use cfx_protocol::id::AppGuid;
use serde::Serialize;

use super::access::Intent;
use super::call::Call;
use super::error::{Answer, ApiError};
use super::page::Range;
use crate::state::record::{Ended, HistoryEntry};
use crate::state::ring::ACTS;

/// One act, as app-autoscaler shows it; the explanation is ours.
#[derive(Debug, Serialize)]
struct Entry {
    app_id: AppGuid,
    timestamp: i64,
    /// 0 by a rule, 1 by a schedule or a limit.
    scaling_type: u8,
    /// 0 succeeded, 1 failed, 2 ignored.
    status: u8,
    old_instances: i64,
    new_instances: i64,
    reason: String,
    message: String,
    error: String,
    explanation: String,
}

pub(crate) async fn list(call: Call) -> Answer {
    call.require(Intent::Read).await?;
    let range = Range::of(&call)?;
    let store = &*call.context.edges.store;
    let kept = ACTS.load::<HistoryEntry>(store, call.app).await;
    let kept = kept.map_err(ApiError::Store)?;
    let all = kept.into_iter().map(|entry| shown(call.app, entry));
    range.answer(&call, all.collect(), |entry| entry.timestamp)
}

fn shown(app: AppGuid, entry: HistoryEntry) -> Entry {
    let failed = entry.ended == Ended::Failed;
    Entry {
        app_id: app,
        timestamp: entry.at_ns,
        scaling_type: u8::from(entry.scheduled),
        status: match entry.ended {
            Ended::Succeeded => 0,
            Ended::Failed => 1,
            Ended::Ignored => 2,
        },
        old_instances: i64::from(entry.from),
        // What was wanted and did not come is told by the reason.
        new_instances: if failed { -1 } else { i64::from(entry.to) },
        reason: entry.reason,
        message: String::new(),
        error: entry.error,
        explanation: entry.explanation,
    }
}
