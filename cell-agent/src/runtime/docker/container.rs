//! The life of one container: create, start, look, kill, remove. Each step may be repeated.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures_util::stream::{StreamExt, TryStreamExt};
use nix::errno::Errno;
use nix::unistd::Pid;

use super::spec::{LABEL_CELL, container_name, instance_of, own_labels};
use super::{Docker, call, layer, local, spec};
use crate::runtime::cgroup::Groups;
use crate::runtime::{
    Container, ContainerName, ExitRecord, Mount, Reservation, RootFs, RuntimeError, Signal, etc,
};

/// Containers looked at together while adopting: the daemon answers from memory.
const ADOPT_TOGETHER: usize = 16;

impl Docker {
    pub(super) async fn create_and_start(
        &self,
        reservation: &Reservation,
        home: Option<&Mount>,
    ) -> Result<Container, RuntimeError> {
        let name = container_name(reservation.name);
        self.create(reservation, home, &name).await?;
        if let Some(target) = &reservation.layer {
            self.limit_layer(reservation.name, target).await?;
        }
        let started = call::plain(
            "start a container",
            call::START,
            self.engine.start_container(&name, None),
        )
        .await?;
        match started {
            Ok(()) => {}
            // Started before, by an agent that did not live to see it.
            Err(error) if call::status(&error) == Some(304) => {}
            Err(error) => return Err(call::failed("start a container", &error)),
        }
        let container = self.look_at(reservation.name).await?;
        if let Some(pid) = container.pid {
            // Whoever has ended by now is noticed by its end.
            self.counters.open(reservation.name, pid);
        }
        Ok(container)
    }

    async fn create(
        &self,
        reservation: &Reservation,
        home: Option<&Mount>,
        name: &str,
    ) -> Result<(), RuntimeError> {
        let (image, root_mounts) = match &reservation.root {
            RootFs::Stack(stack) => self.stack_image(stack).await?,
            RootFs::Image {
                reference,
                credentials,
            } => {
                let credentials = credentials.as_ref();
                let login = credentials.map(|(name, password)| (name.as_str(), password.as_str()));
                let image = self.ensure_image(reference, login).await?;
                let declared = image.volumes.unwrap_or_default();
                let volumes = layer::volumes(&declared, reservation.layer.as_deref())
                    .map_err(|error| local("make an image's volumes", &error))?;
                (reference.clone(), volumes)
            }
        };
        let directory = self.etc_directory(reservation.name);
        let files = etc::write(&directory, reservation)
            .map_err(|error| local("write an instance's files", &error))?;
        let mut mounts = root_mounts;
        mounts.extend(files);
        mounts.extend(spec::platform_mounts(&self.config.launcher, reservation));
        mounts.extend(reservation.mounts.iter().cloned());
        let body = spec::create_body(self.config.cell, reservation, &image, mounts, home);
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let action = "create a container";
        let created = call::plain(
            action,
            call::CREATE,
            self.engine.create_container(Some(options), body),
        )
        .await?;
        match created {
            Ok(_) => Ok(()),
            Err(error) => match call::status(&error) {
                // It is there, made by an agent that did not live to start it, or by a call that
                // was given up too early.
                Some(409) => Ok(()),
                Some(404) => Err(RuntimeError::NoRoot {
                    what: image,
                    detail: error.to_string(),
                }),
                _ => Err(call::failed(action, &error)),
            },
        }
    }

    /// Before the first start; what has started keeps what it has.
    async fn limit_layer(&self, name: ContainerName, target: &Path) -> Result<(), RuntimeError> {
        let about = self.inspect(name).await?;
        let state = about.state.as_ref().and_then(|state| state.status);
        if state != Some(ContainerStateStatusEnum::CREATED) {
            return Ok(());
        }
        let Some(folder) = layer::folder(&about) else {
            tracing::warn!(%name, "the engine's storage lets nobody limit what a container writes");
            return Ok(());
        };
        layer::limit(&folder, target, &self.etc_directory(name))
            .map_err(|error| local("limit a container's layer", &error))
    }

    async fn inspect(&self, name: ContainerName) -> Result<ContainerInspectResponse, RuntimeError> {
        let id = container_name(name);
        let action = "inspect a container";
        call::plain(
            action,
            call::INSPECT,
            self.engine.inspect_container(&id, None),
        )
        .await?
        .map_err(|error| no_container(name, action, &error))
    }

    pub(super) async fn look_at(&self, name: ContainerName) -> Result<Container, RuntimeError> {
        let about = self.inspect(name).await?;
        let mut container = container(name, &about);
        if let Some(labels) = self.later_labels(name) {
            container.labels = labels;
        }
        Ok(container)
    }

