//! The attempts of a request: one instance after the other, as long as trying again is safe.
//!
//! | what happened                                   | tried again                          |
//! |-------------------------------------------------|--------------------------------------|
//! | no connection                                   | always, at another instance          |
//! | connection closed before a byte was sent        | always                               |
//! | connection broke before an answer, request sent | only idempotent ones without a body  |
//! | deadline over                                   | never                                |
//! | any answer, 5xx too                             | never                                |

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::admit::Host;
use super::balance::{self, NoChoice, Tried, Wish};
use super::body::RequestBody;
use super::dial::DialError;
use super::exchange::Exchange;
use super::failure::Failure;
use super::headers;
use super::pipeline;
use super::upstream::{self, Channel, Lease, LocalEndpoint, LocalRoute};
use crate::server::connection::Client;
use crate::server::core::Core;

/// An instance that took a connection and broke it is avoided for this long: much shorter than
/// one that cannot be reached, because the request may be to blame.
const BROKEN_PAUSE: Duration = Duration::from_secs(2);

/// What all attempts of a request share.
#[derive(Debug)]
pub(crate) struct Plan<'r> {
    pub(crate) core: &'r Rc<Core>,
    pub(crate) client: &'r Client,
    pub(crate) exchange: &'r Rc<Exchange>,
    pub(crate) host: &'r Host,
    pub(crate) wish: &'r Wish,
    pub(crate) upgrading: bool,
}

/// An instance's answer, with the connection it comes over and the route that led there.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
    pub(crate) route: Rc<LocalRoute>,
}

/// A request that was not sent yet, or can be sent again.
#[derive(Debug)]
struct Unsent {
    parts: Parts,
    body: Option<Incoming>,
}

/// How an attempt failed.
#[derive(Debug)]
enum Failed {
    NotReached(Unsent, DialError),
    /// Nothing was sent.
    NotSent(Unsent, String),
    /// Something may have been sent; `unsent` is there if doing it once more is harmless.
    Broken {
        unsent: Option<Unsent>,
        detail: String,
        /// A connection that had served before may simply have been closed meanwhile.
        reused: bool,
    },
    Deadline,
}

/// Send the request to one instance after the other until one answers. A body that was not sent
/// is left in `body`.
pub(crate) async fn send(
    plan: &Plan<'_>,
    mut route: Rc<LocalRoute>,
    parts: Parts,
    body: &mut Option<Incoming>,
) -> Result<Answer, Failure> {
    let core = plan.core;
    let mut unsent = Unsent {
        parts,
        body: body.take(),
    };
    let mut tried = Tried::new();
    let mut version = core.table_version();
    let mut last = None;
    for attempts in 1.. {
        if version != core.table_version() {
            // The table has moved on meanwhile: an instance that left must not be tried.
            version = core.table_version();
            route = pipeline::find(core, plan.client, plan.host, &unsent.parts)?;
        }
        let endpoint = match choose(plan, &route, &tried, last.take()) {
            Ok(endpoint) => endpoint,
            Err(failure) => {
                *body = unsent.body;
                return Err(failure);
            }
        };
        if attempts > 1 {
            core.metrics.retries.add(1);
        }
        plan.exchange.attempt_begins(&endpoint);
        let failed = match attempt(plan, &endpoint, version, unsent).await {
            Ok((response, lease)) => {
                return Ok(Answer {
                    response,
                    lease,
                    route,
                });
            }
            Err(failed) => failed,
        };
        plan.exchange.attempt_failed();
        let (again, was_sent, detail) = judge(core, &endpoint, &mut tried, failed);
        match again {
            Some(again) if may_go_on(plan, attempts, was_sent) => unsent = again,
            again => {
                *body = again.and_then(|again| again.body);
                return Err(Failure::Endpoint(detail));
            }
        }
        last = Some(detail);
    }
    // Only reached after more attempts than a usize can count.
    Err(Failure::Endpoint("too many attempts".to_owned()))
}

/// What a failed attempt means for the instance, and what is left to send again.
fn judge(
    core: &Core,
    endpoint: &LocalEndpoint,
    tried: &mut Tried,
    failed: Failed,
) -> (Option<Unsent>, bool, String) {
    let instance = endpoint.endpoint.instance;
    match failed {
        Failed::NotReached(unsent, error) => {
            let pause = core.limits.failed_pause;
            endpoint.load.mark_failed(core.now(), pause);
            tried.push(instance);
            (Some(unsent), false, error.to_string())
        }
        Failed::NotSent(unsent, detail) => (Some(unsent), false, detail),
        Failed::Broken {
            unsent,
            detail,
            reused,
        } => {
            if !reused {
                endpoint.load.mark_failed(core.now(), BROKEN_PAUSE);
            }
            tried.push(instance);
            (unsent, true, detail)
        }
        Failed::Deadline => (None, true, "context deadline exceeded".to_owned()),
    }
}

fn choose(
    plan: &Plan<'_>,
    route: &LocalRoute,
    tried: &Tried,
    last: Option<String>,
) -> Result<Rc<LocalEndpoint>, Failure> {
    let core = plan.core;
    let chosen = balance::choose(route, plan.wish, tried, &core.limits, core.now());
    chosen.map_err(|none| {
        let host = plan.host.asked();
        match (none, last) {
            (_, Some(detail)) => Failure::Endpoint(detail),
            (NoChoice::AllFull, None) => Failure::ConnectionLimit(host),
            (NoChoice::NoneFits | NoChoice::AllTried, None) => plan.wish.unfulfilled(host),
        }
    })
}

