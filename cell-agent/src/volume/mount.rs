//! Mounts and unmounts, and finds what an earlier agent left mounted.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{VolumeError, io};

/// `noinit_itable`: the template is zero where it is not written, so there is nothing to do in the
/// background. `errors=continue` is ext4's default: a damaged volume is its own instance's problem.
const IMAGE_OPTIONS: &str = "loop,rw,nosuid,nodev,noatime,noinit_itable";

/// Mount an image through a loop device that the kernel frees on unmount.
pub(super) fn image(image: &Path, target: &Path) -> Result<(), VolumeError> {
    let output = Command::new("mount")
        .args(["-t", "ext4", "-o", IMAGE_OPTIONS])
        .arg(image)
        .arg(target)
        .output()
        .map_err(io("run mount for", image))?;
    if output.status.success() {
        return Ok(());
    }
    Err(VolumeError::Program {
        program: "mount",
        detail: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
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
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOATIME,
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

/// Lazy: somebody who still looks at it does not hold it.
pub(super) fn unmount(path: &Path) -> Result<(), VolumeError> {
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(error) => Err(io("unmount", path)(error.into())),
    }
}

/// Mount points at or below a folder, in the order they were mounted.
pub(super) fn below(folder: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let table = Path::new("/proc/self/mountinfo");
    let text = std::fs::read_to_string(table).map_err(io("read", table))?;
    Ok(text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescaped)
        .filter(|path| path.starts_with(folder))
        .collect())
}

/// The kernel writes blanks, tabs, newlines and backslashes as `\` and three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_folder_names_survive_the_kernel_s_notations() {
        assert_eq!(
            unescaped(r"/data/my\040cell"),
            PathBuf::from("/data/my cell")
        );
        assert_eq!(unescaped(r"/data\134x"), PathBuf::from(r"/data\x"));
        assert_eq!(escaped(Path::new("/a,b:c")), b"/a\\,b\\:c");
    }
}
