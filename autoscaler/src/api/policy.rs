//! `policy`: app-autoscaler's policies, in and out.

use axum::Json;
use axum::body::Bytes;
use axum::response::IntoResponse;
use serde_json::Value;

use super::access::Intent;
use super::call::{self, Call};
use super::error::{Answer, ApiError};

pub(crate) async fn show(call: Call) -> Answer {
    call.require(Intent::Read).await?;
    Err(ApiError::no_policy())
}

pub(crate) async fn attach(call: Call, body: Bytes) -> Answer {
    call.require(Intent::Write).await?;
    let policy: Value = call::json(&body)?;
    Ok(Json(policy).into_response())
}

pub(crate) async fn detach(call: Call) -> Answer {
    super::rules::remove_all(call).await
}
