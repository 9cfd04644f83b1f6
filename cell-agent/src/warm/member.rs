//! Making one instance ahead, finding one that an earlier agent made, and ending one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use cfx_protocol::actual::Address;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};

use super::Profile;
use crate::hooks::ground::Disk;
use crate::hooks::{self, HookError, PORT_DEFAULT, Tools, address, container};
use crate::runtime::Container;
use crate::slot::{ARM_DEADLINE, Slot, SlotError};
use crate::volume::AheadSpec;

const LABEL_STACK: &str = "ahead.stack";
const LABEL_SIZE: &str = "ahead.size";
const LABEL_FDS: &str = "ahead.fds";
const LABEL_ADDRESS: &str = "ahead.address";

/// Between two looks whether the first process waits for its command.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Make one, up to a first process that waits. What is left after a failure is ended by name.
pub(super) async fn make(
    tools: &Tools,
    name: InstanceGuid,
    profile: &Profile,
) -> Result<(), HookError> {
    let holder = AssignmentGuid(name.0);
    let address = tools.ground.lease(holder, None, PORT_DEFAULT).await?;
    let user = address::user(tools, address);
    let spec = AheadSpec {
        name,
        size_bytes: profile.size_bytes,
        owner: user,
    };
    let disk = tools.ground.make_volume_ahead(spec).await?;
    let slot = Slot::create(disk.slot.clone(), Some(user))?;
    let place = container::Place {
        stack: &profile.stack,
        fds: profile.fds,
        user,
        disk: &disk,
        address: address.internal_ip,
    };
    let labels = labels(profile, address.internal_ip);
    let reservation = container::reservation_ahead(tools, name, &place, labels);
    let home = container::home_ahead(&disk);
    let container = tools.runtime.reserve_ahead(&reservation, &home).await?;
    tools.ground.connect(holder, &container).await?;
    tokio::time::timeout(ARM_DEADLINE, wait_for_launcher(tools, name, &slot))
        .await
        .map_err(|_| SlotError::Deadline(ARM_DEADLINE))?
}

async fn wait_for_launcher(
    tools: &Tools,
    name: InstanceGuid,
    slot: &Slot,
) -> Result<(), HookError> {
    loop {
        match slot.attach() {
            Ok(_) => return Ok(()),
            Err(SlotError::NoLauncher(_)) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(record) = tools.runtime.exit_record(name).await? {
            return Err(HookError::EndedEarly(record.status));
        }
        tools.clock.sleep(LOOK_EVERY).await;
    }
}

/// Make one that an earlier agent made this one's, if everything of it is in its place.
pub(super) async fn take_up(
    tools: &Tools,
    container: &Container,
    address: IpAddr,
) -> Result<bool, HookError> {
    let volume = tools.ground.volume_ahead(container.name).await?;
    let Some(Disk { slot, .. }) = volume.filter(|_| container.pid.is_some()) else {
        return Ok(false);
    };
    if Slot::at(slot).attach().is_err() {
        return Ok(false);
    }
    let holder = AssignmentGuid(container.name.0);
    let before = Address {
        host: address,
        port: PORT_DEFAULT,
        internal_ip: address,
    };
    let leased = tools.ground.lease(holder, Some(before), PORT_DEFAULT);
    if leased.await?.internal_ip != address {
        // Somebody else's by now, and its files name the old one.
        return Ok(false);
    }
    tools.ground.connect(holder, container).await?;
    Ok(true)
}

/// Leave nothing of it. May be repeated.
pub(super) async fn end(tools: &Tools, name: InstanceGuid) -> Result<(), HookError> {
    hooks::clear(tools, name).await?;
    Ok(tools.ground.free(AssignmentGuid(name.0)).await?)
}

fn labels(profile: &Profile, address: IpAddr) -> BTreeMap<String, String> {
    [
        (LABEL_STACK, profile.stack.clone()),
        (LABEL_SIZE, profile.size_bytes.to_string()),
        (LABEL_FDS, profile.fds.to_string()),
        (LABEL_ADDRESS, address.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// The kind and the address of a container that is nobody's; none when it is anything else.
pub(super) fn kind(container: &Container) -> Option<(Profile, IpAddr)> {
    let label = |key: &str| container.labels.get(key);
    let profile = Profile {
        stack: label(LABEL_STACK)?.clone(),
        size_bytes: label(LABEL_SIZE)?.parse().ok()?,
        fds: label(LABEL_FDS)?.parse().ok()?,
    };
    Some((profile, label(LABEL_ADDRESS)?.parse().ok()?))
}
