//! Droplets, downloaded and unpacked once for all instances that run them.
//!
//! ```text
//! <directory>/boot               the boot of the machine that wrote what is here
//!             <sha256>/bytes     size when unpacked
//!                      home/     the droplet; every instance lays it beneath its own home
//! ```
//! A droplet that an instance uses is never evicted; of the others the longest unused go first.

mod download;
pub mod tree;
pub mod untar;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cfx_process::http_client::{InternalClient, LinkError};
use cfx_protocol::desired::BlobRef;
use cfx_protocol::id::{DropletGuid, InstanceGuid};
use cfx_protocol::link::PREFIX;
use parking_lot::Mutex;

pub(crate) use download::{Digest, download};
use tree::{Limits, Links, Tree, UnpackError};

/// Most entries of a droplet: what a large `node_modules` has, ten times.
const ENTRIES_MAX: u64 = 1_000_000;
/// Largest droplet when unpacked, bytes.
const UNPACKED_MAX_BYTES: u64 = 8 << 30;

#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("it cannot be downloaded")]
    Download(#[from] LinkError),
    #[error("what was downloaded has {found}, not {wanted}")]
    Mismatch { wanted: String, found: String },
    #[error("it cannot be unpacked")]
    Unpack(#[from] UnpackError),
    #[error("the cache cannot {action}")]
    Io {
        action: &'static str,
        source: io::Error,
    },
    #[error("the name `{0}` is not a sha256 digest")]
    NoDigest(String),
}

/// The cache of one cell; cloning it is cheap.
#[derive(Debug, Clone)]
pub struct DropletCache {
    directory: PathBuf,
    budget_bytes: u64,
    client: InternalClient,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<String, Entry>,
    /// Counts uses; the smallest is the longest ago.
    uses: u64,
}

#[derive(Debug, Default)]
struct Entry {
    bytes: u64,
    /// The droplet is on disk.
    whole: bool,
    last_use: u64,
    pins: BTreeSet<InstanceGuid>,
    /// Held by whoever downloads it; the others wait for them.
    filling: Arc<tokio::sync::Mutex<()>>,
}

impl DropletCache {
    /// Open the cache; what an earlier agent of the same boot completed is kept. After a power loss
    /// names may be there without their content, so another boot's cache is thrown away.
    pub fn open(
        directory: PathBuf,
        budget_bytes: u64,
        client: InternalClient,
    ) -> Result<Self, CacheError> {
        let io = |action| move |source| CacheError::Io { action, source };
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").map_err(io("tell the boot"))?;
        let boot_file = directory.join("boot");
        if std::fs::read(&boot_file).ok().as_ref() != Some(&boot) && directory.exists() {
            std::fs::remove_dir_all(&directory).map_err(io("be emptied"))?;
        }
        cfx_process::durable_file::create_private_folder(&directory).map_err(io("be made"))?;
        std::fs::write(boot_file, boot).map_err(io("be marked"))?;
        let table = Arc::new(Mutex::new(scan(&directory).map_err(io("be listed"))?));
        Ok(Self {
            directory,
            budget_bytes,
            client,
            table,
        })
    }

    /// The droplet's folder, downloaded if need be, and kept until `name` is unpinned.
    pub async fn pin(
        &self,
        name: InstanceGuid,
        droplet: &BlobRef<DropletGuid>,
    ) -> Result<PathBuf, CacheError> {
        let key = checked_key(&droplet.sha256)?;
        let filling = self.table.lock().pin(key, name);
        let _turn = filling.lock().await;
        if !self.table.lock().is_whole(key) {
            let bytes = self.fill(key, droplet).await?;
            self.table.lock().filled(key, bytes);
            self.evict().await;
        }
        Ok(self.home(key))
    }

    /// Keep a droplet that an adopted instance runs.
    pub fn pin_adopted(&self, name: InstanceGuid, sha256: &str) {
        if let Ok(key) = checked_key(sha256) {
            drop(self.table.lock().pin(key, name));
        }
    }

    pub fn unpin(&self, name: InstanceGuid) {
        for entry in self.table.lock().entries.values_mut() {
            entry.pins.remove(&name);
        }
    }

    fn home(&self, key: &str) -> PathBuf {
        self.directory.join(key).join("home")
    }

    async fn fill(&self, key: &str, droplet: &BlobRef<DropletGuid>) -> Result<u64, CacheError> {
        let io = |action| move |source| CacheError::Io { action, source };
        let archive =
            tempfile::NamedTempFile::new_in(&self.directory).map_err(io("make a file"))?;
        let path = format!("{PREFIX}/droplets/{}", droplet.guid);
        let digest = Digest {
            sha256: &droplet.sha256,
            size_bytes: droplet.size_bytes,
        };
        download(
            &self.client,
            &path,
            Some(digest),
            droplet.size_bytes,
            archive.path(),
        )
        .await?;
        let (directory, key) = (self.directory.clone(), key.to_owned());
        let unpacked = move || unpack(&directory, &key, archive.path());
        tokio::task::spawn_blocking(unpacked)
            .await
            .map_err(|error| io("unpack")(io::Error::other(error)))?
    }

    async fn evict(&self) {
        // Moved away under the lock, so that nobody fills the place meanwhile.
        let trash = self.table.lock().take_victims(self.budget_bytes, |key| {
            let trash = self.directory.join(format!("trash-{key}"));
            std::fs::rename(self.directory.join(key), &trash).map(|()| trash)
        });
        let delete = move || trash.iter().try_for_each(std::fs::remove_dir_all);
        let deleted = tokio::task::spawn_blocking(delete).await;
        if let Ok(Err(error)) = deleted {
            tracing::warn!(%error, "an evicted droplet could not be deleted");
        }
    }
}

impl Table {
    fn pin(&mut self, key: &str, name: InstanceGuid) -> Arc<tokio::sync::Mutex<()>> {
        self.uses += 1;
        let entry = self.entries.entry(key.to_owned()).or_default();
        entry.last_use = self.uses;
        entry.pins.insert(name);
        entry.filling.clone()
    }

    fn is_whole(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.whole)
    }

    fn filled(&mut self, key: &str, bytes: u64) {
        let entry = self.entries.entry(key.to_owned()).or_default();
        entry.bytes = bytes;
        entry.whole = true;
    }

    /// Takes the longest unused out of the table until the rest is within the budget; `remove`
    /// takes them out of their place and tells where they are now.
    fn take_victims(
        &mut self,
        budget_bytes: u64,
        remove: impl Fn(&str) -> io::Result<PathBuf>,
    ) -> Vec<PathBuf> {
        let mut total: u64 = self.entries.values().map(|entry| entry.bytes).sum();
        let mut removed = Vec::new();
        while total > budget_bytes {
            let unused = self
                .entries
                .iter()
                .filter(|(_, e)| e.whole && e.pins.is_empty());
            let Some((key, entry)) = unused.min_by_key(|(_, entry)| entry.last_use) else {
                break;
            };
            let key = key.clone();
            total -= entry.bytes;
            self.entries.remove(&key);
            match remove(&key) {
                Ok(place) => removed.push(place),
                Err(error) => tracing::warn!(%error, droplet = key, "cannot evict a droplet"),
            }
        }
        removed
    }
}

