//! Mounts and unmounts, and finds what an earlier agent left mounted.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cfx_sandbox::loop_device::LoopDevice;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{VolumeError, io};

/// `noinit_itable`: the template is zero where it is not written, so there is nothing to do in the
/// background. `errors=continue` is ext4's default: a damaged volume is its own instance's problem.
const IMAGE_OPTIONS: &str = "noinit_itable";
const NOTHING: Option<&str> = None;
/// Nothing on a volume is a device or lends anybody rights.
const FLAGS: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOATIME);

/// Mount an image through a loop device that the kernel frees on unmount.
pub(super) fn image(image: &Path, target: &Path) -> Result<(), VolumeError> {
    let file = OpenOptions::new().read(true).write(true).open(image);
    let device = file.and_then(|file: File| LoopDevice::attach(&file));
    let device = device.map_err(io("make a device of", image))?;
    mount(
        Some(device.path()),
        target,
        Some("ext4"),
        FLAGS,
        Some(IMAGE_OPTIONS),
    )
    .map_err(|error| io("mount an image at", target)(error.into()))
}

/// Show a folder at a second place.
pub(super) fn bind(source: &Path, target: &Path) -> Result<(), VolumeError> {
    mount(Some(source), target, NOTHING, MsFlags::MS_BIND, NOTHING)
        .map_err(|error| io("bind a folder to", target)(error.into()))
}

/// Let others see what is mounted at a folder later on. Only a mount can be shared with them, so
/// the folder becomes one, of itself.
pub(super) fn share(folder: &Path) -> Result<(), VolumeError> {
    bind(folder, folder)?;
    mount(NOTHING, folder, NOTHING, MsFlags::MS_SHARED, NOTHING)
        .map_err(|error| io("share", folder)(error.into()))
}

/// `lower` read-only beneath `upper`, seen at `target`.
pub(super) fn overlay(
    lower: &Path,
    upper: &Path,
    work: &Path,
    target: &Path,
) -> Result<(), VolumeError> {
    let mut options = Vec::new();
    for (key, path) in [
        ("lowerdir=", lower),
        (",upperdir=", upper),
        (",workdir=", work),
    ] {
        options.extend_from_slice(key.as_bytes());
        options.extend_from_slice(&escaped(path));
    }
    mount(
        Some("overlay"),
        target,
        Some("overlay"),
        FLAGS,
        Some(OsStr::from_bytes(&options)),
    )
    .map_err(|error| io("mount an overlay at", target)(error.into()))
}

/// In overlay's options a comma ends an option and a colon a layer.
pub(crate) fn escaped(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.as_os_str().len());
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b',' | b':' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(*byte);
    }
    bytes
}

/// Lazy: somebody who still looks at it does not hold it. As often as it is mounted there.
pub(super) fn unmount(path: &Path) -> Result<(), VolumeError> {
    loop {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            Err(error) => return Err(io("unmount", path)(error.into())),
        }
    }
}

/// Is another file system mounted at a folder than the one above it lies on? Cheap where the
/// kernel's table of mounts has thousands of lines.
pub(super) fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|about| about.dev()).ok();
    match (device(path), path.parent().and_then(device)) {
        (Some(own), Some(above)) => own != above,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_folder_names_survive_the_kernel_s_notation() {
        assert_eq!(escaped(Path::new("/a,b:c")), b"/a\\,b\\:c");
    }
}
