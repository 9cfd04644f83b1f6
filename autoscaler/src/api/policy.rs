//! `policy`: app-autoscaler's policies, in and out.

use axum::Json;
use axum::body::Bytes;
use axum::response::IntoResponse;
use cfx_rules::import::{self, Extras, FieldError};
use serde_json::Value;

use super::access::Intent;
use super::call::{self, Call};
use super::error::{Answer, ApiError};
use crate::state::record::PolicyRecord;

/// As it was attached; rules that came as sentences are said as nearly as a policy can.
pub(crate) async fn show(call: Call) -> Answer {
    call.require(Intent::Read).await?;
    let known = call.context.policies.get(call.app);
    let known = known.ok_or_else(ApiError::no_policy)?;
    if let Some(imported) = &known.record.imported {
        return Ok(Json(imported.clone()).into_response());
    }
    let exported = import::export(&known.policy, &Extras::default());
    match exported.differences.is_empty() {
        true => Ok(Json(exported.json).into_response()),
        false => Err(ApiError::Conflict(format!(
            "the rules of this app say more than an app-autoscaler policy can ({}); \
             `cfx autoscale rules APP` shows them",
            exported.differences.join("; ")
        ))),
    }
}

pub(crate) async fn attach(call: Call, body: Bytes) -> Answer {
    call.require(Intent::Write).await?;
    let json: Value = call::json(&body)?;
    let now = call.now();
    let imported = import::import(&String::from_utf8_lossy(&body), Some(now));
    let policy = imported.map_err(|error| wrong(error.fields))?.policy;
    let change = |old: Option<&crate::state::policies::Known>| {
        let record = PolicyRecord {
            text: policy.to_string(),
            imported: Some(json.clone()),
            enabled: old.is_none_or(|old| old.record.enabled),
            pause: old.and_then(|old| old.record.pause.clone()),
            updated_at: now,
        };
        Ok::<_, ApiError>(Some((record, policy.clone())))
    };
    call.context.policies.change(call.app, change).await?;
    Ok(Json(json).into_response())
}

/// Where it is wrong, and what about it, as app-autoscaler names places.
fn wrong(fields: Vec<FieldError>) -> ApiError {
    let place = |path: String| match path.as_str() {
        "policy" => "(root)".to_owned(),
        path => format!("(root).{path}"),
    };
    let fields = fields.into_iter();
    ApiError::Policy(fields.map(|it| (place(it.path), it.problem)).collect())
}

pub(crate) async fn detach(call: Call) -> Answer {
    super::rules::remove_all(call).await
}
