//! What handlers are given: the app that the path names, the caller, the query.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, RawPathParams};
use cfx_protocol::id::AppGuid;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::Context;
use super::access::{Intent, Verdict};
use super::error::ApiError;

/// A request about an app.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) context: Context,
    pub(crate) app: AppGuid,
    pub(crate) path: String,
    authorization: HeaderValue,
    params: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
}

impl FromRequestParts<Context> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        let authorization = parts.headers.get(AUTHORIZATION).cloned();
        let mut authorization = authorization.ok_or(ApiError::Unauthorized)?;
        authorization.set_sensitive(true);
        let now = context.edges.clock.monotonic();
        if !context.rate.admits(authorization.as_bytes(), now) {
            return Err(ApiError::TooMany);
        }
        let params = RawPathParams::from_request_parts(parts, context).await;
        let params: BTreeMap<_, _> = match &params {
            Ok(params) => params
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            // It is not UTF-8 and so names nothing.
            Err(_) => BTreeMap::new(),
        };
        let guid = params.get("guid").map_or("", String::as_str);
        Ok(Self {
            context: context.clone(),
            app: guid.parse().map_err(|_| ApiError::no_app())?,
            path: parts.uri.path().to_owned(),
            authorization,
            query: query(parts.uri.query().unwrap_or_default()),
            params,
        })
    }
}

/// The last of several values of one name counts.
fn query(text: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced);
        decoded.decode_utf8_lossy().into_owned()
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

impl Call {
    /// The caller may do this, or the handler ends here.
    pub(crate) async fn require(&self, intent: Intent) -> Result<(), ApiError> {
        let access = &self.context.edges.access;
        let judged = access.judge(&self.authorization, self.app, intent).await;
        match judged.map_err(ApiError::Platform)? {
            Verdict::Allowed => Ok(()),
            Verdict::Unknown => Err(ApiError::Unauthorized),
            Verdict::Hidden => Err(ApiError::no_app()),
            Verdict::Forbidden => Err(ApiError::Forbidden),
        }
    }

    /// Who the caller claims to be.
    pub(crate) fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    /// A value of the query; an empty one is none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let value = self.query.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// A whole number of the query.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parsed = self.get(name).map(str::parse::<i64>).transpose();
        parsed.map_err(|_| ApiError::BadRequest(format!("{name} must be a whole number")))
    }

    /// Now, in whole seconds.
    pub(crate) fn now(&self) -> i64 {
        self.context.edges.clock.now().as_second()
    }
}

/// A JSON body, whatever its content type says.
pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::BadRequest(format!("the body cannot be understood: {error}")))
}
