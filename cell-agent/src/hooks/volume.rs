//! Third step: the size-limited volume that holds everything the instance writes.

use cfx_protocol::desired::Work;

use super::{HookError, Made, Order, Tools};
use crate::volume::{SIZE_MIN_BYTES, VolumeSpec};

pub(super) async fn make(tools: &Tools, order: &Order, made: &mut Made) -> Result<(), HookError> {
    let spec = VolumeSpec {
        name: order.name(),
        size_bytes: size_bytes(order),
        owner: made.user,
        droplet: made.droplet.clone(),
        comes_again: !matches!(order.spec.work, Work::Staging(_)),
    };
    let disk = match made.ahead {
        Some(ahead) => tools.ground.pass_volume(ahead, spec).await?,
        None => tools.ground.make_volume(spec).await?,
    };
    if let (Work::Staging(work), Some(user)) = (&order.spec.work, made.user) {
        tools
            .stager
            .lay_out(order.name(), work, &disk, user)
            .await?;
    }
    made.disk = Some(disk);
    Ok(())
}

pub(crate) fn size_bytes(order: &Order) -> u64 {
    (u64::from(order.spec.limits.disk_mb) << 20).max(SIZE_MIN_BYTES)
}
