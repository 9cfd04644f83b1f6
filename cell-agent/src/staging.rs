//! Turns a package into a droplet, inside a container like any task.
//!
//! ```text
//! before:  fetch    package, buildpacks, build cache from the controller, into a private folder
//!          lay_out  package at /tmp/app, cache at /tmp/cache, on the instance's own volume
//! inside:  builder.sh speaks the classic buildpack interface and ends with a status
//! after:   conclude reads what it left, packs ./app ./deps ... and uploads the droplet
//! ```
//! What comes out of the container is the app's word: it is read without following links, under
//! limits, and never executed here.

mod builder;
mod fetch;
mod outcome;
mod pack;
mod release;
mod unzip;

use std::path::PathBuf;

use cfx_process::clock::Clock;
use cfx_process::http_client::{InternalClient, LinkError};
use cfx_protocol::desired::{Owner, StagingWork};
use cfx_protocol::id::InstanceGuid;

use crate::droplet_cache::CacheError;
use crate::droplet_cache::tree::UnpackError;
use crate::hooks::ground::Disk;
use crate::logs::Outbox;
use crate::runtime::{Mount, User};

pub use builder::{builder_command, builder_env};
pub use outcome::conclude;
pub use release::start_command;

#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    #[error("the {what} cannot be had")]
    Fetch {
        what: &'static str,
        source: CacheError,
    },
    #[error("the {what} cannot be unpacked")]
    Unpack {
        what: &'static str,
        source: UnpackError,
    },
    #[error("the droplet cannot be uploaded")]
    Upload(#[from] LinkError),
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        source: std::io::Error,
    },
    #[error("{0}")]
    Result(String),
}

/// Stages on one cell; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Stager {
    /// One private folder for each staging, by the name of its instance.
    directory: PathBuf,
    client: InternalClient,
    outbox: Outbox,
    clock: Clock,
}

impl Stager {
    pub fn open(
        directory: PathBuf,
        client: InternalClient,
        outbox: Outbox,
        clock: Clock,
    ) -> std::io::Result<Self> {
        cfx_process::durable_file::create_private_folder(&directory)?;
        Ok(Self {
            directory,
            client,
            outbox,
            clock,
        })
    }

    /// Fetch everything a staging starts from.
    pub async fn fetch(
        &self,
        name: InstanceGuid,
        owner: &Owner,
        work: &StagingWork,
    ) -> Result<(), StagingError> {
        fetch::fetch(self, name, owner, work).await
    }

    /// Put package and cache where the builder expects them.
    pub async fn lay_out(
        &self,
        name: InstanceGuid,
        work: &StagingWork,
        disk: &Disk,
        user: User,
    ) -> Result<(), StagingError> {
        let (folder, tmp) = (self.folder(name), disk.tmp.clone());
        let has_cache = work.cache.is_some();
        let laid = move || fetch::lay_out(&folder, &tmp, user, has_cache);
        blocking("lay the package out", laid).await
    }

    /// The buildpacks, read-only.
    #[must_use]
    pub fn mounts(&self, name: InstanceGuid, _work: &StagingWork) -> Vec<Mount> {
        vec![Mount {
            source: self.folder(name).join(fetch::BUILDPACKS),
            target: PathBuf::from(builder::BUILDPACKS),
            read_only: true,
        }]
    }

    /// Delete what was fetched. Discarding what is not there succeeds.
    pub async fn discard(&self, name: InstanceGuid) {
        let folder = self.folder(name);
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the inputs of a staging could not be deleted");
            }
            _ => {}
        }
    }

    /// Names of all stagings of which a folder is left.
    #[must_use]
    pub fn list(&self) -> Vec<InstanceGuid> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten();
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect()
    }

    fn folder(&self, name: InstanceGuid) -> PathBuf {
        self.directory.join(name.to_string())
    }
}

async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, StagingError> + Send + 'static,
) -> Result<T, StagingError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StagingError::Io {
        action,
        source: std::io::Error::other(error),
    })?
}
