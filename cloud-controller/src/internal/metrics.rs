//! Numbers from cells and routers, on their way to the history.

use axum::Json;
use axum::extract::State;
use cfx_process::identity::PeerIdentity;
use cfx_protocol::id::{CellGuid, RouterGuid};
use cfx_protocol::link::Role;
use cfx_protocol::metrics::{CELL_SAMPLES_MAX, MetricsBatch, ROUTER_SAMPLES_MAX};
use http::StatusCode;

use super::Context;
use super::peer::{Cell, Refused, Router};

/// A cell speaks of its instances, a router of what it routed to them: each for itself only.
pub(super) async fn take(
    State(context): State<Context>,
    peer: Option<axum::Extension<PeerIdentity>>,
    Json(batch): Json<MetricsBatch>,
) -> Result<StatusCode, Refused> {
    let Some(axum::Extension(peer)) = peer else {
        context.events.stranger_refused("metrics");
        return Err(Refused::Stranger(Role::Cell));
    };
    let taken = match (peer.role, batch) {
        (Role::Cell, MetricsBatch::Cell(batch)) => {
            let cell = CellGuid(peer.guid);
            Cell(cell).is(batch.cell)?;
            at_most(batch.samples.len(), CELL_SAMPLES_MAX)?;
            context.metrics.cell(cell, batch)
        }
        (Role::Router, MetricsBatch::Router(batch)) => {
            let router = RouterGuid(peer.guid);
            Router(router).is(batch.router)?;
            at_most(batch.instances.len(), ROUTER_SAMPLES_MAX)?;
            context.metrics.router(router, batch)
        }
        (role, batch) => {
            context.events.stranger_refused("metrics");
            return Err(match batch {
                MetricsBatch::Cell(_) if role == Role::Router => Refused::NotItself(role),
                MetricsBatch::Router(_) if role == Role::Cell => Refused::NotItself(role),
                MetricsBatch::Cell(_) => Refused::Stranger(Role::Cell),
                MetricsBatch::Router(_) => Refused::Stranger(Role::Router),
            });
        }
    };
    taken.map_err(|error| Refused::Malformed(error.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}

fn at_most(count: usize, most: usize) -> Result<(), Refused> {
    if count <= most {
        return Ok(());
    }
    let detail = format!("{count} instances in one batch of metrics: send at most {most}");
    Err(Refused::Malformed(detail))
}
