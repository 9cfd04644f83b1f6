//! Second step: the address, which belongs to the assignment and not to one start of it.

use std::net::IpAddr;

use cfx_protocol::actual::Address;
use cfx_protocol::id::AssignmentGuid;

use super::{HookError, Made, Order, PORT_DEFAULT, Tools};
use crate::runtime::User;

pub(super) async fn make(tools: &Tools, order: &Order, made: &mut Made) -> Result<(), HookError> {
    let port = made.ports.first().copied().unwrap_or(PORT_DEFAULT);
    let guid = order.assignment.guid;
    let address = match made.ahead {
        Some(ahead) => {
            let from = AssignmentGuid(ahead.0);
            tools.ground.pass_address(from, guid, port).await?
        }
        None => tools.ground.lease(guid, order.address, port).await?,
    };
    made.address = Some(address);
    if !order.is_image() {
        made.user = Some(user(tools, address));
    }
    Ok(())
}

pub(crate) fn user(tools: &Tools, address: Address) -> User {
    let uid = tools.uid_base + number(address.internal_ip);
    User { uid, gid: uid }
}

/// No two instances of a cell have the same address, so the low half of it numbers their users.
fn number(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => u32::from(address) & 0xffff,
        IpAddr::V6(address) => u32::from(address.segments()[7]),
    }
}
