//! What handlers are given: the caller, what they may do, the state as of now, the body.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use cfx_protocol::id::{OrgGuid, SpaceGuid};
use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::access::{Access, Scope, is_suspended};
use super::context::Context;
use super::error::{ApiError, Code};
use super::permission::Action;
use crate::actions::{Act, Refused};
use crate::auth::Caller;
use crate::state::audit_event::Party;
use crate::state::{Draft, State};

/// Largest JSON body, bytes: ten times the largest that the CLI sends (a resource match).
pub(crate) const JSON_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Longest that a client may take to send a JSON body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest `Host` that links are built from: a DNS name and a port.
const HOST_MAX_BYTES: usize = 262;

/// The origin that links begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    origin: String,
}

impl Base {
    /// From what the operator set, else from what the client asked.
    pub(crate) fn of(context: &Context, parts: &Parts) -> Self {
        if let Some(url) = &context.settings.external_url {
            let origin = url.trim_end_matches('/').to_owned();
            return Self { origin };
        }
        let forwarded = header(&parts.headers, "x-forwarded-proto");
        let scheme = match forwarded {
            Some("https") => "https",
            Some("http") => "http",
            _ if context.settings.tls => "https",
            _ => "http",
        };
        let asked = header(&parts.headers, HOST.as_str())
            .or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
        let host = asked.filter(|host| is_host(host)).unwrap_or("localhost");
        Self {
            origin: format!("{scheme}://{host}"),
        }
    }

    /// The absolute form of a path of this API.
    pub(crate) fn href(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A name or address with an optional port, and nothing that could break out of a link.
fn is_host(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !text.is_empty() && text.len() <= HOST_MAX_BYTES && text.chars().all(legal)
}

/// A request that anyone may send.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) context: Context,
    pub(crate) base: Base,
}

impl FromRequestParts<Context> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        Ok(Self {
            context: context.clone(),
            base: Base::of(context, parts),
        })
    }
}

/// An authenticated request.
pub(crate) struct Call {
    pub(crate) context: Context,
    pub(crate) caller: Caller,
    pub(crate) base: Base,
    /// The state when the request came.
    pub(crate) state: Arc<State>,
    pub(crate) access: Access,
    params: Vec<(String, String)>,
    user_agent: String,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("caller", &self.caller)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

impl FromRequestParts<Context> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, ApiError> {
        let state = context.state.read();
        let caller = authenticate(context, &state, &parts.headers)?;
        let access = Access::of(&caller, &state);
        demand_scope(parts, &caller)?;
        let params = match RawPathParams::from_request_parts(parts, context).await {
            Ok(params) => (&params)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            // The path has none, or it is not UTF-8 and so names nothing.
            Err(_) => Vec::new(),
        };
        Ok(Self {
            context: context.clone(),
            base: Base::of(context, parts),
            user_agent: header(&parts.headers, USER_AGENT.as_str())
                .unwrap_or_default()
                .to_owned(),
            caller,
            state,
            access,
            params,
        })
    }
}

/// Who sends this? The same answer for every reason not to believe them.
pub(super) fn authenticate(
    context: &Context,
    state: &State,
    headers: &HeaderMap,
) -> Result<Caller, ApiError> {
    let token = bearer(headers)
        .ok_or_else(|| ApiError::new(Code::NotAuthenticated, "Authentication error"))?;
    let verified = context.auth.verify(state, token, context.clock.now());
    verified.map_err(|_| ApiError::new(Code::InvalidAuthToken, "Invalid Auth Token"))
}

/// The token of `Authorization: bearer <token>`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = header(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Queries that are too long for a URL are posted, and read nevertheless.
const QUERIES: [&str; 2] = ["/api/v1/query", "/api/v1/query_range"];

/// Reading and writing need a scope each, whatever the roles.
fn demand_scope(parts: &Parts, caller: &Caller) -> Result<(), ApiError> {
    let has = |name: &str| caller.has_scope(name);
    let admin = has("cloud_controller.admin");
    let reads = parts.method == Method::GET
        || parts.method == Method::HEAD
        || QUERIES.contains(&parts.uri.path());
    let allowed = if reads {
        let all = [
            "cloud_controller.admin_read_only",
            "cloud_controller.global_auditor",
        ];
        admin || has("cloud_controller.read") || all.into_iter().any(has)
    } else {
        admin || has("cloud_controller.write")
    };
    if allowed {
        Ok(())
    } else {
        Err(ApiError::forbidden())
    }
}

