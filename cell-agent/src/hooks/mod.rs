//! How one start of an instance is made and cleared away, step by step.
//!
//! ```text
//! make:   droplet  address  volume  slot  container  network        then, when told: arm
//! undo:   network  container  slot  volume  droplet                 and, at the very end: address
//! ```
//! Where something was made ahead, address, volume and container are passed on instead of made.
//! Making stops at the first step that fails; nothing is undone on the spot. Whatever is left, by
//! a failure, by a crash of the app or by the agent's own death, is cleared by the same undo, which
//! works by name and may be repeated.

pub(crate) mod address;
pub mod arm;
pub(crate) mod container;
mod droplet;
pub mod env;
pub mod ground;
pub mod machine;
mod network;
mod slot;
pub(crate) mod volume;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use cfx_process::clock::Clock;
use cfx_protocol::actual::Address;
use cfx_protocol::cell::Capacity;
use cfx_protocol::desired::{Assignment, InstanceSpec, Root, Work};
use cfx_protocol::id::InstanceGuid;

use crate::droplet_cache::{CacheError, DropletCache};
use crate::runtime::{Container, ImageDefaults, Runtime, RuntimeError, User};
use crate::slot::SlotError;
use crate::staging::{Stager, StagingError};
use crate::warm::{Taken, Warm};
pub(crate) use container::identify;
use ground::{Disk, Ground, GroundError};

/// Port of a process that names none, and Cloud Foundry's default.
pub(crate) const PORT_DEFAULT: u16 = 8080;

/// What the steps work with.
#[derive(Debug, Clone)]
pub struct Tools {
    pub runtime: Arc<dyn Runtime>,
    pub ground: Arc<dyn Ground>,
    pub droplets: DropletCache,
    pub stager: Stager,
    pub clock: Clock,
    pub capacity: Capacity,
    /// `CF_INSTANCE_IP`.
    pub cell: IpAddr,
    pub uid_base: u32,
    pub warm: Warm,
}

/// One start of one assignment.
#[derive(Debug, Clone)]
pub struct Order {
    pub assignment: Assignment,
    pub spec: Arc<InstanceSpec>,
    pub start: u32,
    /// The address it had before.
    pub address: Option<Address>,
    /// Something of this start or the one before may be on the machine.
    pub remains: bool,
    /// Routers may be sending it requests when it is stopped.
    pub is_routed: bool,
}

/// What the steps have made so far.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// What was made ahead for it, as long as that goes by its old name.
    pub ahead: Option<InstanceGuid>,
    pub image: Option<ImageDefaults>,
    pub droplet: Option<PathBuf>,
    pub address: Option<Address>,
    pub ports: Vec<u16>,
    /// The user of this instance alone; none for a docker image, which brings its own.
    pub user: Option<User>,
    pub disk: Option<Disk>,
    pub container: Option<Container>,
}

