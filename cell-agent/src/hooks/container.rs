//! Fifth step: the container, whose first process waits for its command.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use cfx_protocol::cell::entitlement_millicores;
use cfx_protocol::desired::{Assignment, Root, SpecId, Work};
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};

use super::ground::Disk;
use super::{HookError, Made, Order, Tools, told};
use crate::runtime::{Container, ContainerLimits, Mount, Reservation, RootFs, User};

const LABEL_ASSIGNMENT: &str = "assignment";
const LABEL_START: &str = "start";
const LABEL_INDEX: &str = "index";
const LABEL_SPEC: &str = "spec";

/// CPU shares of a whole core, as the kernel counts them.
const SHARES_PER_CORE: u64 = 1_024;
/// Enough for a launcher that waits; of open files it has those of its kind.
const LIMITS_AHEAD: ContainerLimits = ContainerLimits {
    memory_bytes: 16 << 20,
    cpu_shares: 2,
    pids: 8,
    fds: 0,
};
/// What the kernel takes.
const SHARES_RANGE: (u64, u64) = (2, 262_144);

pub(super) async fn make(tools: &Tools, order: &Order, made: &mut Made) -> Result<(), HookError> {
    let mut reservation = reservation(tools, order, made)?;
    if let Some(ahead) = made.ahead.take() {
        match tools.runtime.dress(ahead, &reservation).await {
            Ok(container) => {
                made.container = Some(container);
                return Ok(());
            }
            Err(error) => {
                let error = told(&error);
                tracing::warn!(error, "a container made ahead is of no use; making another");
                tools.runtime.release(ahead).await?;
            }
        }
    }
    if tools.runtime.enters_networks() {
        reservation.network = tools.ground.network(order.assignment.guid).await?;
    }
    made.container = Some(tools.runtime.reserve(&reservation).await?);
    Ok(())
}

/// What a container made ahead is before it is anybody's: the least of everything, until `dress`
/// gives it the limits of an instance.
pub(crate) fn reservation_ahead(
    tools: &Tools,
    name: InstanceGuid,
    place: &Place<'_>,
    labels: BTreeMap<String, String>,
) -> Reservation {
    Reservation {
        name,
        hostname: name.to_string(),
        root: RootFs::Stack(place.stack.to_owned()),
        user: Some(place.user),
        limits: ContainerLimits {
            fds: place.fds,
            ..LIMITS_AHEAD
        },
        mounts: vec![writable(&place.disk.tmp, "/tmp")],
        layer: None,
        slot: place.disk.slot.clone(),
        address: Some(place.address),
        network: None,
        nameserver: tools.ground.gateway(),
        labels,
    }
}

/// What of a container cannot change any more once it is made.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) stack: &'a str,
    pub(crate) fds: u32,
    pub(crate) user: User,
    pub(crate) disk: &'a Disk,
    pub(crate) address: IpAddr,
}

/// Its home, which is mounted over this one later; nothing is ever written to this one.
pub(crate) fn home_ahead(disk: &Disk) -> Mount {
    Mount {
        source: disk.home.clone(),
        target: PathBuf::from(super::env::HOME),
        read_only: true,
    }
}

fn reservation(tools: &Tools, order: &Order, made: &Made) -> Result<Reservation, HookError> {
    let disk = made.disk()?;
    let spec = &order.spec;
    let root = match &spec.root {
        Root::Stack { name, .. } => RootFs::Stack(name.clone()),
        Root::Image {
            reference,
            username,
            password,
        } => RootFs::Image {
            reference: reference.clone(),
            credentials: username.clone().zip(password.clone()),
        },
    };
    // What an image's container writes, wherever it does, lands on the volume as well.
    let mut mounts = Vec::new();
    if !order.is_image() {
        mounts.push(writable(&disk.home, super::env::HOME));
        mounts.push(writable(&disk.tmp, "/tmp"));
    }
    if let Work::Staging(work) = &spec.work {
        mounts.extend(tools.stager.mounts(order.name(), work));
    }
    Ok(Reservation {
        name: order.name(),
        hostname: order.name().to_string(),
        root,
        user: made.user,
        limits: ContainerLimits {
            memory_bytes: u64::from(spec.limits.memory_mb) << 20,
            cpu_shares: shares(tools, spec.limits.memory_mb),
            pids: spec.limits.pids,
            fds: spec.limits.fds,
        },
        mounts,
        layer: order.is_image().then(|| disk.home.clone()),
        slot: disk.slot.clone(),
        address: made.address.map(|address| address.internal_ip),
        network: None,
        nameserver: tools.ground.gateway(),
        labels: labels(order),
    })
}

/// In proportion to the entitlement, which is in proportion to memory.
fn shares(tools: &Tools, memory_mb: u32) -> u64 {
    let millicores = u64::from(entitlement_millicores(&tools.capacity, memory_mb));
    (millicores * SHARES_PER_CORE / 1_000).clamp(SHARES_RANGE.0, SHARES_RANGE.1)
}

fn writable(source: &std::path::Path, target: &str) -> Mount {
    Mount {
        source: source.to_owned(),
        target: PathBuf::from(target),
        read_only: false,
    }
}

fn labels(order: &Order) -> BTreeMap<String, String> {
    [
        (LABEL_ASSIGNMENT, order.assignment.guid.to_string()),
        (LABEL_START, order.start.to_string()),
        (LABEL_INDEX, order.assignment.index.to_string()),
        (LABEL_SPEC, order.assignment.spec.0.to_string()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Which start of which assignment a container is, as far as its labels tell.
#[must_use]
pub(crate) fn identify(container: &Container) -> Option<(Assignment, u32)> {
    let label = |key: &str| container.labels.get(key);
    let guid: AssignmentGuid = label(LABEL_ASSIGNMENT)?.parse().ok()?;
    let start: u32 = label(LABEL_START)?.parse().ok()?;
    let assignment = Assignment {
        guid,
        spec: SpecId(label(LABEL_SPEC)?.as_str().into()),
        index: label(LABEL_INDEX)?.parse().ok()?,
    };
    (guid.instance(start) == container.name).then_some((assignment, start))
}
