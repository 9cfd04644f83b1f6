//! WebSockets and other upgrades: after a 101 the two connections become one pipe.
//!
//! A pipe counts as a request in flight and as an open client connection until it ends, so that
//! draining waits for it, up to its deadline.

use std::rc::Rc;

use http::Response;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::body::ProxyBody;
use super::exchange::{Completion, Exchange};
use super::failure::Failure;
use super::headers;
use super::upstream::Lease;
use crate::server::core::spawn;

/// Bytes that a pipe may hold in each direction: what a socket takes at once, and no more,
/// because there are many pipes.
const PIPE_BYTES: usize = 8 * 1024;

/// The client's side of an upgrade, if it asked for one.
pub(crate) fn wanted(parts: &mut Parts) -> Option<OnUpgrade> {
    let promise = parts.extensions.remove::<OnUpgrade>()?;
    headers::is_upgrade(&parts.headers).then_some(promise)
}

/// The instance agreed: pass its answer on and connect the two sides once it is out.
pub(crate) fn join(
    exchange: &Rc<Exchange>,
    wanted: Option<OnUpgrade>,
    mut response: Response<Incoming>,
    lease: Lease,
) -> Result<Response<ProxyBody>, Failure> {
    let Some(client) = wanted else {
        let detail = "net/http: abort: unexpected 101 Switching Protocols".to_owned();
        return Err(Failure::Endpoint(detail));
    };
    headers::strip_hop_by_hop(response.headers_mut(), true);
    exchange.lift_deadline();
    let instance = hyper::upgrade::on(&mut response);
    let core = exchange.core();
    core.metrics.upgrades.add(1);
    let open = core.connection_opened();
    let completion = Completion::of(exchange);
    let exchange = exchange.clone();
    spawn(async move {
        let (_open, _completion, _lease) = (open, completion, lease);
        if let Err(error) = pipe(&exchange, client, instance).await {
            tracing::debug!(%error, "an upgraded connection ended early");
        }
    });
    Ok(response.map(|_| ProxyBody::empty()))
}

async fn pipe(
    exchange: &Exchange,
    client: OnUpgrade,
    instance: OnUpgrade,
) -> Result<(), std::io::Error> {
    let (client, instance) = tokio::try_join!(client, instance).map_err(std::io::Error::other)?;
    let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
    let (bytes_in, bytes_out) = tokio::io::copy_bidirectional_with_sizes(
        &mut client,
        &mut instance,
        PIPE_BYTES,
        PIPE_BYTES,
    )
    .await?;
    exchange.count_in(usize::try_from(bytes_in).unwrap_or(usize::MAX));
    exchange.count_out(bytes_out);
    Ok(())
}