/// A step failed; its name is in the text that people see.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("droplet")]
    Droplet(#[from] CacheError),
    #[error("staging")]
    Staging(#[from] StagingError),
    #[error("{0}")]
    Ground(#[from] GroundError),
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    #[error("slot")]
    Slot(#[from] SlotError),
    #[error("the container ended with status {0} before it got its command")]
    EndedEarly(i32),
    #[error("{0} was not made before it was needed")]
    OutOfOrder(&'static str),
}

/// A step that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    Droplet,
    Address,
    Volume,
    Slot,
    Container,
    Network,
}

/// All steps, in the order of making.
pub const STEPS: [Hook; 6] = [
    Hook::Droplet,
    Hook::Address,
    Hook::Volume,
    Hook::Slot,
    Hook::Container,
    Hook::Network,
];

/// Make a start up to a first process that waits for its command. What it runs is fetched at once;
/// the rest, which loads the machine, waits for its `turn`, which lasts until the end.
pub async fn prepare<Permit>(
    tools: &Tools,
    order: &Order,
    turn: impl Future<Output = Permit>,
) -> Result<Made, HookError> {
    let mut made = Made::default();
    let [fetch, rest @ ..] = STEPS;
    fetch.make(tools, order, &mut made).await?;
    let _permit = turn.await;
    let taken = tools.warm.take(order);
    made.ahead = taken.as_ref().map(Taken::name);
    for step in rest {
        step.make(tools, order, &mut made).await?;
    }
    if let Some(taken) = taken {
        taken.passed_on();
    }
    Ok(made)
}

/// What an earlier agent made for a start that runs.
pub async fn find(tools: &Tools, order: &Order) -> Result<Made, HookError> {
    let mut made = Made::default();
    droplet::find(tools, order, &mut made).await?;
    address::make(tools, order, &mut made).await?;
    made.disk = tools.ground.volume(order.name()).await?;
    Ok(made)
}

/// Take over the address that an assignment had before this agent started.
pub async fn keep_address(tools: &Tools, order: &Order) -> Result<(), HookError> {
    let mut made = Made {
        ports: ports(&order.spec, None),
        ..Made::default()
    };
    address::make(tools, order, &mut made).await
}

/// Clear away everything of one start. The address stays with the assignment. All steps are tried,
/// whatever fails; the first failure is told.
pub async fn clear(tools: &Tools, name: InstanceGuid) -> Result<(), HookError> {
    let mut first_failure = Ok(());
    for step in STEPS.into_iter().rev() {
        let undone = step.undo(tools, name).await;
        first_failure = first_failure.and(undone);
    }
    first_failure
}

impl Hook {
    async fn make(self, tools: &Tools, order: &Order, made: &mut Made) -> Result<(), HookError> {
        match self {
            Self::Droplet => droplet::make(tools, order, made).await,
            Self::Address => address::make(tools, order, made).await,
            Self::Volume => volume::make(tools, order, made).await,
            Self::Slot => slot::make(made).await,
            Self::Container => container::make(tools, order, made).await,
            Self::Network => network::make(tools, order, made).await,
        }
    }

    async fn undo(self, tools: &Tools, name: InstanceGuid) -> Result<(), HookError> {
        match self {
            Self::Droplet => {
                tools.droplets.unpin(name);
                tools.stager.discard(name).await;
                Ok(())
            }
            Self::Volume => Ok(tools.ground.release_volume(name).await?),
            Self::Container => Ok(tools.runtime.release(name).await?),
            // The namespace went with the container, the slot goes with the volume, and the
            // address outlives the start.
            Self::Network | Self::Slot | Self::Address => Ok(()),
        }
    }
}

impl Order {
    #[must_use]
    pub fn name(&self) -> InstanceGuid {
        self.assignment.guid.instance(self.start)
    }

    /// Names of this start and the one before it, of which something may be left.
    #[must_use]
    pub fn names(&self) -> Vec<InstanceGuid> {
        let before = self.start.checked_sub(1);
        let starts = before.into_iter().chain([self.start]);
        starts
            .map(|start| self.assignment.guid.instance(start))
            .collect()
    }

    pub(crate) fn is_image(&self) -> bool {
        matches!(self.spec.root, Root::Image { .. })
    }
}

impl Made {
    pub(crate) fn disk(&self) -> Result<&Disk, HookError> {
        self.disk
            .as_ref()
            .ok_or(HookError::OutOfOrder("the volume"))
    }
}

/// The ports of a process: those of its spec, else those of its image, else 8080.
pub(crate) fn ports(spec: &InstanceSpec, image: Option<&ImageDefaults>) -> Vec<u16> {
    if !matches!(spec.work, Work::Process { .. }) {
        return Vec::new();
    }
    if !spec.ports.is_empty() {
        return spec.ports.clone();
    }
    match image {
        Some(image) if !image.exposed_ports.is_empty() => image.exposed_ports.clone(),
        _ => vec![PORT_DEFAULT],
    }
}

/// An error and all that caused it, in one line.
#[must_use]
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot do it")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("the disk is full")]
    struct Inner;

    #[test]
    fn an_error_is_told_with_its_causes_and_none_of_them_twice() {
        assert_eq!(told(&Outer(Inner)), "cannot do it: the disk is full");
        assert_eq!(
            told(&HookError::EndedEarly(7)),
            HookError::EndedEarly(7).to_string()
        );
        let detail = "the disk is full".to_owned();
        let ground = GroundError {
            action: "do it",
            detail,
        };
        assert_eq!(
            told(&HookError::Ground(ground)),
            "cannot do it: the disk is full"
        );
    }
}
