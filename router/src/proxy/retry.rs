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

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri, Version, header};
use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;

use super::admit::Host;
use super::balance::{self, NoChoice, Tried, Wish};
use super::body::RequestBody;
use super::exchange::Exchange;
use super::failure::Failure;
use super::headers;
use super::pipeline;
use super::upstream::{self, Channel, DialError, Lease, LocalEndpoint, LocalRoute};
use crate::server::connection::Client;
use crate::server::core::Core;

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
    /// Something may have been sent; what is needed to do it once more, if that is harmless.
    Broken(Option<Unsent>, String),
    Deadline,
}

/// Send the request to one instance after the other until one answers.
pub(crate) async fn send(
    plan: &Plan<'_>,
    mut route: Rc<LocalRoute>,
    parts: Parts,
    body: Incoming,
) -> Result<Answer, Failure> {
    let core = plan.core;
    let body = (!body.is_end_stream()).then_some(body);
    let mut unsent = Unsent { parts, body };
    let mut tried = Tried::new();
    let mut attempts = 0;
    let mut version = core.table_version();
    let mut last = None;
    loop {
        if version != core.table_version() {
            // The table has moved on meanwhile: an instance that left must not be tried.
            version = core.table_version();
            route = pipeline::find(core, plan.client, plan.host, &unsent.parts)?;
        }
        let chosen = balance::choose(&route, plan.wish, &tried, &core.limits, core.now());
        let endpoint = chosen.map_err(|none| no_choice(plan, none, last.take()))?;
        attempts += 1;
        if attempts > 1 {
            core.metrics.retries.add(1);
        }
        plan.exchange.attempt_begins(&endpoint);
        let instance = endpoint.endpoint.instance;
        let failed = match attempt(plan, &endpoint, unsent).await {
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
        let (again, was_sent, detail) = match failed {
            Failed::NotReached(unsent, error) => {
                endpoint
                    .load
                    .mark_failed(core.now(), core.limits.failed_pause);
                tried.push(instance);
                (Some(unsent), false, error.to_string())
            }
            Failed::NotSent(unsent, detail) => (Some(unsent), false, detail),
            Failed::Broken(unsent, detail) => {
                tried.push(instance);
                (unsent, true, detail)
            }
            Failed::Deadline => (None, true, "context deadline exceeded".to_owned()),
        };
        let Some(again) = again.filter(|_| may_go_on(plan, attempts, was_sent)) else {
            return Err(Failure::Endpoint(detail));
        };
        unsent = again;
        last = Some(detail);
    }
}

/// Some attempts are always allowed. More are while they are quick and harmless: a request that
/// breaks whoever gets it must not meet every instance.
fn may_go_on(plan: &Plan<'_>, attempts: usize, was_sent: bool) -> bool {
    let limits = &plan.core.limits;
    let spent = plan.core.now().saturating_sub(plan.exchange.started());
    attempts < limits.attempts_max || (!was_sent && spent < limits.dial_budget)
}

fn no_choice(plan: &Plan<'_>, none: NoChoice, last: Option<String>) -> Failure {
    let host = plan.host.asked();
    match (none, last) {
        (_, Some(detail)) => Failure::Endpoint(detail),
        (NoChoice::AllFull, None) => Failure::ConnectionLimit(host),
        (NoChoice::NoneFits | NoChoice::AllTried, None) => plan.wish.unfulfilled(host),
    }
}

async fn attempt(
    plan: &Plan<'_>,
    endpoint: &Rc<LocalEndpoint>,
    unsent: Unsent,
) -> Result<(Response<Incoming>, Lease), Failed> {
    let core = plan.core;
    let mut lease = match upstream::acquire(core, endpoint, plan.upgrading).await {
        Ok(lease) => lease,
        Err(error) => return Err(Failed::NotReached(unsent, error)),
    };
    let Unsent { mut parts, body } = unsent;
    headers::address(&mut parts.headers, endpoint);
    let http2 = matches!(lease.channel(), Some(Channel::Http2(_)));
    shape(&mut parts, plan.host, http2);
    let spare = spare_of(&parts, body.as_ref());
    let body = RequestBody::new(body, plan.exchange.clone());
    let request = Request::from_parts(parts, body);
    let reused = lease.is_reused();
    let sent = match lease.channel() {
        Some(Channel::Http1(sender)) => wait(plan, sender.try_send_request(request)).await,
        Some(Channel::Http2(sender)) => wait(plan, sender.try_send_request(request)).await,
        None => None,
    };
    match sent {
        Some(Ok(response)) => Ok((response, lease)),
        None => Err(Failed::Deadline),
        Some(Err(mut error)) => match error.take_message() {
            Some(request) => {
                let (parts, body) = request.into_parts();
                let body = body.into_incoming();
                Err(Failed::NotSent(
                    Unsent { parts, body },
                    wording(error.error()),
                ))
            }
            None => {
                if !reused {
                    // A fresh connection that breaks is the instance's doing.
                    endpoint
                        .load
                        .mark_failed(core.now(), core.limits.failed_pause);
                }
                Err(Failed::Broken(spare, wording(error.error())))
            }
        },
    }
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