/// Unpacks beside the final place and moves there in one step.
fn unpack(directory: &Path, key: &str, archive: &Path) -> Result<u64, CacheError> {
    let io = |action| move |source| CacheError::Io { action, source };
    let work = tempfile::Builder::new()
        .prefix("unpacking-")
        .tempdir_in(directory)
        .map_err(io("make a folder"))?;
    let home = work.path().join("home");
    std::fs::create_dir(&home).map_err(io("make a folder"))?;
    let limits = Limits {
        entries: ENTRIES_MAX,
        bytes: UNPACKED_MAX_BYTES,
    };
    let mut tree = Tree::new(home.clone(), limits, Links::Anywhere, None);
    let file = std::fs::File::open(archive).map_err(io("read the download"))?;
    untar::untar(io::BufReader::new(file), &mut tree)?;
    // What launching expects, whoever made the droplet.
    for folder in ["app", "deps", "profile.d", "tmp", "logs"] {
        tree.folder(Path::new(folder))?;
    }
    let bytes = tree.bytes();
    std::fs::write(work.path().join("bytes"), bytes.to_string()).map_err(io("note the size"))?;
    let place = directory.join(key);
    std::fs::rename(work.path(), &place).map_err(io("move a droplet into place"))?;
    Ok(bytes)
}

/// What is complete; anything else is deleted.
fn scan(directory: &Path) -> io::Result<Table> {
    let mut table = Table::default();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "boot" {
            continue;
        }
        let size = std::fs::read_to_string(entry.path().join("bytes")).ok();
        let bytes = size.and_then(|text| text.parse().ok());
        match (checked_key(&name), bytes) {
            (Ok(key), Some(bytes)) => table.filled(key, bytes),
            _ if entry.file_type()?.is_dir() => std::fs::remove_dir_all(entry.path())?,
            _ => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(table)
}

/// The digest becomes a folder's name, so it must look like one.
fn checked_key(sha256: &str) -> Result<&str, CacheError> {
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    if is_digest {
        Ok(sha256)
    } else {
        Err(CacheError::NoDigest(sha256.chars().take(80).collect()))
    }
}
