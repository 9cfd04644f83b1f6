//! Deleting blobs that no record names any more. A reconciler: it takes no input, looks at the
//! whole state and the whole folder, and is right whenever it runs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::Blobs;
use crate::state::State;
use crate::state::app::App;
use crate::state::build::Build;
use crate::state::buildpack::Buildpack;
use crate::state::droplet::{Droplet, DropletContent};
use crate::state::package::{Package, PackageContent};

/// Age below which a blob is left alone: the record that names it may be on its way, and a cell
/// may be about to download what has just been deleted.
pub const GRACE: Duration = Duration::from_secs(60 * 60);
/// Most bytes of the cache of matched files; the oldest go first.
const MATCHING_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    pub blobs: usize,
    pub matched_files: usize,
    pub bytes: u64,
}

/// The digests that records name.
#[must_use]
pub fn named(state: &State) -> BTreeSet<String> {
    let packages = state.all::<Package>().filter_map(|it| match &it.content {
        PackageContent::Bits { blob } => blob.as_ref(),
        PackageContent::Docker { .. } => None,
    });
    let droplets = state.all::<Droplet>().filter_map(|it| match &it.content {
        DropletContent::Buildpack { blob, .. } => blob.as_ref(),
        DropletContent::Docker { .. } => None,
    });
    let buildpacks = state.all::<Buildpack>().filter_map(|it| it.blob.as_ref());
    let caches = state.all::<App>().flat_map(|app| app.build_caches.values());
    let uploads = state
        .all::<Build>()
        .flat_map(|build| build.uploaded.iter().chain(build.uploaded_cache.iter()));
    let mut named: BTreeSet<String> = packages
        .chain(droplets)
        .chain(buildpacks)
        .chain(caches)
        .chain(uploads)
        .map(|facts| facts.sha256.clone())
        .collect();
    // What a build began with it may still download, whatever became of the buildpack.
    for work in state.all::<Build>().filter_map(|build| build.work.as_ref()) {
        named.insert(work.package.sha256.clone());
        named.extend(work.buildpacks.iter().map(|it| it.blob.sha256.clone()));
        named.extend(work.cache.clone());
    }
    named
}

impl Blobs {
    /// One round. `now` is the wall clock, as the file system has it.
    pub fn collect(&self, state: &State, now: Timestamp) -> io::Result<Collected> {
        let named = named(state);
        let mut collected = Collected::default();
        for file in files(&self.0.kept)? {
            let unnamed = file.name.as_ref().is_none_or(|name| !named.contains(name));
            if unnamed && file.age(now) > GRACE && fs::remove_file(&file.path).is_ok() {
                collected.blobs += 1;
                collected.bytes += file.size_bytes;
            }
        }
        self.trim_matching(&mut collected)?;
        Ok(collected)
    }

    fn trim_matching(&self, collected: &mut Collected) -> io::Result<()> {
        let mut found = files(&self.0.matching)?;
        found.sort_by_key(|file| file.modified);
        let mut total: u64 = found.iter().map(|file| file.size_bytes).sum();
        for file in found {
            if total <= MATCHING_MAX_BYTES {
                break;
            }
            if fs::remove_file(&file.path).is_ok() {
                total -= file.size_bytes;
                collected.matched_files += 1;
                collected.bytes += file.size_bytes;
            }
        }
        Ok(())
    }
}

struct Found {
    path: PathBuf,
    name: Option<String>,
    size_bytes: u64,
    modified: Timestamp,
}

impl Found {
    fn age(&self, now: Timestamp) -> Duration {
        let age = now.duration_since(self.modified);
        Duration::try_from(age).unwrap_or_default()
    }
}

/// The files of all 256 folders. One that vanishes meanwhile is none.
fn files(root: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for folder in fs::read_dir(root)? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in fs::read_dir(folder)? {
            let file = file?;
            let Ok(facts) = file.metadata() else { continue };
            let modified = facts
                .modified()
                .ok()
                .and_then(|at| Timestamp::try_from(at).ok());
            found.push(Found {
                path: file.path(),
                name: file.file_name().into_string().ok(),
                size_bytes: facts.len(),
                // One without a time is never old enough.
                modified: modified.unwrap_or(Timestamp::MAX),
            });
        }
    }
    Ok(found)
}
