//! `cfx/explain` and `cfx/decisions`: what the rules concluded, and why.

use axum::Json;
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::access::Intent;
use super::call::Call;
use super::error::{Answer, ApiError};
use super::page::Range;
use crate::state::record::DecisionRecord;
use crate::state::ring::DECISIONS;
use crate::wording;

/// The decision of a moment: `?at=` in seconds since 1970, or the newest.
pub(crate) async fn explain(call: Call) -> Answer {
    call.require(Intent::Read).await?;
    let at = call.number("at")?;
    let known = call.context.policies.get(call.app);
    let known = known.ok_or_else(ApiError::no_policy)?;
    let found = match (at, call.context.latest.of(call.app)) {
        (None, Some(latest)) => Some(latest),
        _ => at_moment(&call, at).await?,
    };
    let Some(record) = found else {
        let when = match at {
            Some(_) => "nothing is kept of that time",
            None if !known.record.enabled => "the rules are switched off",
            None => "nothing was decided yet: an app is watched while it is started",
        };
        return Err(ApiError::NotFound(format!(
            "{when}; `cfx autoscale rules APP` shows the rules"
        )));
    };
    Ok(Json(shown(&record)).into_response())
}

/// The newest record that had begun by then.
async fn at_moment(call: &Call, at: Option<i64>) -> Result<Option<DecisionRecord>, ApiError> {
    let all = load(call).await?;
    let begun = all
        .into_iter()
        .filter(|record| at.is_none_or(|at| record.first <= at));
    Ok(begun.max_by_key(|record| record.first))
}

pub(crate) async fn list(call: Call) -> Answer {
    call.require(Intent::Read).await?;
    let range = Range::of(&call)?;
    let all = load(&call).await?;
    let all: Vec<Value> = all.iter().map(shown).collect();
    let at_ns = |record: &Value| record["first"].as_i64().unwrap_or_default() * 1_000_000_000;
    range.answer(&call, all, at_ns)
}

async fn load(call: &Call) -> Result<Vec<DecisionRecord>, ApiError> {
    let store = &*call.context.edges.store;
    let kept = DECISIONS.load::<DecisionRecord>(store, call.app).await;
    let mut kept = kept.map_err(ApiError::Store)?;
    // The one that is still going on has its newest numbers in memory.
    if let Some(latest) = call.context.latest.of(call.app) {
        kept.retain(|record| record.first != latest.first);
        kept.push(latest);
    }
    Ok(kept)
}

fn shown(record: &DecisionRecord) -> Value {
    let moment = |second: i64| Timestamp::from_second(second).unwrap_or_default();
    json!({
        "first": record.first,
        "last": record.last,
        "since": moment(record.first),
        "until": moment(record.last),
        "ticks": record.ticks,
        "text": wording::told(record),
        "not_done": record.not_done,
        "decision": record.decision,
    })
}
