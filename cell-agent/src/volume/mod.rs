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
//! ```

mod image;
mod mount;
mod template;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use cfx_protocol::id::InstanceGuid;

use crate::runtime::User;
pub(crate) use mount::escaped;
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
}

impl Volumes {
    /// `directory` is the cell's own; only root may enter it.
    pub fn new(directory: PathBuf) -> Result<Self, VolumeError> {
        std::fs::create_dir_all(&directory).map_err(io("make", &directory))?;
        // The kernel's table of mounts knows no links, and the engine no relative paths.
        let directory = directory.canonicalize().map_err(io("find", &directory))?;
        let volumes = Self { directory };
        for path in [volumes.templates(), volumes.directory.clone()] {
            std::fs::create_dir_all(&path).map_err(io("make", &path))?;
            std::fs::set_permissions(&path, Permissions::from_mode(0o700))
                .map_err(io("protect", &path))?;
        }
        Ok(volumes)
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
        let template = template::ensure(&self.templates(), spec.size_bytes)?;
        let folder = self.folder(spec.name);
        let volume = self.volume(spec.name, spec.droplet.is_some());
        make_folder(&folder, None)?;
        make_folder(&volume.disk, None)?;
        let image = folder.join("image");
        image::copy_sparse(&template, &image).map_err(io("copy the template to", &image))?;
        mount::image(&image, &volume.disk)?;
        make_folder(&volume.slot, None)?;
        make_folder(&volume.tmp, spec.owner)?;
        set_mode(&volume.tmp, 0o1777)?;
        let Some(droplet) = &spec.droplet else {
            return give_home(&volume.home, spec.owner).map(|()| volume);
        };
        let (upper, work) = (volume.disk.join("upper"), volume.disk.join("work"));
        // The overlay's top folder has the owner and mode of the upper one.
        give_home(&upper, spec.owner)?;
        make_folder(&work, None)?;
        make_folder(&volume.home, None)?;
        mount::overlay(droplet, &upper, &work, &volume.home)?;
        Ok(volume)
    }

    /// The volume of this name if it is mounted, as after an agent's restart.
    pub fn adopt(&self, name: InstanceGuid) -> Result<Option<Volume>, VolumeError> {
        let mounted = mount::below(&self.folder(name))?;
        let has = |path: &Path| mounted.iter().any(|one| one == path);
        let overlaid = self.volume(name, true);
        let plain = self.volume(name, false);
        Ok(if !has(&overlaid.disk) {
            None
        } else if has(&overlaid.home) {
            Some(overlaid)
        } else if plain.home.is_dir() {
            Some(plain)
        } else {
            // Killed half-way through: the overlay was never mounted.
            None
        })
    }

    /// How full a volume is, by name; none when it is not mounted.
    pub fn usage(&self, name: InstanceGuid) -> Result<Option<VolumeUsage>, VolumeError> {
        let volume = self.volume(name, false);
        let device = |path: &Path| std::fs::metadata(path).map(|about| about.dev()).ok();
        // Unmounted it would be a folder of the machine's own disk.
        match device(&volume.disk) {
            Some(own) if device(&self.directory) != Some(own) => volume.usage().map(Some),
            _ => Ok(None),
        }
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
        let folder = self.folder(name);
        // Deepest first, and each as often as it is mounted.
        for path in mount::below(&folder)?.iter().rev() {
            mount::unmount(path)?;
        }
        match std::fs::remove_dir_all(&folder) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io("delete", &folder)(error)),
        }
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

fn give_home(path: &Path, owner: Option<User>) -> Result<(), VolumeError> {
    make_folder(path, owner)?;
    set_mode(path, if owner.is_some() { 0o755 } else { 0o777 })
}

fn make_folder(path: &Path, owner: Option<User>) -> Result<(), VolumeError> {
    std::fs::create_dir(path).map_err(io("make", path))?;
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
