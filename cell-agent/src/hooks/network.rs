//! Last step of preparing: the container gets its address.

use super::{HookError, Made, Order, Tools};

pub(super) async fn make(tools: &Tools, order: &Order, made: &Made) -> Result<(), HookError> {
    let container = made
        .container
        .as_ref()
        .ok_or(HookError::OutOfOrder("the container"))?;
    Ok(tools
        .ground
        .connect(order.assignment.guid, container)
        .await?)
}
