//! What a sandbox is to be, and what is known of one.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Refusal;

/// Longest name of a sandbox or stack, bytes: it is a folder's name in several places.
const NAME_BYTES_MAX: usize = 64;

/// One sandbox. The files that it needs travel beside it: the network's, if there is one, then one
/// for each of `targets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub name: String,
    /// The root, defined before.
    pub stack: String,
    pub hostname: String,
    /// The only user there is inside: nothing that runs there can become another one.
    pub user: User,
    pub limits: Limits,
    pub has_network: bool,
    /// Where each mount goes, as seen from inside.
    pub targets: Vec<PathBuf>,
    /// The first process and its arguments, as seen from inside.
    pub program: Vec<String>,
    /// Where its slot is outside; only remembered.
    pub slot: PathBuf,
    /// Only remembered.
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Without swap: the limit is the limit.
    pub memory_bytes: u64,
    /// Relative weight, 2..=262144 as in cgroup v1 `cpu.shares`.
    pub cpu_shares: u64,
    pub pids: u32,
    pub fds: u32,
}

/// A sandbox that exists, running or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    pub name: String,
    /// The first process, as the machine numbers it.
    pub pid: u32,
    pub slot: PathBuf,
    pub labels: BTreeMap<String, String>,
    /// None while it runs.
    pub ended: Option<Ended>,
}

/// How the first process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// 128 + n for signal n. None when the keeper was not its parent any more, and the kernel
    /// told nobody: then only the launcher's own record knows.
    pub status: Option<i32>,
    /// The kernel killed a process of it at the memory limit.
    pub out_of_memory: bool,
}

/// Names become names of files and groups: nothing that could lead elsewhere.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Refusal::Name(name.to_owned()))
}

/// A path inside as one below the root's own folder; none for one that leads out of it.
pub(crate) fn below_root(path: &Path) -> Option<PathBuf> {
    let mut below = PathBuf::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => below.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    (!below.as_os_str().is_empty()).then_some(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_targets_lead_nowhere_else() {
        for name in ["a", "0f-e_1", &"x".repeat(64)] {
            check_name(name).expect("a name");
        }
        for name in ["", "..", "a/b", "a b", "ä", &"x".repeat(65)] {
            check_name(name).expect_err("no name");
        }
        let below = |path: &str| below_root(Path::new(path));
        assert_eq!(below("/home/vcap"), Some("home/vcap".into()));
        for path in ["/", "", "/home/../..", "../x"] {
            assert_eq!(below(path), None, "{path}");
        }
    }
}
