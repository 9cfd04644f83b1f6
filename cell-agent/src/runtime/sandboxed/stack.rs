//! Stacks for sandboxes: the machine's own, or a folder that holds a whole root file system.
//!
//! Either way the root is read-only, and has a place for everything that is mounted into it. The
//! host stack is laid out in a folder named by its content; a folder stack gets its places from a
//! layer beneath it, because it may be anybody's root.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use cfx_sandbox::mounts::{Access, pick, pick_all};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use sha2::{Digest, Sha256};

use super::SandboxConfig;
use crate::runtime::RuntimeError;
use crate::runtime::host_stack::{self, HostStack};

/// What sandboxes mount over, beside what the host stack has anyway.
const MORE_FOLDERS: [&str; 1] = [".cfx/buildpacks"];
const MORE_FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];
/// The places that a folder stack gets.
const FOLDERS: [&str; 8] = [
    "dev",
    "proc",
    "sys",
    "tmp",
    "etc",
    "home/vcap",
    ".cfx/slot",
    ".cfx/buildpacks",
];
const FILES: [&str; 6] = [
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/passwd",
    "etc/group",
    ".cfx/launcher",
];

/// A stack as the keeper takes it: the root's mount first, then one for each target.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) targets: Vec<PathBuf>,
    pub(super) files: Vec<OwnedFd>,
}

/// The stacks that this cell can offer.
pub(super) fn list(config: &SandboxConfig) -> Vec<String> {
    let entries = fs::read_dir(&config.stacks).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().join("usr").is_dir());
    let mut names: Vec<String> = folders
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_name(name))
        .collect();
    if config.host_stack {
        names.push(host_stack::NAME.to_owned());
    }
    names.sort();
    names.dedup();
    names
}

/// Names that the keeper takes.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.bytes().all(plain)
}

pub(super) fn open(
    config: &SandboxConfig,
    launcher: &Path,
    name: &str,
) -> Result<Opened, RuntimeError> {
    let no_root = |detail: String| RuntimeError::NoRoot {
        what: format!("stack `{name}`"),
        detail,
    };
    if !list(config).iter().any(|stack| stack == name) {
        let folder = config.stacks.display();
        return Err(no_root(format!("there is no folder {folder}/{name}")));
    }
    let layouts = config.directory.join("stacks");
    let opened = if name == host_stack::NAME {
        open_host(&layouts)
    } else {
        open_folder(&layouts, &config.stacks.join(name))
    };
    let mut opened = opened.map_err(|error| no_root(error.to_string()))?;
    let file = pick(launcher, Access::ReadOnly).map_err(|error| no_root(error.to_string()))?;
    opened.targets.push(cfx_launcher::LAUNCHER.into());
    opened.files.push(file);
    Ok(opened)
}

fn open_host(layouts: &Path) -> io::Result<Opened> {
    let mut stack = HostStack::read(Path::new("/"));
    let folders = MORE_FOLDERS.map(|path| (PathBuf::from(path), 0o755));
    stack.folders.extend(folders);
    for path in MORE_FILES {
        stack.files.insert(path.into(), Vec::new());
    }
    let mut opened = Opened {
        targets: Vec::new(),
        files: vec![pick(&lay_out(layouts, &stack)?, Access::ReadOnly)?],
    };
    for mount in stack.mounts {
        opened
            .files
            .push(pick_all(&mount.source, Access::ReadOnly)?);
        opened.targets.push(mount.target);
    }
    Ok(opened)
}

/// Written once for each content: what runs may still stand on an older one.
fn lay_out(layouts: &Path, stack: &HostStack) -> io::Result<PathBuf> {
    let place = layouts.join(digest(stack));
    if place.is_dir() {
        return Ok(place);
    }
    fs::create_dir_all(layouts)?;
    let fresh = tempfile::tempdir_in(layouts)?;
    let root = fresh.path();
    for path in stack.folders.keys() {
        fs::create_dir_all(root.join(path))?;
    }
    for (path, content) in &stack.files {
        fs::write(root.join(path), content)?;
        fs::set_permissions(root.join(path), Permissions::from_mode(0o644))?;
    }
    for (path, target) in &stack.links {
        symlink(target, root.join(path))?;
    }
    // Last, for what may not be entered any more.
    for (path, mode) in stack.folders.iter().rev() {
        fs::set_permissions(root.join(path), Permissions::from_mode(*mode))?;
    }
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    match fs::rename(root, &place) {
        Ok(()) => {}
        // Another cell's agent was as fast.
        Err(_) if place.is_dir() => {}
        Err(error) => return Err(error),
    }
    Ok(place)
}

fn digest(stack: &HostStack) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    for (path, mode) in &stack.folders {
        add(path.as_os_str().as_bytes());
        add(&mode.to_le_bytes());
    }
    for (path, content) in &stack.files {
        add(path.as_os_str().as_bytes());
        add(content);
    }
    for (path, target) in &stack.links {
        add(path.as_os_str().as_bytes());
        add(target.as_os_str().as_bytes());
    }
    hex::encode(hash.finalize()).chars().take(16).collect()
}

/// The folder over a layer of places, joined without a writable one: read-only by nature.
fn open_folder(layouts: &Path, folder: &Path) -> io::Result<Opened> {
    let places = layouts.join("places");
    for path in FOLDERS {
        fs::create_dir_all(places.join(path))?;
    }
    for path in FILES {
        fs::write(places.join(path), b"")?;
    }
    fs::set_permissions(&places, Permissions::from_mode(0o755))?;
    let joint = tempfile::tempdir_in(layouts)?;
    let overlay = Some("overlay");
    let mut options = b"lowerdir=".to_vec();
    options.extend(crate::volume::escaped(folder));
    options.push(b':');
    options.extend(crate::volume::escaped(&places));
    let options = std::ffi::OsStr::from_bytes(&options);
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(overlay, joint.path(), overlay, flags, Some(options))?;
    let picked = pick(joint.path(), Access::ReadOnly);
    // What was picked does not need it any more.
    umount2(joint.path(), MntFlags::MNT_DETACH)?;
    Ok(Opened {
        targets: Vec::new(),
        files: vec![picked?],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_machine_lays_out_the_host_stack_once_and_nothing_private_is_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let stack = HostStack::read(Path::new("/"));
        let place = lay_out(folder.path(), &stack).expect("laid out");
        assert_eq!(lay_out(folder.path(), &stack).expect("found"), place);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
        let root = fs::metadata(place.join("root")).expect("there");
        assert_eq!(root.permissions().mode() & 0o777, 0o700);
        assert!(place.join("etc/nsswitch.conf").is_file());
        for private in ["etc/shadow", "etc/ssh", "etc/sudoers", "root/.ssh"] {
            assert!(!place.join(private).exists(), "{private}");
        }
    }

    #[test]
    fn stacks_are_folders_with_programs_whose_names_are_plain() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["debian/usr", "a b/usr", "empty", "host/usr"] {
            fs::create_dir_all(folder.path().join(path)).expect("made");
        }
        let mut config = SandboxConfig {
            cell: cfx_protocol::id::CellGuid::NIL,
            directory: folder.path().join("runtime"),
            stacks: folder.path().to_path_buf(),
            host_stack: true,
        };
        assert_eq!(list(&config), ["debian", "host"]);
        config.host_stack = false;
        config.stacks = "/nowhere".into();
        assert_eq!(list(&config), [""; 0]);
        let refused = open(&config, Path::new("/bin/true"), "host").expect_err("not offered");
        assert!(matches!(refused, RuntimeError::NoRoot { .. }), "{refused}");
    }
}
