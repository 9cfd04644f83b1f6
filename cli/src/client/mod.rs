//! The client of the public v3 API, UAA and log-cache: what any Cloud Foundry offers, plus the
//! `/cfx/v1` endpoints where the platform is cfx.
//!
//! A bearer token goes only to the hosts that the API's root document named.

mod discover;
mod error;
mod job;
mod log_cache;
mod multipart;
pub(crate) mod query;
pub(crate) mod resource;
mod token;
mod transport;
mod trust;

use std::sync::Arc;

use bytes::Bytes;
use cfx_process::clock::Clock;
use http::{HeaderMap, HeaderValue, Method, header};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use cfx_process::public_connector::Stream;
pub(crate) use discover::{address, discover};
pub(crate) use error::{ApiError, ClientError};
pub(crate) use log_cache::{LogCursor, LogLine};
pub(crate) use multipart::Upload;
pub(crate) use token::{Grant, Tokens};
pub(crate) use transport::{Answer, Call, Transport};
pub(crate) use trust::Trust;

use crate::output::Terminal;
use crate::session::{Session, SessionFile, Target};
use resource::Page;

/// Pages of one list that are followed; 5,000 entries each.
const PAGES_MAX: usize = 200;

/// The API of the targeted platform, as the logged-in user sees it.
#[derive(Debug)]
pub(crate) struct Api {
    transport: Transport,
    target: Target,
    tokens: Mutex<Option<Tokens>>,
    file: SessionFile,
}

impl Api {
    pub(crate) fn new(
        session: &Session,
        target: Target,
        file: SessionFile,
        clock: Clock,
        terminal: Arc<Terminal>,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            transport: Transport::new(&target.trust(), clock, terminal)?,
            target,
            tokens: Mutex::new(session.tokens.clone()),
            file,
        })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.transport.clock()
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.send(Method::GET, path, None).await?;
        parse(path, &answer.body)
    }

    /// None when there is no such thing.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<T>, ClientError> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let answer = self.send(Method::POST, path, Some(json(body)?)).await?;
        parse(path, &answer.body)
    }

    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let answer = self.send(Method::PATCH, path, Some(json(body)?)).await?;
        parse(path, &answer.body)
    }

    /// Every entry of a list, over all its pages.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Vec<T>, ClientError> {
        let mut all = Vec::new();
        let mut next = Some(path.to_owned());
        for _ in 0..PAGES_MAX {
            let Some(path) = next.take() else { break };
            let page: Page<T> = self.get(&path).await?;
            all.extend(page.resources);
            next = page.pagination.next.map(|link| path_of(&link.href));
        }
        Ok(all)
    }

    /// Delete, and wait for the job if there is one.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), ClientError> {
        let answer = self.send(Method::DELETE, path, None).await?;
        self.finish(&answer).await
    }

    /// A small JSON call; an error status is an error.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Answer, ClientError> {
        self.send_as(method, path, "application/json", body.unwrap_or_default())
            .await
    }

    /// The same with another content type.
    pub(crate) async fn send_as(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let url = format!("{}{path}", self.target.url);
        let answer = self.authorised(method, url, headers, body).await?;
        checked(answer)
    }

    /// Anything, as `curl` wants it: any answer is an answer.
    pub(crate) async fn authorised(
        &self,
        method: Method,
        url: String,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        if !headers.contains_key(header::ACCEPT) {
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        }
        let mut renewed = false;
        loop {
            self.renew_when_due(renewed).await?;
            if let Some(bearer) = self.bearer() {
                headers.insert(header::AUTHORIZATION, bearer);
            }
            let call = Call {
                method: method.clone(),
                url: url.clone(),
                headers: headers.clone(),
                body: body.clone(),
            };
            let answer = self.transport.call(call).await?;
            // The platform's keys may have changed under a token that looked good.
            let refused = !answer.status.is_success()
                && ClientError::Api(ApiError::read(answer.status, &answer.body)).is_invalid_token();
            if !refused || renewed || self.refresh_token().is_none() {
                return Ok(answer);
            }
            renewed = true;
        }
    }

    fn bearer(&self) -> Option<HeaderValue> {
        let tokens = self.tokens.lock();
        let bearer = format!("bearer {}", tokens.as_ref()?.access);
        let mut value = HeaderValue::try_from(bearer).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn refresh_token(&self) -> Option<String> {
        self.tokens.lock().as_ref()?.refresh.clone()
    }

    async fn renew_when_due(&self, force: bool) -> Result<(), ClientError> {
        let now = self.clock().now();
        let due = {
            let tokens = self.tokens.lock();
            tokens
                .as_ref()
                .is_some_and(|tokens| force || tokens.needs_renewal(now))
        };
        let Some(refresh) = due.then(|| self.refresh_token()).flatten() else {
            return Ok(());
        };
        let grant = Grant::Refresh { token: &refresh };
        let mut tokens = token::request(&self.transport, &self.target.login, grant).await?;
        tokens.refresh = tokens.refresh.or(Some(refresh));
        self.remember(tokens);
        Ok(())
    }

    /// Keep the new tokens for the next command too. Failing to is no reason to fail this one.
    fn remember(&self, tokens: Tokens) {
        if let Ok(mut session) = self.file.load() {
            let same = session.target.as_ref().map(|target| &target.url) == Some(&self.target.url);
            if same && session.tokens.is_some() {
                session.tokens = Some(tokens.clone());
                if let Err(failure) = self.file.save(&session) {
                    tracing::debug!(error = failure.message(), "the session was not kept");
                }
            }
        }
        *self.tokens.lock() = Some(tokens);
    }
}

/// Log in: tokens for a user of the platform at `target`.
pub(crate) async fn log_in(
    target: &Target,
    clock: Clock,
    terminal: Arc<Terminal>,
    grant: Grant<'_>,
) -> Result<Tokens, ClientError> {
    let transport = Transport::new(&target.trust(), clock, terminal)?;
    token::request(&transport, &target.login, grant).await
}

/// An error status becomes an error.
fn checked(answer: Answer) -> Result<Answer, ClientError> {
    if answer.status.is_success() || answer.status.is_redirection() {
        return Ok(answer);
    }
    Err(ClientError::Api(ApiError::read(
        answer.status,
        &answer.body,
    )))
}

/// No body reads as an empty document.
fn parse<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, ClientError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| ClientError::Garbled {
        what: what.to_owned(),
        detail: error.to_string(),
    })
}

fn json(body: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| ClientError::Garbled {
            what: "our own request".to_owned(),
            detail: error.to_string(),
        })
}

/// Path and query of an absolute link: links are followed on the host that was targeted, so that
/// no answer can send the token elsewhere.
fn path_of(href: &str) -> String {
    match url::Url::parse(href) {
        Ok(url) => match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        },
        Err(_) => href.to_owned(),
    }
}

#[cfg(test)]
mod tests;
