//! Bodies of `POST /oauth/token`: form fields, and the client that sends them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::extract::{FromRequest, Request};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cfx_process::http_server::PeerAddress;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use url::form_urlencoded;

use super::UaaRefusal;
use crate::api::context::Context;
use crate::api::request::{Base, read};

/// Largest form, bytes: a token of ours and a password fit ten times.
const FORM_MAX_BYTES: usize = 64 * 1024;

/// A token request.
#[derive(Debug)]
pub(in crate::api) struct Form {
    pub(super) context: Context,
    pub(super) base: Base,
    fields: BTreeMap<String, String>,
    /// Client id and secret.
    pub(super) client: (String, String),
    pub(super) from: Option<IpAddr>,
}

impl FromRequest<Context> for Form {
    type Rejection = UaaRefusal;

    async fn from_request(request: Request, context: &Context) -> Result<Self, UaaRefusal> {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let bytes = read(body, FORM_MAX_BYTES).await?;
        // The query may hint at an origin; credentials belong into the body.
        let hints = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "login_hint");
        let fields: BTreeMap<String, String> = hints
            .chain(form_urlencoded::parse(&bytes))
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        let in_body = || {
            let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
            (field("client_id"), field("client_secret"))
        };
        let client = match basic(&parts.headers)? {
            Some(client) => client,
            None => in_body(),
        };
        Ok(Self {
            context: context.clone(),
            base: Base::of(context, &parts),
            fields,
            client,
            from: parts
                .extensions
                .get::<PeerAddress>()
                .map(|peer| peer.0.ip()),
        })
    }
}

impl Form {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub(super) fn demand(&self, name: &str) -> Result<&str, UaaRefusal> {
        self.get(name)
            .ok_or_else(|| UaaRefusal::invalid_request(format!("Missing parameter: {name}")))
    }
}

fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, UaaRefusal> {
    let value = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let Some((scheme, encoded)) = value.and_then(|value| value.split_once(' ')) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = text.as_deref().and_then(|text| text.split_once(':'));
    match pair {
        Some((id, secret)) => Ok(Some((id.to_owned(), secret.to_owned()))),
        None => Err(UaaRefusal::invalid_client()),
    }
}
