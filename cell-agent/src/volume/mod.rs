//! Size-limited volumes: the only places an instance can write to.
//!
//! A volume is a sparse ext4 image on a loop device, copied from a template made once for each
//! size, so that what an app writes ends at its own limit and never fills the machine. Its home is
//! an overlay over the droplet, which all instances of an app share read-only: the droplet must be
//! unpacked `a+rwX` in a folder that only root can enter, because its files belong to root and an
//! instance is nobody to them.
//!
//! ```text
//! <directory>/<name>/image      the file system, sparse
//!                    disk/      the image, mounted: upper work tmp slot, or home without droplet
//!                    home/      the overlay, if there is a droplet
//!             ready/<n>/         volumes that are nobody's yet
//! ```
//! Making one takes some milliseconds, most of them spent waiting for the disk, so some are made
//! ahead and only renamed when they are needed. A volume that a container waits on gets its home
//! last of all: it is mounted where the container already looks.

mod image;
mod mount;
mod ready;
mod template;

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use cfx_protocol::id::InstanceGuid;

use crate::runtime::User;
pub(crate) use mount::escaped;
use ready::Ready;
pub use template::SIZE_MIN_BYTES;

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("a volume of {asked} bytes is too small: {SIZE_MIN_BYTES} is the least")]
    TooSmall { asked: u64 },
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("`{program}` failed: {detail}")]
    Program {
        program: &'static str,
        detail: String,
    },
}

/// What a volume is to be.
#[derive(Debug, Clone)]
pub struct VolumeSpec {
    pub name: InstanceGuid,
    /// What the instance may write, bytes.
    pub size_bytes: u64,
    /// Whom its folders belong to; none for an image's own user: then anybody may write.
    pub owner: Option<User>,
    /// An unpacked droplet to put beneath the home folder.
    pub droplet: Option<PathBuf>,
    /// The next one is likely to have the same size: such are kept ready.
    pub comes_again: bool,
}

/// A mounted volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub name: InstanceGuid,
    /// To be mounted at `/home/vcap`.
    pub home: PathBuf,
    /// To be mounted at `/tmp`.
    pub tmp: PathBuf,
    /// For the slot: what an app writes there counts as well.
    pub slot: PathBuf,
    disk: PathBuf,
}

/// What a volume is to be whose home comes later.
#[derive(Debug, Clone, Copy)]
pub struct AheadSpec {
    pub name: InstanceGuid,
    pub size_bytes: u64,
    pub owner: User,
}

/// How full a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeUsage {
    pub used_bytes: u64,
    pub size_bytes: u64,
}

/// All volumes of one cell. Calls block for some milliseconds: `make` and `release` are for
/// `spawn_blocking`.
#[derive(Debug, Clone)]
pub struct Volumes {
    directory: PathBuf,
    ready: Ready,
}

