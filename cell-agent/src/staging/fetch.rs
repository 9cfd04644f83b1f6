//! Brings a staging's inputs onto the cell and lays them out for the builder.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use cfx_protocol::desired::{Owner, StagingWork};
use cfx_protocol::id::InstanceGuid;
use cfx_protocol::link::PREFIX;
use cfx_protocol::quantity::format_bytes;
use cfx_protocol::telemetry::{LogEnvelope, Stream};

use super::unzip::unzip;
use super::{Stager, StagingError, blocking};
use crate::droplet_cache::tree::{Limits, Links, Tree};
use crate::droplet_cache::untar::untar;
use crate::droplet_cache::{CacheError, Digest, download};
use crate::runtime::User;

/// Folder of the unpacked buildpacks, by their place in the list.
pub(super) const BUILDPACKS: &str = "buildpacks";
const PACKAGE: &str = "package.zip";
const CACHE: &str = "cache.tgz";

/// Limits of what is unpacked. Packages end at the volume's own size before they end at these.
const PACKAGE_LIMITS: Limits = Limits {
    entries: 500_000,
    bytes: 8 << 30,
};
const BUILDPACK_LIMITS: Limits = Limits {
    entries: 200_000,
    bytes: 4 << 30,
};
/// Largest build cache, packed: what does not fit is staged without.
const CACHE_MAX_BYTES: u64 = 2 << 30;

pub(super) async fn fetch(
    stager: &Stager,
    name: InstanceGuid,
    owner: &Owner,
    work: &StagingWork,
) -> Result<(), StagingError> {
    let folder = stager.folder(name);
    stager.discard(name).await;
    let made = fs::create_dir_all(folder.join(BUILDPACKS));
    made.map_err(|source| StagingError::Io {
        action: "make a folder",
        source,
    })?;
    let say = |text: String| stager.say(name, owner, &text);
    say("Downloading app package...".to_owned());
    let package = Digest {
        sha256: &work.package.sha256,
        size_bytes: work.package.size_bytes,
    };
    let path = format!("{PREFIX}/packages/{}", work.package.guid);
    let target = folder.join(PACKAGE);
    download(
        &stager.client,
        &path,
        Some(package),
        package.size_bytes,
        &target,
    )
    .await
    .map_err(|source| StagingError::Fetch {
        what: "app package",
        source,
    })?;
    say(format!(
        "Downloaded app package ({})",
        format_bytes(package.size_bytes)
    ));
    fetch_buildpacks(stager, &folder, work).await?;
    if work.cache.is_some() {
        fetch_cache(stager, &folder, owner, work, &say).await;
    }
    Ok(())
}

async fn fetch_buildpacks(
    stager: &Stager,
    folder: &Path,
    work: &StagingWork,
) -> Result<(), StagingError> {
    for (index, buildpack) in work.buildpacks.iter().enumerate() {
        let archive = folder.join("buildpack.zip");
        let blob = &buildpack.blob;
        let digest = Digest {
            sha256: &blob.sha256,
            size_bytes: blob.size_bytes,
        };
        let path = format!("{PREFIX}/buildpacks/{}", blob.guid);
        download(
            &stager.client,
            &path,
            Some(digest),
            blob.size_bytes,
            &archive,
        )
        .await
        .map_err(|source| StagingError::Fetch {
            what: "buildpack",
            source,
        })?;
        let target = folder.join(BUILDPACKS).join(index.to_string());
        blocking("unpack a buildpack", move || {
            let io = |source| StagingError::Io {
                action: "make a folder",
                source,
            };
            fs::create_dir(&target).map_err(io)?;
            let mut tree = Tree::new(target, BUILDPACK_LIMITS, Links::Inside, None);
            let unpacked = unzip(&archive, &mut tree);
            unpacked.map_err(|source| StagingError::Unpack {
                what: "buildpack",
                source,
            })?;
            fs::remove_file(&archive).map_err(io)
        })
        .await?;
    }
    Ok(())
}

/// A cache only makes staging faster: without it staging goes on.
async fn fetch_cache(
    stager: &Stager,
    folder: &Path,
    owner: &Owner,
    work: &StagingWork,
    say: &impl Fn(String),
) {
    say("Downloading build artifacts cache...".to_owned());
    let path = cache_path(owner, work);
    let target = folder.join(CACHE);
    let fetched = download(&stager.client, &path, None, CACHE_MAX_BYTES, &target).await;
    let digest_of = || async {
        let path = target.clone();
        let content = tokio::task::spawn_blocking(move || super::pack::sha256_of(&path)).await;
        content.ok().and_then(Result::ok)
    };
    let is_right = match &fetched {
        Ok(()) => digest_of().await == work.cache,
        Err(_) => false,
    };
    if is_right {
        say("Downloaded build artifacts cache".to_owned());
        return;
    }
    say("The build artifacts cache could not be used; staging without it".to_owned());
    if let Err(error @ CacheError::Io { .. }) = fetched {
        tracing::warn!(%error, "a build cache could not be stored");
    }
    // Nothing there is the state without a cache.
    drop(fs::remove_file(&target));
}

pub(super) fn cache_path(owner: &Owner, work: &StagingWork) -> String {
    let stack = percent(&work.stack);
    format!("{PREFIX}/build_caches/{}/{stack}", owner.app)
}

/// A stack's name as one part of a path.
fn percent(text: &str) -> String {
    let keep = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    text.bytes()
        .map(|byte| {
            if keep(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// Package and cache onto the volume, owned by the instance's user.
pub(super) fn lay_out(
    folder: &Path,
    tmp: &Path,
    user: User,
    has_cache: bool,
) -> Result<(), StagingError> {
    let app = owned_folder(&tmp.join("app"), user)?;
    let mut tree = Tree::new(app, PACKAGE_LIMITS, Links::Inside, Some(user));
    let unpacked = unzip(&folder.join(PACKAGE), &mut tree);
    unpacked.map_err(|source| StagingError::Unpack {
        what: "app package",
        source,
    })?;
    let cache = owned_folder(&tmp.join("cache"), user)?;
    let archive = folder.join(CACHE);
    if has_cache && archive.exists() {
        let mut tree = Tree::new(cache, PACKAGE_LIMITS, Links::Anywhere, Some(user));
        let file = fs::File::open(&archive).map_err(|source| StagingError::Io {
            action: "open the build cache",
            source,
        })?;
        let unpacked = untar(file, &mut tree);
        unpacked.map_err(|source| StagingError::Unpack {
            what: "build cache",
            source,
        })?;
    }
    Ok(())
}

fn owned_folder(path: &Path, user: User) -> Result<std::path::PathBuf, StagingError> {
    let made = fs::create_dir(path).and_then(|()| chown(path, Some(user.uid), Some(user.gid)));
    made.map_err(|source| StagingError::Io {
        action: "make a folder",
        source,
    })?;
    Ok(path.to_owned())
}

impl Stager {
    fn say(&self, name: InstanceGuid, owner: &Owner, text: &str) {
        self.outbox.push(LogEnvelope {
            timestamp_ns: self.outbox.now_ns(),
            app: owner.app,
            stream: Stream::Out,
            source_type: "STG".to_owned(),
            instance_index: 0,
            process: None,
            instance: Some(name),
            payload: text.as_bytes().to_vec(),
        });
    }
}
