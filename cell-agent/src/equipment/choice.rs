//! Which runtime a cell has: the one it was told to have, or what answers.
//!
//! A cell keeps the runtime that its instances are on while that answers, whatever else has come to
//! the machine meanwhile. When it changes, what the other one still runs is ended: nobody would ever
//! look after it again.

use std::path::Path;
use std::sync::Arc;

use cfx_process::clock::Clock;
use cfx_process::durable_file::{self, MODE_PUBLIC};
use cfx_process::supervisor::Supervisor;

use super::{EquipmentConfig, EquipmentError};
use crate::hooks::told;
use crate::runtime::docker::{Docker, DockerConfig};
use crate::runtime::sandboxed::{SandboxConfig, Sandboxed};
use crate::runtime::{Runtime, RuntimeError};
use crate::slot::launcher;

/// Which one a cell has, in its folder.
const FILE: &str = "runtime";

/// What a cell is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RuntimeChoice {
    /// Docker when it answers, else sandboxes.
    #[default]
    Auto,
    Docker,
    Sandbox,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Docker,
    Sandbox,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Sandbox => "sandbox",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Docker, Self::Sandbox]
            .into_iter()
            .find(|kind| kind.name() == name.trim())
    }
}

pub(super) async fn choose(
    config: &EquipmentConfig,
    supervisor: &Supervisor,
    clock: &Clock,
) -> Result<Arc<dyn Runtime>, EquipmentError> {
    let maker = Maker {
        config,
        supervisor,
        clock,
    };
    let file = config.data.join(FILE);
    let io = |action| move |source| EquipmentError::Io { action, source };
    let kept = durable_file::read(&file).map_err(io("read which runtime the cell has"))?;
    let before = kept.and_then(|text| Kind::of(&String::from_utf8_lossy(&text)));
    let (kind, runtime) = match config.runtime {
        RuntimeChoice::Docker => (Kind::Docker, maker.docker().await?),
        RuntimeChoice::Sandbox => (Kind::Sandbox, maker.sandbox().await?),
        RuntimeChoice::Auto => maker.what_answers(before).await?,
    };
    if before == Some(kind) {
        return Ok(runtime);
    }
    if let Some(before) = before {
        maker.leave(before).await;
    }
    keep(&file, kind).map_err(io("keep which runtime the cell has"))?;
    Ok(runtime)
}

fn keep(file: &Path, kind: Kind) -> std::io::Result<()> {
    durable_file::write(file, format!("{}\n", kind.name()).as_bytes(), MODE_PUBLIC)
}

struct Maker<'a> {
    config: &'a EquipmentConfig,
    supervisor: &'a Supervisor,
    clock: &'a Clock,
}

impl Maker<'_> {
    async fn what_answers(
        &self,
        before: Option<Kind>,
    ) -> Result<(Kind, Arc<dyn Runtime>), EquipmentError> {
        if before == Some(Kind::Sandbox)
            && let Ok(runtime) = self.sandbox().await
        {
            return Ok((Kind::Sandbox, runtime));
        }
        let docker = match self.open_docker().await {
            Ok(runtime) => return Ok((Kind::Docker, runtime)),
            Err(error) => error,
        };
        match self.open_sandbox().await {
            Ok(runtime) => Ok((Kind::Sandbox, runtime)),
            Err(sandbox) => Err(EquipmentError::NoRuntime {
                docker: told(&docker),
                sandbox,
            }),
        }
    }

    /// End what nobody will look after. What cannot be reached now stays, and is told.
    async fn leave(&self, kind: Kind) {
        let left = match self.make(kind).await {
            Ok(runtime) => release_all(&*runtime).await,
            Err(error) => Err(error),
        };
        if let Err(error) = left {
            let (error, runtime) = (told(&error), kind.name());
            tracing::warn!(
                error,
                runtime,
                "instances on the cell's earlier runtime may still run"
            );
        }
    }

    async fn make(&self, kind: Kind) -> Result<Arc<dyn Runtime>, RuntimeError> {
        match kind {
            Kind::Docker => self.open_docker().await,
            Kind::Sandbox => self.open_sandbox().await,
        }
    }

    async fn docker(&self) -> Result<Arc<dyn Runtime>, EquipmentError> {
        self.open_docker().await.map_err(EquipmentError::NoDocker)
    }

    async fn sandbox(&self) -> Result<Arc<dyn Runtime>, EquipmentError> {
        self.open_sandbox().await.map_err(EquipmentError::NoSandbox)
    }

    async fn open_docker(&self) -> Result<Arc<dyn Runtime>, RuntimeError> {
        let launcher = launcher::install(&self.config.data.join("launcher"));
        let docker = DockerConfig {
            socket: self.config.docker_socket.clone(),
            cell: self.config.cell,
            launcher: launcher.map_err(|error| RuntimeError::Failed {
                runtime: Kind::Docker.name(),
                action: "install the launcher",
                detail: error.to_string(),
            })?,
            directory: self.config.data.join("docker"),
            host_stack: self.config.host_stack,
        };
        let docker = Docker::connect(docker, self.supervisor, self.clock.clone()).await?;
        // A socket may be there and nobody behind it.
        docker.ping().await?;
        Ok(docker)
    }

    async fn open_sandbox(&self) -> Result<Arc<dyn Runtime>, RuntimeError> {
        let sandbox = SandboxConfig {
            cell: self.config.cell,
            directory: self.config.data.join("sandbox"),
            stacks: self.config.stacks.clone(),
            host_stack: self.config.host_stack,
        };
        Ok(Sandboxed::open(sandbox, self.supervisor).await?)
    }
}

async fn release_all(runtime: &dyn Runtime) -> Result<(), RuntimeError> {
    for container in runtime.adopt().await? {
        runtime.release(container.name).await?;
    }
    Ok(())
}
