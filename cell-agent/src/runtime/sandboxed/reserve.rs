//! A reservation becomes a sandbox: mounts and network are opened here and sent along.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cfx_sandbox::Spec;
use cfx_sandbox::message::{Answer, Request};
use cfx_sandbox::mounts::{Access, pick};
use cfx_sandbox::spec::{Limits, User as SandboxUser};
use cfx_sandbox::{Refusal, Sandbox};

use super::{NAME, START, Sandboxed, failed, local, no_images, stack, unexpected};
use crate::runtime::{
    Container, ContainerLimits, ContainerName, Mount, Reservation, RootFs, RuntimeError, User, etc,
};

const ACTION: &str = "start a sandbox";

impl Sandboxed {
    pub(super) async fn start(&self, reservation: &Reservation) -> Result<Container, RuntimeError> {
        let (stack, user) = root(reservation)?;
        let spec = spec(reservation, stack, user);
        let name = reservation.name;
        let (directory, reservation) = (self.etc_directory(name), reservation.clone());
        let opened = tokio::task::spawn_blocking(move || open(&directory, &reservation)).await;
        let opened = opened.map_err(|error| local(ACTION, &io::Error::other(error)))?;
        let (targets, files) = opened.map_err(|error| local("open its mounts", &error))?;
        let request = Request::Start(Box::new(Spec { targets, ..spec }));
        let sandbox = self.start_on(stack, request, &files).await?;
        if sandbox.ended.is_none() {
            // Of one that has just ended there is nothing to count.
            self.counters.open(name, sandbox.pid);
        }
        let unnamed = unnamed(&sandbox);
        super::container(sandbox).ok_or(unnamed)
    }

    /// A keeper that is new has to learn the stack first.
    async fn start_on(
        &self,
        stack: &str,
        request: Request,
        files: &[OwnedFd],
    ) -> Result<Sandbox, RuntimeError> {
        self.define(stack).await?;
        let mut asked = self
            .keeper
            .ask(request.clone(), files, ACTION, START)
            .await?;
        if let Err(Refusal::NoStack(_)) = asked {
            self.define(stack).await?;
            asked = self.keeper.ask(request, files, ACTION, START).await?;
        }
        match asked {
            Ok(Answer::Sandbox(sandbox)) => Ok(sandbox),
            Ok(other) => Err(unexpected(ACTION, &other)),
            Err(refusal) => Err(failed(ACTION, &refusal)),
        }
    }

    /// Tell the keeper of the stack, once for each keeper and agent.
    async fn define(&self, stack: &str) -> Result<(), RuntimeError> {
        let line = self.keeper.line().await?;
        let mut known = line.stacks.lock().await;
        if known.contains(stack) {
            return Ok(());
        }
        let (config, launcher) = (self.config.clone(), self.launcher.clone());
        let name = stack.to_owned();
        let opened = tokio::task::spawn_blocking(move || stack::open(&config, &launcher, &name));
        let opened = opened.await;
        let opened = opened.map_err(|error| local(ACTION, &io::Error::other(error)))??;
        let request = Request::Define {
            name: stack.to_owned(),
            targets: opened.targets,
        };
        let action = "define a stack";
        match line.ask(&request, &opened.files, action, START).await? {
            Some(Ok(_)) => {
                known.insert(stack.to_owned());
                Ok(())
            }
            Some(Err(refusal)) => Err(failed(action, &refusal)),
            // The start will find the next keeper, which knows nothing, and come here again.
            None => Ok(()),
        }
    }

    pub(super) fn etc_directory(&self, name: ContainerName) -> PathBuf {
        self.config.directory.join("etc").join(name.to_string())
    }
}

fn root(reservation: &Reservation) -> Result<(&str, User), RuntimeError> {
    match (&reservation.root, reservation.user) {
        (RootFs::Stack(stack), Some(user)) => Ok((stack, user)),
        (RootFs::Stack(stack), None) => Err(RuntimeError::NoRoot {
            what: format!("stack `{stack}`"),
            detail: "a sandbox needs a user of its own".to_owned(),
        }),
        (RootFs::Image { reference, .. }, _) => Err(no_images(reference)),
    }
}

fn spec(reservation: &Reservation, stack: &str, user: User) -> Spec {
    let ContainerLimits {
        memory_bytes,
        cpu_shares,
        pids,
        fds,
    } = reservation.limits;
    Spec {
        name: reservation.name.to_string(),
        stack: stack.to_owned(),
        hostname: reservation.hostname.clone(),
        user: SandboxUser {
            uid: user.uid,
            gid: user.gid,
        },
        limits: Limits {
            memory_bytes,
            cpu_shares,
            pids,
            fds,
        },
        has_network: reservation.network.is_some(),
        targets: Vec::new(),
        program: vec![cfx_launcher::LAUNCHER.to_owned()],
        slot: reservation.slot.clone(),
        labels: reservation.labels.clone(),
    }
}

/// What goes along with the request: the network, then the mounts, with where each goes.
fn open(directory: &Path, reservation: &Reservation) -> io::Result<(Vec<PathBuf>, Vec<OwnedFd>)> {
    let network = reservation.network.as_ref().map(File::open).transpose()?;
    let mut files: Vec<OwnedFd> = network.map(OwnedFd::from).into_iter().collect();
    let slot = Mount {
        source: reservation.slot.clone(),
        target: cfx_launcher::SLOT.into(),
        read_only: false,
    };
    let mut targets = Vec::new();
    let own = etc::write(directory, reservation)?
        .into_iter()
        .chain([slot]);
    for mount in own.chain(reservation.mounts.iter().cloned()) {
        files.push(pick_mount(&mount)?);
        targets.push(mount.target);
    }
    Ok((targets, files))
}

fn pick_mount(mount: &Mount) -> io::Result<OwnedFd> {
    let access = if mount.read_only {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    };
    let told = |error| io::Error::other(format!("{}: {error}", mount.source.display()));
    pick(&mount.source, access).map_err(told)
}

fn unnamed(sandbox: &Sandbox) -> RuntimeError {
    RuntimeError::Failed {
        runtime: NAME,
        action: ACTION,
        detail: format!("the keeper has a sandbox of the name {}", sandbox.name),
    }
}
