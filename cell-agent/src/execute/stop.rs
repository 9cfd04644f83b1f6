//! Ending a start and clearing it away.

use std::sync::Arc;
use std::time::Duration;

use super::{News, Shared, Standing};
use crate::hooks::{self, HookError, Order, told};
use crate::runtime::Signal;

/// Between two attempts to clear something away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Out of the routes, TERM, KILL, nothing left. Does not return before that.
pub(super) async fn stop(shared: Arc<Shared>, order: Order) {
    let voice = shared.voice(&order);
    let (cell, name) = (&shared.cell_name, order.name());
    let standing = shared.standing_of(name);
    if let Some(standing) = standing.filter(|standing| standing.exit().is_none()) {
        voice.cell(&format!("Cell {cell} stopping instance {name}"));
        if order.is_routed {
            shared.tools.clock.sleep(shared.timing.in_flight).await;
        }
        end(&shared, &standing).await;
    }
    voice.cell(&format!(
        "Cell {cell} destroying container for instance {name}"
    ));
    clear_for_good(&shared, &order).await;
    while let Err(error) = shared.tools.ground.free(order.assignment.guid).await {
        shared
            .events
            .step_failed(name, "free the address", &told(&error));
        shared.tools.clock.sleep(RETRY_PAUSE).await;
    }
    voice.cell(&format!(
        "Cell {cell} successfully destroyed container for instance {name}"
    ));
    shared.tell(order.assignment.guid, order.start, News::Stopped);
}

/// TERM, and at the end of the grace nothing: clearing away kills.
async fn end(shared: &Shared, standing: &Standing) {
    let name = standing.order.name();
    standing.end_watching();
    if standing.log_bytes().is_none() {
        // Never armed: there is nobody to be gentle with.
        return;
    }
    if let Err(error) = shared.tools.runtime.signal(name, Signal::Term).await {
        shared.events.step_failed(name, "signal", &told(&error));
    }
    let grace = shared.timing.graceful;
    let ended = tokio::select! {
        () = standing.ended() => true,
        () = shared.tools.clock.sleep(grace) => false,
    };
    if !ended {
        shared.events.stop_overran(name);
        let seconds = grace.as_secs();
        let voice = shared.voice(&standing.order);
        voice.aside(&format!("exceeded {seconds}s graceful shutdown interval"));
    }
}

pub(super) async fn clear(shared: Arc<Shared>, order: Order) {
    clear_for_good(&shared, &order).await;
    shared.tell(order.assignment.guid, order.start, News::Cleared);
}

async fn clear_for_good(shared: &Shared, order: &Order) {
    while let Err(error) = clear_names(shared, order).await {
        shared
            .events
            .step_failed(order.name(), "clear away", &told(&error));
        shared.tools.clock.sleep(RETRY_PAUSE).await;
    }
}

/// This start and the one before it.
pub(super) async fn clear_names(shared: &Shared, order: &Order) -> Result<(), HookError> {
    for name in order.names() {
        shared.fall(name);
        hooks::clear(&shared.tools, name).await?;
    }
    Ok(())
}
