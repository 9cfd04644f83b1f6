//! Sandboxes as a runtime: no engine, only the kernel and the cell's keeper.
//!
//! The agent picks what is to be mounted, opens the network and asks; the keeper clones. All that
//! is known of sandboxes is the keeper's, on disk: an agent may come and go, and so may the keeper.

mod link;
mod reserve;
mod stack;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cfx_process::supervisor::Supervisor;
use cfx_protocol::id::CellGuid;
use cfx_sandbox::floor::bare_start;
use cfx_sandbox::keeper::Home;
use cfx_sandbox::message::{Answer, Request};
use cfx_sandbox::{Refusal, Sandbox, requirements};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::cgroup::Book;
use super::{
    Container, ContainerName, ExitRecord, ImageDefaults, Reservation, Runtime, RuntimeError,
    Sample, Signal,
};
use crate::carried::{KEEPER, LAUNCHER};
use crate::slot::Slot;
pub use cfx_sandbox::floor::Floor;
use link::Keeper;

/// The name that errors and registrations carry.
pub(crate) const NAME: &str = "sandbox";

/// Where `deploy/stack/build` puts stacks for sandboxes.
pub const STACKS_DEFAULT: &str = "/var/lib/cfx/stacks";

/// In the runtime's folder.
const KEEPER_FOLDER: &str = "keeper";

/// A keeper that works answers at once; past this the cell stops taking work.
const PING: Duration = Duration::from_secs(1);
/// The keeper reads its own memory.
const LOOK: Duration = Duration::from_secs(5);
/// A first process is made; a start storm queues here.
const START: Duration = Duration::from_secs(30);
/// Kills, and waits for the last process to be gone.
const RELEASE: Duration = Duration::from_secs(30);
/// The status of a first process that was killed and whose own record is missing.
const STATUS_KILLED: i32 = 137;
/// Why there are no images.
const NEEDS_DOCKER: &str = "sandboxes run on stacks only; for images install Docker Engine \
                            and start the cell with `--runtime docker`";

#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Names the cell's control groups.
    pub cell: CellGuid,
    /// What the runtime keeps; only root may reach it.
    pub directory: PathBuf,
    /// One folder for each stack, named after it: a root file system.
    pub stacks: PathBuf,
    /// Offer the stack made of this machine's own folders: for local use.
    pub host_stack: bool,
}

/// The sandboxes of one cell.
#[derive(Debug)]
pub struct Sandboxed {
    config: SandboxConfig,
    launcher: PathBuf,
    keeper: Keeper,
    counters: Book,
    exits: Mutex<Option<mpsc::Receiver<ContainerName>>>,
}

impl Sandboxed {
    /// Reach the cell's keeper, or start it.
    pub async fn open(
        mut config: SandboxConfig,
        supervisor: &Supervisor,
    ) -> Result<Arc<Self>, RuntimeError> {
        check_machine()?;
        config.directory = super::own_folder(&config.directory)
            .map_err(|error| local("make the runtime's folder", &error))?;
        let install = |program: &crate::carried::Carried| {
            let installed = program.install(&config.directory);
            installed.map_err(|error| local("install its programs", &error))
        };
        let launcher = install(&LAUNCHER)?;
        let home = Home {
            folder: config.directory.join(KEEPER_FOLDER),
            program: install(&KEEPER)?,
            cell: config.cell.to_string(),
            version: KEEPER.version(),
        };
        let (keeper, exits) = Keeper::new(home, supervisor.clone());
        let runtime = Self {
            config,
            launcher,
            keeper,
            counters: Book::new(),
            exits: Mutex::new(Some(exits)),
        };
        runtime.ping().await?;
        Ok(Arc::new(runtime))
    }

    async fn look(&self, name: ContainerName) -> Result<Sandbox, RuntimeError> {
        let request = Request::Look {
            name: name.to_string(),
        };
        let action = "look at a sandbox";
        match self.keeper.ask(request, &[], action, LOOK).await? {
            Ok(Answer::Sandbox(sandbox)) => Ok(sandbox),
            Ok(other) => Err(unexpected(action, &other)),
            Err(refusal) => Err(refused(name, action, &refusal)),
        }
    }
}