impl Volumes {
    /// `directory` is the cell's own; only root may enter it.
    pub fn new(directory: PathBuf) -> Result<Self, VolumeError> {
        std::fs::create_dir_all(&directory).map_err(io("make", &directory))?;
        // The kernel's table of mounts knows no links, and the engine no relative paths.
        let directory = directory.canonicalize().map_err(io("find", &directory))?;
        for path in [
            directory.clone(),
            directory.join("templates"),
            directory.join("ready"),
        ] {
            std::fs::create_dir_all(&path).map_err(io("make", &path))?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o700))
                .map_err(io("protect", &path))?;
        }
        let ready = Ready::open(directory.join("ready"))?;
        Ok(Self { directory, ready })
    }

    /// Keep up to so many volumes ready, of the sizes that were asked for last.
    pub fn keep_ready(&self, count: usize) {
        self.ready.keep(count);
    }

    /// Make one volume ahead, if any is missing; false when none is.
    pub fn stock(&self) -> Result<bool, VolumeError> {
        self.ready.stock(&self.templates())
    }

    /// Take away what was made ahead and is nobody's yet.
    pub fn close(&self) -> Result<(), VolumeError> {
        self.ready.clear()
    }

    /// Make and mount a volume. One that is there already, whole or half made, is replaced.
    pub fn make(&self, spec: &VolumeSpec) -> Result<Volume, VolumeError> {
        self.release(spec.name)?;
        let made = self.make_fresh(spec);
        if made.is_err() {
            self.release(spec.name)?;
        }
        made
    }

    fn make_fresh(&self, spec: &VolumeSpec) -> Result<Volume, VolumeError> {
        if spec.comes_again {
            self.ready.want(spec.size_bytes);
        }
        let volume = self.volume(spec.name, spec.droplet.is_some());
        self.place_disk(&volume, spec.size_bytes, spec.owner)?;
        match &spec.droplet {
            Some(droplet) => {
                make_folder(&volume.home, None)?;
                lay_over(&volume, droplet, spec.owner)?;
            }
            None => give_home(&volume.home, spec.owner)?,
        }
        Ok(volume)
    }

    /// A disk under the volume's name: one made ahead, or a new one.
    fn place_disk(
        &self,
        volume: &Volume,
        size_bytes: u64,
        owner: Option<User>,
    ) -> Result<(), VolumeError> {
        let folder = self.folder(volume.name);
        if !self.ready.take(size_bytes, &folder)? {
            let template = template::ensure(&self.templates(), size_bytes)?;
            ready::make_disk(&template, &folder)?;
        }
        give(&volume.tmp, owner)?;
        set_mode(&volume.tmp, 0o1777)
    }

    /// Make a volume for an instance that is not known yet. Its home is an empty folder, where
    /// `pass_on` mounts what belongs there; who binds that folder before as a slave sees it then.
    pub fn make_ahead(&self, spec: AheadSpec) -> Result<Volume, VolumeError> {
        let made = self.make_ahead_fresh(spec);
        if made.is_err() {
            self.release(spec.name)?;
        }
        made
    }

    fn make_ahead_fresh(&self, spec: AheadSpec) -> Result<Volume, VolumeError> {
        self.ready.want(spec.size_bytes);
        let volume = self.volume(spec.name, true);
        self.place_disk(&volume, spec.size_bytes, Some(spec.owner))?;
        make_folder(&volume.home, None)?;
        mount::share(&volume.home)?;
        Ok(volume)
    }

    /// Give a volume made ahead to an instance, with its home. `spec` must have its size and owner.
    pub fn pass_on(&self, from: InstanceGuid, spec: &VolumeSpec) -> Result<Volume, VolumeError> {
        self.release(spec.name)?;
        let (old, new) = (self.folder(from), self.folder(spec.name));
        std::fs::rename(&old, &new).map_err(io("rename", &old))?;
        let volume = self.volume(spec.name, true);
        match &spec.droplet {
            Some(droplet) => lay_over(&volume, droplet, spec.owner)?,
            None => {
                let plain = self.volume(spec.name, false);
                give_home(&plain.home, spec.owner)?;
                mount::bind(&plain.home, &volume.home)?;
            }
        }
        Ok(volume)
    }

    /// The volume of this name if it is mounted, as after an agent's restart.
    pub fn adopt(&self, name: InstanceGuid) -> Result<Option<Volume>, VolumeError> {
        let overlaid = self.volume(name, true);
        let plain = self.volume(name, false);
        Ok(if !mount::is_mounted(&overlaid.disk) {
            None
        } else if mount::is_mounted(&overlaid.home) {
            Some(overlaid)
        } else if plain.home.is_dir() {
            Some(plain)
        } else {
            // Killed half-way through: the overlay was never mounted.
            None
        })
    }

    /// A volume made ahead that is still nobody's, as after an agent's restart.
    pub fn adopt_ahead(&self, name: InstanceGuid) -> Result<Option<Volume>, VolumeError> {
        let volume = self.volume(name, true);
        let is_whole = mount::is_mounted(&volume.disk)
            && volume.home.is_dir()
            && !mount::is_mounted(&volume.home);
        Ok(is_whole.then_some(volume))
    }

    /// How full a volume is, by name; none when it is not mounted.
    pub fn usage(&self, name: InstanceGuid) -> Result<Option<VolumeUsage>, VolumeError> {
        let volume = self.volume(name, false);
        // Unmounted it would be a folder of the machine's own disk.
        if mount::is_mounted(&volume.disk) {
            return volume.usage().map(Some);
        }
        Ok(None)
    }

    /// Names of all volumes of which anything is left.
    pub fn list(&self) -> Result<Vec<InstanceGuid>, VolumeError> {
        let entries = std::fs::read_dir(&self.directory).map_err(io("list", &self.directory))?;
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect())
    }

    /// Unmount and delete. Releasing what is not there succeeds.
    pub fn release(&self, name: InstanceGuid) -> Result<(), VolumeError> {
        ready::delete(&self.folder(name))
    }

    fn folder(&self, name: InstanceGuid) -> PathBuf {
        self.directory.join(name.to_string())
    }

    fn templates(&self) -> PathBuf {
        self.directory.join("templates")
    }

    fn volume(&self, name: InstanceGuid, overlaid: bool) -> Volume {
        let folder = self.folder(name);
        let disk = folder.join("disk");
        Volume {
            name,
            home: if overlaid { &folder } else { &disk }.join("home"),
            tmp: disk.join("tmp"),
            slot: disk.join("slot"),
            disk,
        }
    }
}

impl Volume {
    /// How full it is; cheap, two numbers of the file system.
    pub fn usage(&self) -> Result<VolumeUsage, VolumeError> {
        let about = nix::sys::statvfs::statvfs(&self.disk)
            .map_err(|error| io("measure", &self.disk)(error.into()))?;
        let block = about.fragment_size();
        let used_bytes = about.blocks().saturating_sub(about.blocks_free()) * block;
        Ok(VolumeUsage {
            used_bytes,
            size_bytes: used_bytes + about.blocks_available() * block,
        })
    }
}

/// The overlay of a droplet, whose top folder has the owner and mode of the upper one.
fn lay_over(volume: &Volume, droplet: &Path, owner: Option<User>) -> Result<(), VolumeError> {
    let (upper, work) = (volume.disk.join("upper"), volume.disk.join("work"));
    give_home(&upper, owner)?;
    make_folder(&work, None)?;
    mount::overlay(droplet, &upper, &work, &volume.home)
}

fn give_home(path: &Path, owner: Option<User>) -> Result<(), VolumeError> {
    make_folder(path, owner)?;
    set_mode(path, if owner.is_some() { 0o755 } else { 0o777 })
}

fn make_folder(path: &Path, owner: Option<User>) -> Result<(), VolumeError> {
    std::fs::create_dir(path).map_err(io("make", path))?;
    give(path, owner)
}

fn give(path: &Path, owner: Option<User>) -> Result<(), VolumeError> {
    match owner {
        Some(user) => chown(path, Some(user.uid), Some(user.gid)).map_err(io("hand over", path)),
        None => Ok(()),
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), VolumeError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(io("set the mode of", path))
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> VolumeError {
    let path = path.to_path_buf();
    move |source| VolumeError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests;