/// Some attempts are always allowed. More are while they are quick and harmless: a request that
/// breaks whoever gets it must not meet every instance.
fn may_go_on(plan: &Plan<'_>, attempts: usize, was_sent: bool) -> bool {
    let limits = &plan.core.limits;
    let spent = plan.core.now().saturating_sub(plan.exchange.started());
    attempts < limits.attempts_max || (!was_sent && spent < limits.dial_budget)
}

async fn attempt(
    plan: &Plan<'_>,
    endpoint: &Rc<LocalEndpoint>,
    version: u64,
    unsent: Unsent,
) -> Result<(Response<Incoming>, Lease), Failed> {
    let core = plan.core;
    let mut lease = match upstream::acquire(core, endpoint, plan.upgrading).await {
        Ok(lease) => lease,
        Err(error) => return Err(Failed::NotReached(unsent, error)),
    };
    let reused = lease.is_reused();
    if !reused && version != core.table_version() && !is_routed(plan, endpoint, &unsent.parts) {
        // While dialling, the instance left; somebody else may have its address already.
        return Err(Failed::NotSent(unsent, "the instance has left".to_owned()));
    }
    let Unsent { mut parts, body } = unsent;
    headers::address(&mut parts.headers, endpoint);
    let http2 = matches!(lease.channel(), Some(Channel::Http2(_)));
    shape(&mut parts, plan.host, http2);
    let spare = spare_of(&parts, body.as_ref());
    let body = RequestBody::new(body, plan.exchange.clone());
    let request = Request::from_parts(parts, body);
    let sent = match lease.channel() {
        Some(Channel::Http1(sender)) => wait(plan, sender.try_send_request(request)).await,
        Some(Channel::Http2(sender)) => wait(plan, sender.try_send_request(request)).await,
        None => None,
    };
    let mut error = match sent {
        Some(Ok(response)) => return Ok((response, lease)),
        Some(Err(error)) => error,
        None => return Err(Failed::Deadline),
    };
    let detail = wording(error.error());
    match error.take_message() {
        Some(request) => {
            let (parts, body) = request.into_parts();
            let body = body.into_incoming();
            Err(Failed::NotSent(Unsent { parts, body }, detail))
        }
        None => Err(Failed::Broken {
            unsent: spare,
            detail,
            reused,
        }),
    }
}

/// Does the newest table still lead to this instance?
fn is_routed(plan: &Plan<'_>, endpoint: &LocalEndpoint, parts: &Parts) -> bool {
    let route = pipeline::find(plan.core, plan.client, plan.host, parts);
    route.is_ok_and(|route| {
        let mut endpoints = route.endpoints.iter();
        endpoints.any(|other| other.endpoint == endpoint.endpoint)
    })
}

type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// The answer's head; none when the request's deadline is over.
async fn wait(plan: &Plan<'_>, sent: impl Future<Output = Sent>) -> Option<Sent> {
    let mut sent = pin!(sent);
    poll_fn(|cx| match sent.as_mut().poll(cx) {
        Poll::Ready(sent) => Poll::Ready(Some(sent)),
        Poll::Pending => plan.exchange.poll_deadline(cx).map(|()| None),
    })
    .await
}

/// A copy to send again if the connection breaks after the request was sent.
fn spare_of(parts: &Parts, body: Option<&Incoming>) -> Option<Unsent> {
    if body.is_some() || !is_idempotent(&parts.method) {
        return None;
    }
    let (mut spare, ()) = Request::new(()).into_parts();
    spare.method = parts.method.clone();
    spare.uri = parts.uri.clone();
    spare.version = parts.version;
    spare.headers = parts.headers.clone();
    Some(Unsent {
        parts: spare,
        body: None,
    })
}

fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PUT,
        Method::DELETE,
    ]
    .contains(method)
}

/// Give the request the form that the instance's protocol wants.
fn shape(parts: &mut Parts, host: &Host, http2: bool) {
    if http2 {
        parts.version = Version::HTTP_2;
        parts.headers.remove(header::HOST);
        if let Some(uri) = absolute(parts, host) {
            parts.uri = uri;
        }
        return;
    }
    let came_as_http2 = parts.version == Version::HTTP_2;
    parts.version = Version::HTTP_11;
    if !parts.headers.contains_key(header::HOST) {
        parts.headers.insert(header::HOST, host.value().clone());
    }
    // HTTP/1 clients may have sent an absolute target, which is passed on as it is.
    if came_as_http2 && parts.uri.authority().is_some() {
        let path = parts.uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        parts.uri = Uri::from(path);
    }
}

fn absolute(parts: &Parts, host: &Host) -> Option<Uri> {
    let mut uri = parts.uri.clone().into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(Authority::try_from(host.value().as_bytes()).ok()?);
    uri.path_and_query
        .get_or_insert_with(|| PathAndQuery::from_static("/"));
    Uri::from_parts(uri).ok()
}

/// As Go words the common ones.
fn wording(error: &hyper::Error) -> String {
    use std::error::Error;
    if error.is_incomplete_message() {
        return "EOF".to_owned();
    }
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<std::io::Error>() {
        Some(io) if io.kind() == std::io::ErrorKind::ConnectionReset => {
            "read: connection reset by peer".to_owned()
        }
        _ => innermost.to_string(),
    }
}