#[async_trait]
impl Runtime for Sandboxed {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn ping(&self) -> Result<(), RuntimeError> {
        let action = "answer";
        match self.keeper.ask(Request::Ping, &[], action, PING).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(failed(action, &refusal)),
        }
    }

    async fn stacks(&self) -> Result<Vec<String>, RuntimeError> {
        Ok(stack::list(&self.config))
    }

    async fn image(
        &self,
        reference: &str,
        _: Option<(&str, &str)>,
    ) -> Result<ImageDefaults, RuntimeError> {
        Err(no_images(reference))
    }

    async fn reserve(&self, reservation: &Reservation) -> Result<Container, RuntimeError> {
        self.start(reservation).await
    }

    async fn signal(&self, name: ContainerName, signal: Signal) -> Result<(), RuntimeError> {
        let request = Request::Signal {
            name: name.to_string(),
            signal: match signal {
                Signal::Term => nix::libc::SIGTERM,
                Signal::Kill => nix::libc::SIGKILL,
            },
        };
        let action = "signal a sandbox";
        let sent = self.keeper.ask(request, &[], action, LOOK).await?;
        sent.map(drop)
            .map_err(|refusal| refused(name, action, &refusal))
    }

    async fn exit_record(&self, name: ContainerName) -> Result<Option<ExitRecord>, RuntimeError> {
        let sandbox = self.look(name).await?;
        let Some(ended) = sandbox.ended else {
            return Ok(None);
        };
        // A keeper that took it over was not its parent: then the launcher's own word counts.
        let own_word = || Slot::at(sandbox.slot.clone()).exit_record().ok().flatten();
        let status = ended
            .status
            .or_else(|| own_word().map(|record| record.status.into()));
        Ok(Some(ExitRecord {
            status: status.unwrap_or(STATUS_KILLED),
            out_of_memory: ended.out_of_memory,
        }))
    }

    async fn sample(&self, name: ContainerName) -> Result<Sample, RuntimeError> {
        if !self.counters.has(name) {
            let sandbox = self.look(name).await?;
            if sandbox.ended.is_none() {
                self.counters.open(name, sandbox.pid);
            }
        }
        self.counters.sample(name)
    }

    async fn adopt(&self) -> Result<Vec<Container>, RuntimeError> {
        let mut containers = Vec::new();
        let mut after = None;
        loop {
            let request = Request::List {
                after: after.take(),
            };
            let action = "list the sandboxes";
            let page = match self.keeper.ask(request, &[], action, LOOK).await? {
                Ok(Answer::Page(page)) => page,
                Ok(other) => return Err(unexpected(action, &other)),
                Err(refusal) => return Err(failed(action, &refusal)),
            };
            let Some(last) = page.last() else {
                return Ok(containers);
            };
            after = Some(last.name.clone());
            containers.extend(page.into_iter().filter_map(container));
        }
    }

    async fn release(&self, name: ContainerName) -> Result<(), RuntimeError> {
        self.counters.close(name);
        let request = Request::Release {
            name: name.to_string(),
        };
        let action = "release a sandbox";
        let released = self.keeper.ask(request, &[], action, RELEASE).await?;
        released.map_err(|refusal| refused(name, action, &refusal))?;
        match std::fs::remove_dir_all(self.etc_directory(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(local("remove an instance's files", &error))
            }
            _ => Ok(()),
        }
    }

    fn enters_networks(&self) -> bool {
        true
    }

    fn exits(&self) -> mpsc::Receiver<ContainerName> {
        // Taken twice, the second one is closed: hints go to one receiver.
        self.exits
            .lock()
            .take()
            .unwrap_or_else(|| mpsc::channel(1).1)
    }
}

/// What starts in sandboxes cost at the least on this machine: the launcher cloned into the same
/// namespaces and ended at once, so many times. `folder` takes the programs. Blocks.
pub fn floor(folder: &Path, starts: u32) -> Result<Floor, RuntimeError> {
    let install = |program: &crate::carried::Carried| {
        let installed = program.install(folder);
        installed.map_err(|error| local("install its programs", &error))
    };
    // Without a slot the launcher ends by itself.
    let (keeper, launcher) = (install(&KEEPER)?, install(&LAUNCHER)?);
    bare_start(&keeper, &launcher, starts, true).map_err(|error| RuntimeError::Failed {
        runtime: NAME,
        action: "measure the least that a start costs",
        detail: crate::hooks::told(&error),
    })
}

/// All that is missing, in one error.
fn check_machine() -> Result<(), RuntimeError> {
    let missing = requirements::missing();
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(RuntimeError::Unreachable {
        runtime: NAME,
        detail: format!("this machine lacks {}", missing.join("; ")),
    })
}

fn container(sandbox: Sandbox) -> Option<Container> {
    Some(Container {
        name: sandbox.name.parse().ok()?,
        id: sandbox.name,
        pid: sandbox.ended.is_none().then_some(sandbox.pid),
        labels: sandbox.labels,
    })
}

fn no_images(reference: &str) -> RuntimeError {
    RuntimeError::NoRoot {
        what: format!("image {reference}"),
        detail: NEEDS_DOCKER.to_owned(),
    }
}

fn refused(name: ContainerName, action: &'static str, refusal: &Refusal) -> RuntimeError {
    match refusal {
        Refusal::NoSandbox(_) => RuntimeError::NoContainer(name),
        _ => failed(action, refusal),
    }
}

fn failed(action: &'static str, refusal: &Refusal) -> RuntimeError {
    RuntimeError::Failed {
        runtime: NAME,
        action,
        detail: refusal.to_string(),
    }
}

fn unexpected(action: &'static str, answer: &Answer) -> RuntimeError {
    RuntimeError::Failed {
        runtime: NAME,
        action,
        detail: format!("the keeper answered {answer:?}"),
    }
}

/// Something failed on this side of the keeper's socket.
fn local(action: &'static str, error: &std::io::Error) -> RuntimeError {
    RuntimeError::Failed {
        runtime: NAME,
        action,
        detail: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