impl Call {
    /// The parameter `{guid}` of the path. Text that is no guid becomes the guid of nothing, so
    /// that it answers like any other thing that does not exist.
    pub(crate) fn guid<G: From<Uuid> + std::str::FromStr>(&self) -> G {
        self.guid_of("guid")
    }

    pub(crate) fn guid_of<G: From<Uuid> + std::str::FromStr>(&self, name: &str) -> G {
        let parsed = self.param(name).parse();
        parsed.unwrap_or_else(|_| G::from(Uuid::nil()))
    }

    /// A parameter of the path; empty when there is none of this name.
    pub(crate) fn param(&self, name: &str) -> &str {
        let mut named = self.params.iter().filter(|(key, _)| key == name);
        named
            .next()
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    pub(crate) fn may(&self, action: Action, scope: Scope) -> bool {
        self.access.allows(&self.state, action, scope)
    }

    pub(crate) fn sees(&self, action: Action, space: SpaceGuid) -> bool {
        self.may(action, Scope::Space(space))
    }

    pub(crate) fn sees_in(&self, action: Action, organization: OrgGuid) -> bool {
        self.may(action, Scope::Organization(organization))
    }

    /// A refused read answers `<what> not found`.
    pub(crate) fn see(&self, action: Action, scope: Scope, what: &str) -> Result<(), ApiError> {
        if self.may(action, scope) {
            return Ok(());
        }
        Err(ApiError::not_found(what))
    }

    /// A refused write of what the caller sees is forbidden. Nobody but an admin changes what is
    /// in a suspended organisation.
    pub(crate) fn require(&self, action: Action, scope: Scope) -> Result<(), ApiError> {
        if !self.may(action, scope) {
            return Err(ApiError::forbidden());
        }
        if !action.is_read() && !self.access.is_admin() && is_suspended(&self.state, scope) {
            return Err(ApiError::new(
                Code::OrgSuspended,
                "The organization is suspended",
            ));
        }
        Ok(())
    }

    /// Run an action and commit what it changed.
    pub(crate) async fn write<T>(
        &self,
        action: impl FnOnce(&mut Draft, &Act<'_>) -> Result<T, Refused>,
    ) -> Result<T, ApiError> {
        let act = self.act();
        let written = self.context.state.write(|draft| action(draft, &act));
        Ok(written.await?)
    }

    pub(crate) fn act(&self) -> Act<'_> {
        Act {
            now: self.context.clock.now(),
            ids: &self.context.ids,
            actor: Party {
                guid: self.caller.id(),
                kind: self.caller.kind().to_owned(),
                name: self.caller.name.clone(),
            },
        }
    }

    /// The stock CLI throws log lines away that are younger than two seconds.
    pub(crate) fn is_stock_cli(&self) -> bool {
        self.user_agent.starts_with("cf/")
    }
}

/// A JSON body, whatever its content type says. An empty one is `{}`.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Context> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Context) -> Result<Self, ApiError> {
        let bytes = read(request.into_body(), JSON_MAX_BYTES).await?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        parse(text).map(Self)
    }
}

/// A whole body of at most `max` bytes.
pub(crate) async fn read(body: axum::body::Body, max: usize) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(ApiError::unreadable(format!(
            "the body ends early or is larger than {max} bytes; send less"
        ))),
        Err(_) => Err(ApiError::unreadable(format!(
            "the body did not arrive within {} s",
            BODY_TIMEOUT.as_secs()
        ))),
    }
}

/// Wrong JSON is unreadable; right JSON of the wrong shape is unprocessable.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(text).map_err(|error| {
        let message = error.to_string();
        if !error.is_data() {
            return ApiError::unreadable(format!("{message}; send one JSON object"));
        }
        let plain = message.split(" at line ").next().unwrap_or(&message);
        match plain
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split_once('`'))
        {
            Some((field, _)) => ApiError::unprocessable(format!("Unknown field(s): '{field}'")),
            None => ApiError::unprocessable(plain),
        }
    })
}
