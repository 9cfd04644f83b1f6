//! The `host` stack: this machine's own programs and libraries, read-only, under a minimal /etc.
//!
//! It has only folders, links and a few small files; everything big is a read-only mount. What the
//! machine keeps private (keys, users, secrets, /root, /home) is never among them. It is for local
//! use: what the machine has installed is what apps see.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Mount;

pub(super) const NAME: &str = "host";

/// Where programs and libraries are. Links are made again as links; folders are mounted.
const SYSTEM: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Of /etc, what programs and libraries need and anybody may read, mounted as it is.
const ETC_MOUNTED: [&str; 4] = ["alternatives", "ssl/certs", "ld.so.cache", "perl"];
/// Java keeps its settings in a folder named after its version.
const ETC_JAVA: &str = "java-";
/// Small and rarely changed: copied into the image.
const ETC_COPIED: [&str; 6] = [
    "services",
    "protocols",
    "mime.types",
    "ssl/openssl.cnf",
    "ld.so.conf",
    "debian_version",
];
const FOLDERS: [(&str, u32); 14] = [
    ("dev", 0o755),
    ("proc", 0o555),
    ("sys", 0o555),
    ("run", 0o755),
    ("root", 0o700),
    ("var", 0o755),
    ("var/lib", 0o755),
    ("home", 0o755),
    ("home/vcap", 0o755),
    ("tmp", 0o1777),
    ("etc", 0o755),
    ("etc/ssl", 0o755),
    (".cfx", 0o755),
    (".cfx/slot", 0o755),
];
/// Files that are mounted over; a mount needs something to stand on.
const PLACEHOLDERS: [&str; 3] = ["etc/passwd", "etc/group", ".cfx/launcher"];
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n";

/// What the stack is made of; all paths but the mounts' are relative to its root.
#[derive(Debug)]
pub(super) struct HostStack {
    /// With their modes.
    pub(super) folders: BTreeMap<PathBuf, u32>,
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    pub(super) mounts: Vec<Mount>,
}

impl HostStack {
    /// The same machine gives the same.
    pub(super) fn read(root: &Path) -> Self {
        let mounts = mounts(root);
        let mut folders: BTreeMap<PathBuf, u32> = FOLDERS
            .iter()
            .map(|(path, mode)| (PathBuf::from(path), *mode))
            .collect();
        let mut files: BTreeMap<PathBuf, Vec<u8>> = PLACEHOLDERS
            .iter()
            .map(|path| (PathBuf::from(path), Vec::new()))
            .collect();
        files.insert("etc/nsswitch.conf".into(), NSSWITCH.into());
        for mount in &mounts {
            let inside = mount.target.strip_prefix("/").unwrap_or(&mount.target);
            if mount.source.is_dir() {
                folders.insert(inside.to_path_buf(), 0o755);
            } else {
                files.insert(inside.to_path_buf(), Vec::new());
            }
        }
        for name in ETC_COPIED {
            let path = Path::new("etc").join(name);
            if let Ok(content) = fs::read(root.join(&path)) {
                files.insert(path, content);
            }
        }
        Self {
            folders,
            files,
            links: links(root),
            mounts,
        }
    }
}

fn mounts(root: &Path) -> Vec<Mount> {
    let system = SYSTEM.iter().map(|name| PathBuf::from(*name));
    let etc = ETC_MOUNTED
        .iter()
        .map(|name| Path::new("etc").join(name))
        .chain(java(root));
    let wanted = system
        .filter(|path| fs::symlink_metadata(root.join(path)).is_ok_and(|about| about.is_dir()))
        .chain(etc.filter(|path| root.join(path).exists()));
    wanted
        .map(|path| Mount {
            source: root.join(&path),
            target: Path::new("/").join(&path),
            read_only: true,
        })
        .collect()
}

fn java(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("etc")).into_iter().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(ETC_JAVA))
        .map(|name| Path::new("etc").join(name))
        .collect();
    found.sort();
    found
}

fn links(root: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut links: Vec<_> = SYSTEM
        .iter()
        .filter_map(|name| Some((PathBuf::from(name), fs::read_link(root.join(name)).ok()?)))
        .collect();
    links.push(("etc/mtab".into(), "/proc/mounts".into()));
    links.push(("var/tmp".into(), "/tmp".into()));
    if let Ok(zone) = fs::read_link(root.join("etc/localtime")) {
        links.push(("etc/localtime".into(), zone));
    }
    links
}
