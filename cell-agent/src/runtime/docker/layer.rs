//! Gives what an image's container writes a limit.
//!
//! Docker limits a container's writable layer only on file systems with project quotas, which
//! machines rarely have. So the layer's folder is put on the instance's own size-limited volume
//! before the first start: copied there while it is still empty, and bound over the engine's.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use bollard::models::ContainerInspectResponse;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::runtime::Mount;

/// The one storage driver whose layers are two plain folders.
const DRIVER: &str = "overlay2";
/// Beside an instance's other files: where its layer was bound, for whoever releases it.
const NOTE: &str = "layer";

/// The engine's folder for a container's own layer; none when it keeps layers in another way.
pub(super) fn folder(about: &ContainerInspectResponse) -> Option<PathBuf> {
    let driver = about.graph_driver.as_ref()?;
    let upper = Path::new(driver.data.get("UpperDir")?);
    (driver.name == DRIVER && upper.is_dir()).then(|| upper.parent().map(Path::to_path_buf))?
}

/// Put the layer in `folder` on the volume that `target` lies on. `notes` are the instance's own
/// files. Done already, it changes nothing; the container must not have started.
pub(super) fn limit(folder: &Path, target: &Path, notes: &Path) -> io::Result<()> {
    if is_mounted(folder)? {
        return Ok(());
    }
    // Noted first: a note without a mount does no harm.
    fs::write(notes.join(NOTE), folder.as_os_str().as_bytes())?;
    let layer = target.join("layer");
    match fs::remove_dir_all(&layer) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    copy(folder, &layer)?;
    let nothing = None::<&str>;
    mount(Some(&layer), folder, nothing, MsFlags::MS_BIND, nothing)?;
    Ok(())
}

/// Let the engine have its folder back. Nothing noted, or not mounted, is success.
pub(super) fn release(notes: &Path) -> io::Result<()> {
    let folder = match fs::read(notes.join(NOTE)) {
        Ok(bytes) => PathBuf::from(OsStr::from_bytes(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match umount2(&folder, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Volumes that an image declares: on ours too, or the engine would make some without a limit.
/// Empty and open to any user of the image.
pub(super) fn volumes(declared: &[String], target: Option<&Path>) -> io::Result<Vec<Mount>> {
    let Some(target) = target else {
        return Ok(Vec::new());
    };
    let mounts = declared.iter().enumerate().map(|(number, path)| {
        let source = target.join(format!("volume-{number}"));
        fs::create_dir_all(&source)?;
        fs::set_permissions(&source, Permissions::from_mode(0o777))?;
        Ok(Mount {
            source,
            target: path.into(),
            read_only: false,
        })
    });
    mounts.collect()
}

/// A mount on another device than the folder above it; the engine's layers all lie on one.
fn is_mounted(folder: &Path) -> io::Result<bool> {
    let above = folder.parent().unwrap_or(folder);
    Ok(fs::metadata(folder)?.dev() != fs::metadata(above)?.dev())
}

/// Folders and files with their modes; an unused layer has nothing else, and belongs to root.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