    pub(super) async fn pid(&self, name: ContainerName) -> Result<Option<u32>, RuntimeError> {
        Ok(pid(self.inspect(name).await?.state.as_ref()))
    }

    pub(super) async fn ended(
        &self,
        name: ContainerName,
    ) -> Result<Option<ExitRecord>, RuntimeError> {
        let state = self.inspect(name).await?.state.unwrap_or_default();
        if is_alive(&state) {
            return Ok(None);
        }
        let status = state.exit_code.unwrap_or_default();
        Ok(Some(ExitRecord {
            status: i32::try_from(status).unwrap_or(i32::MAX),
            out_of_memory: state.oom_killed.unwrap_or(false),
        }))
    }

    /// Straight to the process: the engine would start two programs to do the same.
    pub(super) async fn kill(
        &self,
        name: ContainerName,
        signal: Signal,
    ) -> Result<(), RuntimeError> {
        let about = self.inspect(name).await?;
        let id = about.id.as_deref().unwrap_or_default();
        let Some(pid) = pid(about.state.as_ref()) else {
            // It has ended already, which is what a signal is for.
            return Ok(());
        };
        if !Groups::of(pid).is_ok_and(|groups| groups.are_of(id)) {
            return Ok(());
        }
        let signal = match signal {
            Signal::Term => nix::sys::signal::Signal::SIGTERM,
            Signal::Kill => nix::sys::signal::Signal::SIGKILL,
        };
        let process = Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX));
        match nix::sys::signal::kill(process, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(local("signal a container", &error.into())),
        }
    }

    pub(super) async fn list(&self) -> Result<Vec<Container>, RuntimeError> {
        let label = format!("{LABEL_CELL}={}", self.config.cell);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&HashMap::from([("label", vec![label])]))
            .build();
        let listed = call::bounded(
            "list containers",
            call::LIST,
            self.engine.list_containers(Some(options)),
        )
        .await?;
        let names = listed.into_iter().filter_map(|one| {
            let names = one.names?;
            names.iter().find_map(|name| instance_of(name))
        });
        let found: Vec<Option<Container>> = futures_util::stream::iter(names)
            .map(|name| async move {
                match self.look_at(name).await {
                    Ok(container) => Ok(Some(container)),
                    // Removed since it was listed.
                    Err(RuntimeError::NoContainer(_)) => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .buffer_unordered(ADOPT_TOGETHER)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    pub(super) async fn remove(&self, name: ContainerName) -> Result<(), RuntimeError> {
        let directory = self.etc_directory(name);
        layer::release(&directory).map_err(|error| local("release a layer", &error))?;
        let id = container_name(name);
        let action = "remove a container";
        // Never closed: an error is no reason not to remove.
        let _turn = self.removals.acquire().await.ok();
        // `v`: volumes that the image declares are made without anybody asking for them.
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        let removed = call::plain(
            action,
            call::REMOVE,
            self.engine.remove_container(&id, Some(options)),
        );
        match removed.await? {
            Ok(()) => {}
            Err(error) if call::status(&error) == Some(404) => {}
            // Also 409, while an earlier call is still at it: that one may fail, and then the
            // container stays for whoever asks again.
            Err(error) => return Err(call::failed(action, &error)),
        }
        match std::fs::remove_dir_all(directory) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(local("remove an instance's files", &error)),
        }
    }

    pub(super) fn etc_directory(&self, name: ContainerName) -> PathBuf {
        self.config.directory.join("etc").join(name.to_string())
    }
}

fn container(name: ContainerName, about: &ContainerInspectResponse) -> Container {
    let labels = about
        .config
        .as_ref()
        .and_then(|config| config.labels.as_ref())
        .map(own_labels)
        .unwrap_or_default();
    Container {
        name,
        id: about.id.clone().unwrap_or_default(),
        pid: pid(about.state.as_ref()),
        labels,
    }
}

fn pid(state: Option<&ContainerState>) -> Option<u32> {
    let state = state.filter(|state| is_alive(state))?;
    u32::try_from(state.pid?).ok().filter(|pid| *pid != 0)
}

/// A container that was never started has not ended either.
fn is_alive(state: &ContainerState) -> bool {
    use ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::EXITED | Status::DEAD | Status::REMOVING) => false,
        Some(_) => true,
        None => state.running.unwrap_or(false),
    }
}

fn no_container(name: ContainerName, action: &'static str, error: &Error) -> RuntimeError {
    match call::status(error) {
        Some(404) => RuntimeError::NoContainer(name),
        _ => call::failed(action, error),
    }
}
