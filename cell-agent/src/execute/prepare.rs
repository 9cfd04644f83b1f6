//! Making, arming and adopting a start.

use std::sync::Arc;

use cfx_protocol::actual::Address;
use cfx_protocol::desired::Work;
use cfx_protocol::instance::InstanceState;
use tokio_util::sync::CancellationToken;

use super::standing::Standing;
use super::{News, Shared, stop};
use crate::hooks::arm::arm as arm_launcher;
use crate::hooks::{self, HookError, Made, Order, told};
use crate::slot::{Attached, Slot};

pub(super) async fn prepare(shared: Arc<Shared>, order: Order, abandon: CancellationToken) {
    let done = abandon
        .run_until_cancelled(prepare_fairly(&shared, &order))
        .await;
    let guid = order.assignment.guid;
    shared.preparing.lock().remove(&guid);
    let news = match done {
        None => News::Abandoned,
        Some(Ok(address)) => News::Prepared(Ok(address)),
        Some(Err(error)) => News::Prepared(Err(told(&error))),
    };
    shared.tell(guid, order.start, news);
}

async fn prepare_fairly(shared: &Arc<Shared>, order: &Order) -> Result<Address, HookError> {
    let began = shared.tools.clock.monotonic();
    let voice = shared.voice(order);
    let (cell, name) = (&shared.cell_name, order.name());
    if order.remains {
        stop::clear_names(shared, order).await?;
    }
    voice.cell(&format!(
        "Cell {cell} creating container for instance {name}"
    ));
    let turn = shared.starts.enter(order.spec.owner.org);
    let made = hooks::prepare(&shared.tools, order, turn).await?;
    voice.cell(&format!(
        "Cell {cell} successfully created container for instance {name}"
    ));
    let took = shared.tools.clock.monotonic().saturating_sub(began);
    shared.events.prepared(name, took.as_secs_f64());
    let address = made.address.ok_or(HookError::OutOfOrder("the address"))?;
    shared.stand(name, Standing::new(order.clone(), made));
    Ok(address)
}

pub(super) async fn arm(shared: Arc<Shared>, order: Order) {
    let (guid, start) = (order.assignment.guid, order.start);
    let tell = |news| shared.tell(guid, start, News::Armed(news));
    match arm_standing(&shared, &order).await {
        Ok((standing, attached)) => {
            // Before anything that comes of being armed is told.
            tell(Ok(()));
            let since = shared.tools.clock.now();
            live(
                &shared,
                standing,
                attached,
                InstanceState::Starting { since },
            );
        }
        Err(error) => tell(Err(told(&error))),
    }
}

async fn arm_standing(
    shared: &Shared,
    order: &Order,
) -> Result<(Arc<Standing>, Attached), HookError> {
    let name = order.name();
    let standing = shared
        .standing_of(name)
        .ok_or(HookError::OutOfOrder("the container"))?;
    let voice = shared.voice(order);
    match &order.spec.work {
        Work::Process { .. } | Work::Task { .. } if !order.is_image() => {
            voice.aside("Invoking pre-start scripts.");
            voice.aside("Invoking start command.");
        }
        Work::Staging(_) => voice.cell("Staging..."),
        _ => {}
    }
    let attached = arm_launcher(&shared.tools, order, &standing.made).await?;
    shared.events.armed(name);
    if matches!(order.spec.work, Work::Process { .. }) {
        voice.cell("Starting health monitoring of container");
    }
    Ok((standing, attached))
}

fn live(shared: &Arc<Shared>, standing: Arc<Standing>, attached: Attached, state: InstanceState) {
    let task = standing.live(shared.clone(), attached, state);
    shared.spawn("mind an instance", task);
}

/// Take over a start of an earlier agent. One that ended while nobody looked is told as such.
pub(super) async fn adopt(shared: Arc<Shared>, order: Order, state: InstanceState) {
    let name = order.name();
    let made = match hooks::find(&shared.tools, &order).await {
        Ok(made) => made,
        Err(error) => {
            shared.events.step_failed(name, "adopt", &told(&error));
            Made::default()
        }
    };
    let slot = made.disk.as_ref().map(|disk| Slot::at(disk.slot.clone()));
    let attached = slot.and_then(|slot| slot.attach().ok());
    let standing = Standing::new(order, made);
    shared.stand(name, standing.clone());
    match attached {
        Some(attached) => live(&shared, standing, attached, state),
        // No launcher listens any more.
        None => standing.finish(&shared).await,
    }
}
