//! Version 2: one tree. A process is born into its group, and groups above it hold no processes.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::{CgroupError, FAMILY, View, failed, make, remove, write, write_if_there};
use crate::spec::Limits;

/// What the groups of sandboxes need.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
/// The group of all keepers of the machine, beside those of cells.
const KEEPERS: &str = "keepers";
/// The ranges of `cpu.shares` and `cpu.weight`.
const SHARES: (u64, u64) = (2, 262_144);
const WEIGHTS: (u64, u64) = (1, 10_000);

#[derive(Debug, Clone)]
pub(super) struct Tree {
    root: PathBuf,
}

#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Tree {
    pub(super) fn find(root: &Path) -> Result<Self, CgroupError> {
        let file = root.join("cgroup.controllers");
        let text = fs::read_to_string(&file).map_err(failed("read", &file))?;
        for controller in CONTROLLERS {
            if !text.split_whitespace().any(|there| there == controller) {
                return Err(CgroupError::NoController {
                    missing: controller,
                    root: root.to_path_buf(),
                    advice: "enable it for the group that cfx runs in",
                });
            }
        }
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// A controller reaches a group only through every group above it.
    pub(super) fn prepare(&self, cell: &str) -> Result<(), CgroupError> {
        let family = self.root.join(FAMILY);
        let folder = self.cell(cell);
        make(&family)?;
        make(&folder)?;
        let wanted = CONTROLLERS.map(|controller| format!("+{controller}"));
        for above in [&self.root, &family, &folder] {
            write(&above.join("cgroup.subtree_control"), &wanted.join(" "))?;
        }
        Ok(())
    }

    pub(super) fn shelter(&self) -> Result<(), CgroupError> {
        let keepers = self.root.join(FAMILY).join(KEEPERS);
        make(&keepers)?;
        write(&keepers.join("cgroup.procs"), "0")
    }

    pub(super) fn cell(&self, cell: &str) -> PathBuf {
        self.root.join(FAMILY).join(cell)
    }

    pub(super) fn folder(&self, cell: &str, name: &str) -> Folder {
        Folder {
            path: self.cell(cell).join(name),
        }
    }
}

impl Folder {
    pub(super) fn make(&self, limits: &Limits) -> Result<(), CgroupError> {
        make(&self.path)?;
        let bytes = limits.memory_bytes.to_string();
        write(&self.path.join("memory.max"), &bytes)?;
        write_if_there(&self.path.join("memory.swap.max"), "0")?;
        let weight = weight(limits.cpu_shares).to_string();
        write(&self.path.join("cpu.weight"), &weight)?;
        write(&self.path.join("pids.max"), &limits.pids.to_string())
    }

    pub(super) fn open(&self) -> Result<OwnedFd, CgroupError> {
        let file = fs::File::open(&self.path).map_err(failed("open", &self.path))?;
        Ok(file.into())
    }

    pub(super) fn oom_file(&self) -> PathBuf {
        self.path.join("memory.events")
    }

    pub(super) fn processes_file(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    pub(super) fn freeze(&self, frozen: bool) -> Result<(), CgroupError> {
        let state = if frozen { "1" } else { "0" };
        write(&self.path.join("cgroup.freeze"), state)
    }

    pub(super) fn views(&self) -> Vec<View> {
        vec![View {
            source: self.path.clone(),
            target: "",
        }]
    }

    pub(super) fn remove(&self) -> Result<bool, CgroupError> {
        remove(&self.path)
    }
}

/// The same place in the other range, as every runtime maps it.
fn weight(shares: u64) -> u64 {
    let shares = shares.clamp(SHARES.0, SHARES.1) - SHARES.0;
    WEIGHTS.0 + shares * (WEIGHTS.1 - WEIGHTS.0) / (SHARES.1 - SHARES.0)
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn shares_keep_their_order_as_weights() {
        assert_eq!(weight(0), 1);
        assert_eq!(weight(2), 1);
        assert_eq!(weight(1_024), 39);
        assert_eq!(weight(262_144), 10_000);
        assert_eq!(weight(u64::MAX), 10_000);
    }
}
