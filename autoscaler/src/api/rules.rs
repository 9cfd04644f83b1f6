//! `cfx/rules`, `cfx/enabled`, `cfx/pause`: rules as sentences, and the hand on the brake.

use axum::Json;
use axum::body::Bytes;
use axum::response::IntoResponse;
use cfx_rules::Policy;
use cfx_rules::state::Pause;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Intent;
use super::call::{self, Call};
use super::error::{Answer, ApiError};
use crate::state::policies::{ChangeError, Known};
use crate::state::record::PolicyRecord;

/// Sentences in one request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statements {
    statements: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    enabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPause {
    /// Seconds; none is until someone resumes.
    #[serde(default)]
    seconds: Option<u32>,
    #[serde(default)]
    reason: String,
}

pub(crate) async fn list(call: Call) -> Answer {
    call.require(Intent::Read).await?;
    let known = call.context.policies.get(call.app);
    let known = known.ok_or_else(ApiError::no_policy)?;
    Ok(Json(shown(&known)).into_response())
}

/// Further statements beside those that are there.
pub(crate) async fn add(call: Call, body: Bytes) -> Answer {
    call.require(Intent::Write).await?;
    let new = statements(&body)?;
    let now = call.now();
    change(&call, |old| {
        let mut lines: Vec<&str> = old.map_or(Vec::new(), |old| old.record.text.lines().collect());
        lines.extend(new.iter().map(String::as_str));
        of_text(old, &lines.join("\n"), now).map(Some)
    })
    .await
}

/// These statements and no others.
pub(crate) async fn replace(call: Call, body: Bytes) -> Answer {
    call.require(Intent::Write).await?;
    let new = statements(&body)?.join("\n");
    let now = call.now();
    change(&call, |old| of_text(old, &new, now).map(Some)).await
}

/// One statement, by its number in the list.
pub(crate) async fn remove(call: Call) -> Answer {
    call.require(Intent::Write).await?;
    let number: usize = call.param("number").parse().unwrap_or(0);
    let now = call.now();
    change(&call, |old| {
        let old = old.ok_or_else(ApiError::no_policy)?;
        let mut lines: Vec<&str> = old.record.text.lines().collect();
        if !(1..=lines.len()).contains(&number) {
            return Err(ApiError::NotFound(format!(
                "there is no rule {number}; they are numbered from 1 to {}",
                lines.len()
            )));
        }
        lines.remove(number - 1);
        match lines.is_empty() {
            true => Ok(None),
            false => of_text(Some(old), &lines.join("\n"), now).map(Some),
        }
    })
    .await
}

pub(crate) async fn remove_all(call: Call) -> Answer {
    call.require(Intent::Write).await?;
    change(&call, |old| match old {
        Some(_) => Ok(None),
        None => Err(ApiError::no_policy()),
    })
    .await
}

pub(crate) async fn switch(call: Call, body: Bytes) -> Answer {
    call.require(Intent::Write).await?;
    let Switch { enabled } = call::json(&body)?;
    change_record(&call, |record| record.enabled = enabled).await
}

pub(crate) async fn pause(call: Call, body: Bytes) -> Answer {
    call.require(Intent::Write).await?;
    let wanted: NewPause = call::json(if body.is_empty() { b"{}" } else { &body })?;
    let until = wanted
        .seconds
        .map(|seconds| call.now() + i64::from(seconds));
    change_record(&call, |record| {
        record.pause = Some(Pause {
            until,
            reason: wanted.reason.clone(),
        });
    })
    .await
}

pub(crate) async fn resume(call: Call) -> Answer {
    call.require(Intent::Write).await?;
    change_record(&call, |record| record.pause = None).await
}

fn statements(body: &[u8]) -> Result<Vec<String>, ApiError> {
    let Statements { statements } = call::json(body)?;
    // Alone first, so that an error points into what was typed.
    parse(&statements.join("\n"))?;
    Ok(statements)
}

fn parse(text: &str) -> Result<Policy, ApiError> {
    Policy::parse(text).map_err(|error| ApiError::BadRequest(error.to_string()))
}

fn of_text(old: Option<&Known>, text: &str, now: i64) -> Result<(PolicyRecord, Policy), ApiError> {
    let policy = parse(text)?;
    let record = PolicyRecord {
        text: policy.to_string(),
        imported: None,
        enabled: old.is_none_or(|old| old.record.enabled),
        pause: old.and_then(|old| old.record.pause.clone()),
        updated_at: now,
    };
    Ok((record, policy))
}

async fn change_record(call: &Call, change: impl Fn(&mut PolicyRecord)) -> Answer {
    self::change(call, |old| {
        let old = old.ok_or_else(ApiError::no_policy)?;
        let mut record = old.record.clone();
        change(&mut record);
        Ok(Some((record, old.policy.clone())))
    })
    .await
}

async fn change(
    call: &Call,
    change: impl Fn(Option<&Known>) -> Result<Option<(PolicyRecord, Policy)>, ApiError>,
) -> Answer {
    let changed = call.context.policies.change(call.app, change).await?;
    let body = match &changed {
        Some(known) => shown(known),
        None => json!({ "statements": [] }),
    };
    Ok(Json(body).into_response())
}

fn shown(known: &Known) -> Value {
    let record = &known.record;
    json!({
        "statements": record.text.lines().collect::<Vec<_>>(),
        "enabled": record.enabled,
        "pause": record.pause,
        "is_policy": record.imported.is_some(),
        "updated_at": jiff::Timestamp::from_second(record.updated_at).unwrap_or_default(),
    })
}

impl From<ChangeError<ApiError>> for ApiError {
    fn from(error: ChangeError<ApiError>) -> Self {
        match error {
            ChangeError::Refused(refused) => refused,
            ChangeError::TooMany => Self::Conflict(error.to_string()),
            ChangeError::State(error) if error.is_too_large() => Self::BadRequest(
                "the policy is too large: it may have 32 KiB; leave remarks and rules out"
                    .to_owned(),
            ),
            ChangeError::State(error) => Self::Store(error),
        }
    }
}
