//! The outermost layer: what holds for every request before its endpoint is known.
//!
//! It takes a trailing slash off, names the request in the log and the answer, and turns a panic
//! into a 500 that tells nothing.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use cfx_process::entropy::IdSource;
use futures_util::FutureExt;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderName, HeaderValue};
use tower_service::Service;

use super::error::ApiError;
use crate::events::Events;

/// Under which name a request is found in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-vcap-request-id");
const CONTENT_TYPE_OPTIONS: HeaderName = HeaderName::from_static("x-content-type-options");

/// What it needs for that.
#[derive(Debug, Clone)]
pub(super) struct Front {
    pub(super) ids: IdSource,
    pub(super) events: Arc<Events>,
}

impl Front {
    /// Wrap the endpoints.
    pub(super) fn wrap(self, endpoints: Router) -> Router {
        Router::new()
            .fallback(move |request: Request| handle(endpoints.clone(), self.clone(), request))
    }
}

async fn handle(mut endpoints: Router, front: Front, mut request: Request) -> Response {
    without_trailing_slash(request.uri_mut());
    let id = front.ids.guid::<uuid::Uuid>().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let outcome = AssertUnwindSafe(async move { endpoints.call(request).await })
        .catch_unwind()
        .await;
    let mut response = match outcome {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(panic) => ApiError::internal(panic_text(&*panic)).into_response(),
    };
    front
        .events
        .api_answered(&method, &path, response.status(), &id);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a handler panicked: {}", text.unwrap_or_default())
}

/// `/v3/buildpacks/?x` is `/v3/buildpacks?x`.
fn without_trailing_slash(uri: &mut Uri) {
    let path = uri.path();
    if path.len() < 2 || !path.ends_with('/') {
        return;
    }
    let trimmed = path.trim_end_matches('/');
    let path = if trimmed.is_empty() { "/" } else { trimmed };
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    if let Ok(path_and_query) = text.parse::<PathAndQuery>() {
        parts.path_and_query = Some(path_and_query);
        if let Ok(rewritten) = Uri::from_parts(parts) {
            *uri = rewritten;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_slash_changes_nothing() {
        for (asked, served) in [
            ("/", "/"),
            ("//", "/"),
            ("/v3/buildpacks/", "/v3/buildpacks"),
            ("/v3/packages/?source_guid=x", "/v3/packages?source_guid=x"),
            ("/v3/apps", "/v3/apps"),
        ] {
            let mut uri: Uri = asked.parse().expect(asked);
            without_trailing_slash(&mut uri);
            assert_eq!(uri.to_string(), served);
        }
    }
}
