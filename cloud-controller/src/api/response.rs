//! The few shapes of a successful answer.

use axum::Json;
use axum::response::IntoResponse;
use cfx_protocol::id::JobGuid;
use cfx_protocol::v3::resource::{Link, Metadata};
use http::header::{ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::error::{Answer, ApiError};
use super::request::Base;
use crate::state::meta::Meta;

pub(crate) fn ok(body: impl Serialize) -> Answer {
    Ok(Json(body).into_response())
}

pub(crate) fn created(body: impl Serialize) -> Answer {
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(crate) fn accepted(body: impl Serialize) -> Answer {
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

pub(crate) fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The same answer, with the name of the resource's state for a later `If-Match`.
pub(crate) fn tagged(answer: Answer, tag: &str) -> Answer {
    let mut answer = answer?;
    let tag = HeaderValue::try_from(tag).map_err(ApiError::internal)?;
    answer.headers_mut().insert(ETAG, tag);
    Ok(answer)
}

/// One resource, with what `include` asked for beside it.
pub(crate) fn with_included(body: impl Serialize, included: Option<Value>) -> Answer {
    let mut body = serde_json::to_value(body).map_err(ApiError::internal)?;
    if let (Some(included), Some(fields)) = (included, body.as_object_mut()) {
        fields.insert("included".to_owned(), included);
    }
    ok(body)
}

/// 202 with the address of a job to follow.
pub(crate) fn job(base: &Base, job: JobGuid) -> Answer {
    let location = base.href(&format!("/v3/jobs/{job}"));
    let location = HeaderValue::try_from(location).map_err(ApiError::internal)?;
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)]).into_response())
}

/// Timestamps of the API have whole seconds.
pub(crate) fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

pub(crate) fn metadata(meta: &Meta) -> Metadata {
    Metadata {
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
    }
}

impl Base {
    /// A link to a path of this API.
    pub(crate) fn link(&self, path: &str) -> Link {
        Link::get(self.href(path))
    }
}
