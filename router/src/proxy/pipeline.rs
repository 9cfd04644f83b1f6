//! The stages of a request, in order. Each stage is one call; what goes wrong in any of them is
//! a `Failure`, and a failure is an answer too.

use std::convert::Infallible;
use std::rc::Rc;

use http::header::UPGRADE;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};

use super::admit;
use super::balance::Wish;
use super::body::{self, ProxyBody};
use super::exchange::{Completion, Exchange};
use super::failure::Failure;
use super::headers;
use super::retry;
use super::sticky;
use super::upgrade;
use super::upstream::LocalRoute;
use crate::server::connection::Client;
use crate::server::core::{Core, Phase};

/// One route lookup of this many is timed.
const LOOKUP_SAMPLE: u64 = 64;

/// Answer one request. The exchange is logged when the answer's body ends, or when hyper drops
/// this future because the client went away.
pub(crate) async fn handle(
    core: Rc<Core>,
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<ProxyBody>, Infallible> {
    client.request_begins();
    let (parts, body) = request.into_parts();
    let mut body = (!body.is_end_stream()).then_some(body);
    // The bytes after a head that asks for an upgrade are not scanned: see `head_scan`.
    let unscanned = parts.headers.contains_key(UPGRADE);
    let exchange = Exchange::begin(&core, &client, &parts);
    let completion = Completion::of(&exchange);
    let mut response = match run(&core, &client, &exchange, parts, &mut body).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(&exchange),
    };
    if let Some(body) = body {
        body::linger(body, &client);
    }
    exchange.answered(response.status());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        completion.goes_on();
        return Ok(response);
    }
    headers::finish(response.headers_mut(), &exchange);
    if (unscanned || core.phase() >= Phase::Draining) && !client.http2 {
        headers::close(response.headers_mut());
    }
    response.body_mut().completes(completion);
    Ok(response)
}

async fn run(
    core: &Rc<Core>,
    client: &Client,
    exchange: &Rc<Exchange>,
    mut parts: Parts,
    body: &mut Option<Incoming>,
) -> Result<Response<ProxyBody>, Failure> {
    let host = admit::admit(&mut parts, client, &core.limits)?;
    exchange.asked_for(&host);
    if admit::is_health_probe(&parts) {
        return Ok(admit::health(core.phase()));
    }
    let wish = Wish::of(&parts.headers)?;
    let route = find(core, client, &host, &parts)?;
    headers::prepare(&mut parts, exchange, client);
    let upgrade = upgrade::wanted(&mut parts);
    let plan = retry::Plan {
        core,
        client,
        exchange,
        host: &host,
        wish: &wish,
        upgrading: upgrade.is_some(),
    };
    let answer = retry::send(&plan, route, parts, body).await?;
    let mut response = answer.response;
    sticky::remember(response.headers_mut(), &answer.route, &wish, &answer.lease);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade::join(exchange, upgrade, response, answer.lease);
    }
    headers::strip_hop_by_hop(response.headers_mut(), false);
    let exchange = exchange.clone();
    Ok(response.map(|body| ProxyBody::streaming(body, answer.lease, exchange)))
}

/// Look the route up in the table that this thread serves now.
pub(crate) fn find(
    core: &Rc<Core>,
    client: &Client,
    host: &admit::Host,
    parts: &Parts,
) -> Result<Rc<LocalRoute>, Failure> {
    let sampled = core.dice.roll().is_multiple_of(LOOKUP_SAMPLE);
    let started = sampled.then(|| core.now());
    let route = core.with_table(|table| {
        let entry = table.lookup(host.name(), parts.uri.path(), client.reach)?;
        Some(core.upstreams.route(core, entry))
    });
    if let Some(started) = started {
        core.metrics.lookup.observe(core.now() - started);
    }
    route.ok_or_else(|| Failure::UnknownRoute(host.asked()))
}
