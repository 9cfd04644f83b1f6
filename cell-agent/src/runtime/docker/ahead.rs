//! Containers made ahead: started as nobody's, made somebody's in milliseconds.
//!
//! Whatever `create` gives a container and can be changed from outside is changed: the small files
//! of /etc by writing into them, limits in the control groups, the host name at its first process.
//! What cannot be changed, its user and how many files it may open among it, it must have. Its name in the engine changes last: before that it is nobody's, after that it is
//! the instance's, whatever agent looks. Its labels cannot change, so they lie beside its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bollard::query_parameters::RenameContainerOptionsBuilder;
use nix::sched::{CloneFlags, setns};
use tokio::sync::oneshot;

use super::spec::container_name;
use super::{Docker, call, local};
use crate::runtime::cgroup::Groups;
use crate::runtime::{
    Container, ContainerLimits, ContainerName, Mount, Reservation, RootFs, RuntimeError, etc,
    limits,
};

/// Labels of a container that was made ahead, as JSON.
const LABELS_FILE: &str = "labels";
/// Which build of its stack it was made of: by the time it is dressed there may be a newer one.
const LABEL_BUILD: &str = "build";

impl Docker {
    pub(super) async fn make_ahead(
        &self,
        reservation: &Reservation,
        home: &Mount,
    ) -> Result<Container, RuntimeError> {
        let mut reservation = reservation.clone();
        let build = self.build_of(&reservation).await?;
        reservation.labels.insert(LABEL_BUILD.to_owned(), build);
        let container = self.create_and_start(&reservation, Some(home)).await?;
        self.ahead
            .lock()
            .insert(reservation.name, container.clone());
        Ok(container)
    }

    /// Which build of its stack a reservation gets now.
    async fn build_of(&self, reservation: &Reservation) -> Result<String, RuntimeError> {
        match &reservation.root {
            RootFs::Stack(stack) => self.stack_build(stack).await,
            RootFs::Image { reference, .. } => Ok(reference.clone()),
        }
    }

    pub(super) async fn dress_ahead(
        &self,
        ahead: ContainerName,
        reservation: &Reservation,
    ) -> Result<Container, RuntimeError> {
        let known = self.ahead.lock().remove(&ahead);
        let waiting = match known {
            Some(container) => container,
            None => self.look_at(ahead).await?,
        };
        let build = self.build_of(reservation).await?;
        if waiting.labels.get(LABEL_BUILD) != Some(&build) {
            return Err(RuntimeError::NoRoot {
                what: build,
                detail: "what waits was made of another build of the stack".to_owned(),
            });
        }
        let gone = RuntimeError::NoContainer(ahead);
        let Some(pid) = waiting.pid else {
            return Err(gone);
        };
        // It may have ended since, and its number may be another process's.
        if !Groups::of(pid).is_ok_and(|groups| groups.are_of(&waiting.id)) {
            return Err(gone);
        }
        self.pass_files_on(ahead, reservation)
            .map_err(|error| local("write an instance's files", &error))?;
        change(pid, reservation)
            .await
            .map_err(|error| local("limit a container", &error))?;
        self.rename(ahead, reservation.name).await?;
        if !self.counters.rename(ahead, reservation.name) {
            self.counters.open(reservation.name, pid);
        }
        Ok(Container {
            name: reservation.name,
            labels: reservation.labels.clone(),
            ..waiting
        })
    }

    /// Mounted files are written in place, and stay mounted wherever their folder goes.
    fn pass_files_on(&self, ahead: ContainerName, reservation: &Reservation) -> io::Result<()> {
        let (old, new) = (
            self.etc_directory(ahead),
            self.etc_directory(reservation.name),
        );
        etc::write(&old, reservation)?;
        let labels = serde_json::to_vec(&reservation.labels)?;
        std::fs::write(old.join(LABELS_FILE), labels)?;
        match std::fs::remove_dir_all(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::rename(old, new)
    }

    async fn rename(&self, from: ContainerName, to: ContainerName) -> Result<(), RuntimeError> {
        let options = RenameContainerOptionsBuilder::default()
            .name(&container_name(to))
            .build();
        let from = container_name(from);
        let renamed = self.engine.rename_container(&from, options);
        call::bounded("rename a container", call::INSPECT, renamed).await
    }

    /// The labels that a container got after it was made; none for one that was made as it is.
    pub(super) fn later_labels(&self, name: ContainerName) -> Option<BTreeMap<String, String>> {
        let bytes = std::fs::read(self.etc_directory(name).join(LABELS_FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Everything that is changed at the processes of a container. In a thread of its own, which enters
/// the container's host name and ends there.
async fn change(pid: u32, reservation: &Reservation) -> io::Result<()> {
    let (hostname, limits) = (reservation.hostname.clone(), reservation.limits);
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("dress a cell".to_owned())
        .spawn(move || {
            // Nobody waits any more when the agent is going down.
            if sender.send(change_here(pid, &hostname, &limits)).is_err() {
                tracing::debug!("nobody waited for a container to be dressed");
            }
        })?;
    let ended = |_| Err(io::Error::other("the thread ended early"));
    receiver.await.unwrap_or_else(ended)
}

fn change_here(pid: u32, hostname: &str, limits: &ContainerLimits) -> io::Result<()> {
    limits::set(pid, limits)?;
    let namespace = File::open(format!("/proc/{pid}/ns/uts"))?;
    let own = std::fs::metadata(Path::new("/proc/self/ns/uts"))?;
    if namespace.metadata()?.ino() == own.ino() {
        return Err(io::Error::other("the container has the machine's own name"));
    }
    setns(namespace, CloneFlags::CLONE_NEWUTS)?;
    nix::unistd::sethostname(hostname)?;
    Ok(())
}
