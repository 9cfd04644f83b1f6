//! The Docker Engine as a runtime. The only place that speaks to it.
//!
//! Every call has its own deadline, so that a hanging daemon is seen and never waited for. The
//! engine only holds containers: output, environment, addresses and counters do not pass through
//! it, no port is published, and it never restarts anything.

mod ahead;
mod call;
mod container;
mod events;
mod host_image;
mod image;
mod layer;
mod spec;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use cfx_process::clock::Clock;
use cfx_process::supervisor::Supervisor;
use cfx_protocol::id::CellGuid;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore, mpsc};

use super::cgroup::Book;
use super::{
    Container, ContainerName, ExitRecord, ImageDefaults, Mount, Reservation, Runtime, RuntimeError,
    Sample, Signal,
};

/// Where Debian's engine listens.
pub const SOCKET_DEFAULT: &str = "/var/run/docker.sock";
/// A removal mostly waits for the kernel.
const REMOVALS_PER_CORE: usize = 4;

/// The name that errors and registrations carry.
const NAME: &str = "docker";

#[derive(Debug, Clone)]
pub struct DockerConfig {
    pub socket: PathBuf,
    /// Containers carry it as a label: two cells may share one engine.
    pub cell: CellGuid,
    /// The launcher on this machine, from `slot::launcher::install`.
    pub launcher: PathBuf,
    /// Where the runtime keeps the small files it mounts; only root may reach it.
    pub directory: PathBuf,
    /// Offer the stack made of this machine's own folders: for local use.
    pub host_stack: bool,
}

/// One engine, seen from one cell.
#[derive(Debug)]
pub struct Docker {
    config: DockerConfig,
    engine: bollard::Docker,
    host_image: OnceCell<host_image::HostImage>,
    counters: Book,
    /// Containers that wait as nobody's.
    ahead: Mutex<HashMap<ContainerName, Container>>,
    /// Removals at once: hundreds together keep the engine from seeing that anything has ended.
    removals: Semaphore,
    exits: Mutex<Option<mpsc::Receiver<ContainerName>>>,
}

impl Docker {
    /// Connect and agree on a version of the API.
    pub async fn connect(
        mut config: DockerConfig,
        supervisor: &Supervisor,
        clock: Clock,
    ) -> Result<Arc<Self>, RuntimeError> {
        let engine = call::connect(&config.socket).await?;
        config.directory =
            super::own_folder(&config.directory).map_err(|error| RuntimeError::Failed {
                runtime: NAME,
                action: "make the runtime's folder",
                detail: error.to_string(),
            })?;
        let exits = events::follow(engine.clone(), config.cell, supervisor, clock);
        Ok(Arc::new(Self {
            config,
            engine,
            host_image: OnceCell::new(),
            counters: Book::new(),
            ahead: Mutex::default(),
            removals: Semaphore::new(removals_at_once()),
            exits: Mutex::new(Some(exits)),
        }))
    }
}

fn removals_at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores * REMOVALS_PER_CORE
}

/// Something failed on this side of the engine's socket.
fn local(action: &'static str, error: &std::io::Error) -> RuntimeError {
    RuntimeError::Failed {
        runtime: NAME,
        action,
        detail: error.to_string(),
    }
}

#[async_trait]
impl Runtime for Docker {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn ping(&self) -> Result<(), RuntimeError> {
        call::bounded("answer", call::PING, self.engine.ping())
            .await
            .map(drop)
    }

    async fn stacks(&self) -> Result<Vec<String>, RuntimeError> {
        self.list_stacks().await
    }

    async fn image(
        &self,
        reference: &str,
        credentials: Option<(&str, &str)>,
    ) -> Result<ImageDefaults, RuntimeError> {
        let config = self.ensure_image(reference, credentials).await?;
        Ok(image::defaults(config))
    }

    async fn reserve(&self, reservation: &Reservation) -> Result<Container, RuntimeError> {
        self.create_and_start(reservation, None).await
    }

    fn makes_ahead(&self) -> bool {
        true
    }

    async fn reserve_ahead(
        &self,
        reservation: &Reservation,
        home: &Mount,
    ) -> Result<Container, RuntimeError> {
        self.make_ahead(reservation, home).await
    }

    async fn dress(
        &self,
        ahead: ContainerName,
        reservation: &Reservation,
    ) -> Result<Container, RuntimeError> {
        self.dress_ahead(ahead, reservation).await
    }

    async fn signal(&self, name: ContainerName, signal: Signal) -> Result<(), RuntimeError> {
        self.kill(name, signal).await
    }

    async fn exit_record(&self, name: ContainerName) -> Result<Option<ExitRecord>, RuntimeError> {
        self.ended(name).await
    }

    async fn sample(&self, name: ContainerName) -> Result<Sample, RuntimeError> {
        if !self.counters.has(name)
            && let Some(pid) = self.pid(name).await?
        {
            self.counters.open(name, pid);
        }
        self.counters.sample(name)
    }

    async fn adopt(&self) -> Result<Vec<Container>, RuntimeError> {
        self.list().await
    }

    async fn release(&self, name: ContainerName) -> Result<(), RuntimeError> {
        self.counters.close(name);
        self.ahead.lock().remove(&name);
        self.remove(name).await
    }

    fn exits(&self) -> mpsc::Receiver<ContainerName> {
        // Taken twice, the second one is closed: hints go to one receiver.
        self.exits
            .lock()
            .take()
            .unwrap_or_else(|| mpsc::channel(1).1)
    }
}

#[cfg(test)]
mod tests;
