//! What instances stand on besides their container: addresses and volumes.
//!
//! A trait, because tests and the simulation have neither loop devices nor a bridge. Every call is
//! by name and may be repeated, so that a fresh agent can clear away what a dead one left.

use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use cfx_protocol::actual::Address;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};

use crate::runtime::Container;
use crate::volume::{AheadSpec, VolumeSpec};

/// The folders of an instance that it may write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Mounted at `/home/vcap`.
    pub home: PathBuf,
    /// Mounted at `/tmp`.
    pub tmp: PathBuf,
    /// The slot's folder.
    pub slot: PathBuf,
}

/// The machine could not give what was asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {detail}")]
pub struct GroundError {
    pub action: &'static str,
    pub detail: String,
}

/// How much is kept ready; each is made in idle moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready {
    pub volumes: usize,
    /// Network namespaces with an address; only for a runtime that enters them.
    pub networks: usize,
}

fn nothing_ahead() -> GroundError {
    GroundError {
        action: "use what was made ahead",
        detail: "nothing is made ahead here".to_owned(),
    }
}

/// Addresses and volumes of one cell.
#[async_trait]
pub trait Ground: Send + Sync + std::fmt::Debug {
    /// The address of an assignment; the same until it is freed. `known` is the one it had before
    /// this agent started. `port` is the first that it listens on.
    async fn lease(
        &self,
        assignment: AssignmentGuid,
        known: Option<Address>,
        port: u16,
    ) -> Result<Address, GroundError>;

    /// Put the container where its address is.
    async fn connect(
        &self,
        assignment: AssignmentGuid,
        container: &Container,
    ) -> Result<(), GroundError>;

    /// Let go of the address. Freeing what is not leased succeeds.
    async fn free(&self, assignment: AssignmentGuid) -> Result<(), GroundError>;

    /// Take addresses back that are in use and belong to no assignment: leftovers of a dead agent.
    async fn sweep_addresses(&self) -> Result<(), GroundError>;

    /// Make a volume; one of the same name is replaced.
    async fn make_volume(&self, spec: VolumeSpec) -> Result<Disk, GroundError>;

    /// The volume of this name, if it is whole.
    async fn volume(&self, name: InstanceGuid) -> Result<Option<Disk>, GroundError>;

    /// Bytes used on it.
    async fn volume_used(&self, name: InstanceGuid) -> Result<u64, GroundError>;

    /// Releasing what is not there succeeds.
    async fn release_volume(&self, name: InstanceGuid) -> Result<(), GroundError>;

    /// Volumes of which anything is left.
    async fn volumes(&self) -> Result<Vec<InstanceGuid>, GroundError>;

    /// Keep so much ready ahead of need from now on.
    fn keep_ready(&self, _ready: Ready) {}

    /// Make one thing that is to be ready, or clear away one too many; false when all is as it
    /// should be. For moments in which the cell has nothing else to do.
    async fn stock(&self) -> Result<bool, GroundError> {
        Ok(false)
    }

    /// A network namespace with the assignment's address and all that belongs to it, for a runtime
    /// that enters one; `connect` has nothing to do then. The file is good until `connect`. None
    /// where there are no namespaces.
    async fn network(&self, _assignment: AssignmentGuid) -> Result<Option<PathBuf>, GroundError> {
        Ok(None)
    }

    /// A volume for a container that is made ahead: without its home, which is mounted there later.
    async fn make_volume_ahead(&self, _spec: AheadSpec) -> Result<Disk, GroundError> {
        Err(nothing_ahead())
    }

    /// One that an earlier agent made and that is still nobody's.
    async fn volume_ahead(&self, _name: InstanceGuid) -> Result<Option<Disk>, GroundError> {
        Ok(None)
    }

    /// Make a volume made ahead the one of this spec, which has the same size and owner.
    async fn pass_volume(
        &self,
        _from: InstanceGuid,
        _spec: VolumeSpec,
    ) -> Result<Disk, GroundError> {
        Err(nothing_ahead())
    }

    /// Give the address leased under one name to an assignment that has none.
    async fn pass_address(
        &self,
        _from: AssignmentGuid,
        _to: AssignmentGuid,
        _port: u16,
    ) -> Result<Address, GroundError> {
        Err(nothing_ahead())
    }

    /// The cell as its instances see it; none without a network of its own.
    fn gateway(&self) -> Option<IpAddr>;
}
