//! The boundary between the agent and whatever runs containers.
//!
//! The trait has the warm path in it: an instance is first *reserved* (everything that does not
//! depend on its command: root, limits, mounts, a first process that waits), then *armed* (the
//! launcher receives command and environment and starts the app). A cold start is reserve + arm.
//! Where starting a first process is dear, a runtime also makes containers *ahead*, which wait as
//! nobody's and are *dressed* as one instance or another later.
//! A runtime never decides anything: no retries, no restarts, no policy.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

pub mod cgroup;
#[cfg(test)]
pub(crate) mod contract;
pub mod docker;
mod etc;
mod host_stack;
mod limits;
pub mod sandboxed;
pub mod scripted;
#[cfg(test)]
mod trial;

/// The name of one container: the guid of one start of one instance.
pub type ContainerName = cfx_protocol::id::InstanceGuid;

/// What to reserve.
#[derive(Debug, Clone)]
pub struct Reservation {
    pub name: ContainerName,
    pub hostname: String,
    pub root: RootFs,
    /// Set for stacks: the user of this instance alone. None: the image's own user.
    pub user: Option<User>,
    pub limits: ContainerLimits,
    pub mounts: Vec<Mount>,
    /// For images: a folder on a size-limited volume that holds whatever the instance writes
    /// outside its mounts. None leaves that without a limit. Stacks are read-only.
    pub layer: Option<PathBuf>,
    /// The instance's slot on the cell, which the runtime mounts where the launcher looks for it.
    pub slot: PathBuf,
    /// Its address in the cell's network, for its own `/etc/hosts`; none without a network.
    pub address: Option<IpAddr>,
    /// The file of a network namespace that is ready for it, address and all; none: the runtime
    /// makes an empty one, and the address comes afterwards.
    pub network: Option<PathBuf>,
    /// Where its names are resolved: the cell's resolver.
    pub nameserver: Option<IpAddr>,
    /// Kept with the container and handed back by `adopt`.
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub enum RootFs {
    /// A stack by name; the root is read-only.
    Stack(String),
    /// A docker image; pulled when it is not there.
    Image {
        reference: String,
        credentials: Option<(String, String)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, Copy)]
pub struct ContainerLimits {
    pub memory_bytes: u64,
    /// Relative weight, 2..=262144 as in cgroup v1 `cpu.shares`.
    pub cpu_shares: u64,
    pub pids: u32,
    pub fds: u32,
}

/// A bind mount from the cell into the container.
#[derive(Debug, Clone)]
pub struct Mount {
    pub source: PathBuf,
    pub target: PathBuf,
    pub read_only: bool,
}

/// A container that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    pub name: ContainerName,
    /// The runtime's own id.
    pub id: String,
    /// Pid of the launcher in the cell's pid namespace; none when it has ended.
    pub pid: Option<u32>,
    pub labels: BTreeMap<String, String>,
}

/// What the image asks for, where the spec leaves it open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    pub user: String,
    pub exposed_ports: Vec<u16>,
}

/// How a container ended, as the runtime knows it. The launcher's own record in the slot, when
/// there is one, is more exact and wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitRecord {
    /// 128 + n for signal n.
    pub status: i32,
    pub out_of_memory: bool,
}

/// One reading of a container's counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// CPU time used since the start.
    pub cpu: Duration,
    /// The working set: what the container holds without page cache that could be dropped.
    pub memory_bytes: u64,
    pub pids: u32,
    /// Processes of the container that the kernel killed at its memory limit. When it rises while
    /// the app lives, a part of the app is gone.
    pub oom_kills: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Term,
    Kill,
}

/// A runtime failed to do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The runtime does not answer; whatever runs keeps running.
    #[error("{runtime} did not answer within {after:?} while asked to {action}")]
    Deadline {
        runtime: &'static str,
        action: &'static str,
        after: Duration,
    },
    #[error("{runtime} is not reachable: {detail}")]
    Unreachable {
        runtime: &'static str,
        detail: String,
    },
    /// The image or stack is not there and cannot be had; retrying does not help.
    #[error("{what} is not available: {detail}")]
    NoRoot { what: String, detail: String },
    #[error("there is no container {0}")]
    NoContainer(ContainerName),
    #[error("{runtime} failed to {action}: {detail}")]
    Failed {
        runtime: &'static str,
        action: &'static str,
        detail: String,
    },
}

/// Runs containers. Every call has its own deadline and may be repeated.
#[async_trait]
pub trait Runtime: Send + Sync + std::fmt::Debug {
    /// `docker` or `sandbox`.
    fn name(&self) -> &'static str;

    /// Answers quickly when the runtime can do work.
    async fn ping(&self) -> Result<(), RuntimeError>;

    /// The stacks that this cell can offer.
    async fn stacks(&self) -> Result<Vec<String>, RuntimeError>;

    /// Make the image available and tell what it asks for.
    async fn image(
        &self,
        reference: &str,
        credentials: Option<(&str, &str)>,
    ) -> Result<ImageDefaults, RuntimeError>;

    /// Make the container and start its first process, which waits for its command.
    /// Reserving a name that is there already answers with what is there.
    async fn reserve(&self, reservation: &Reservation) -> Result<Container, RuntimeError>;

    /// Send a signal to the first process, which passes TERM on to the app. In the moments before
    /// that process waits for its command it hears only KILL.
    async fn signal(&self, name: ContainerName, signal: Signal) -> Result<(), RuntimeError>;

    /// How it ended; none while it runs.
    async fn exit_record(&self, name: ContainerName) -> Result<Option<ExitRecord>, RuntimeError>;

    async fn sample(&self, name: ContainerName) -> Result<Sample, RuntimeError>;

    /// All containers of this cell, running or ended.
    async fn adopt(&self) -> Result<Vec<Container>, RuntimeError>;

    /// End it if it runs and leave nothing of it. Releasing what is not there succeeds.
    async fn release(&self, name: ContainerName) -> Result<(), RuntimeError>;

    /// Does it make containers ahead? One that starts them in milliseconds has no need to.
    fn makes_ahead(&self) -> bool {
        false
    }

    /// Make a container that belongs to nobody yet, up to a first process that waits. `adopt` lists
    /// it under this name until it is dressed, and `release` ends it. `home` is a folder of which
    /// the content comes later: what is mounted there then is seen inside.
    async fn reserve_ahead(
        &self,
        reservation: &Reservation,
        home: &Mount,
    ) -> Result<Container, RuntimeError> {
        let _ = home;
        Err(RuntimeError::NoContainer(reservation.name))
    }

    /// Make a container that was made ahead what `reserve` would have made of this reservation,
    /// which must have the same root, user, address, mounts and open files. In its old name nothing
    /// is left.
    async fn dress(
        &self,
        ahead: ContainerName,
        reservation: &Reservation,
    ) -> Result<Container, RuntimeError> {
        let _ = reservation;
        Err(RuntimeError::NoContainer(ahead))
    }

    /// Does it put containers into network namespaces that are ready for them?
    fn enters_networks(&self) -> bool {
        false
    }

    /// Names of containers as they end. Hints: one may be missing or come twice, so the agent
    /// also looks at `exit_record` by itself. One receiver per runtime.
    fn exits(&self) -> mpsc::Receiver<ContainerName>;
}

/// A runtime's folder. Mounts go by absolute paths; in it are names of instances, which are nobody
/// else's.
fn own_folder(path: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    path.canonicalize()
}
