//! Fifth step: the container, whose first process waits for its command.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cfx_protocol::cell::entitlement_millicores;
use cfx_protocol::desired::{Assignment, Root, SpecId, Work};
use cfx_protocol::id::AssignmentGuid;

use super::{HookError, Made, Order, Tools};
use crate::runtime::{Container, ContainerLimits, Mount, Reservation, RootFs};

const LABEL_ASSIGNMENT: &str = "assignment";
const LABEL_START: &str = "start";
const LABEL_INDEX: &str = "index";
const LABEL_SPEC: &str = "spec";

/// CPU shares of a whole core, as the kernel counts them.
const SHARES_PER_CORE: u64 = 1_024;
/// What the kernel takes.
const SHARES_RANGE: (u64, u64) = (2, 262_144);

pub(super) async fn make(tools: &Tools, order: &Order, made: &mut Made) -> Result<(), HookError> {
    let container = tools
        .runtime
        .reserve(&reservation(tools, order, made)?)
        .await?;
    made.container = Some(container);
    Ok(())
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
