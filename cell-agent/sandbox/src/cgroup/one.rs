//! Version 1: a tree for each controller, or one tree for several.

use std::path::{Path, PathBuf};

use super::{CgroupError, FAMILY, View, failed, make, remove, write, write_if_there};
use crate::spec::Limits;

/// What a sandbox has a group in.
const CONTROLLERS: [&str; 5] = ["memory", "cpu", "cpuacct", "pids", "freezer"];
/// Shown inside: by these programs learn their limits.
const SHOWN: [&str; 4] = ["memory", "cpu", "cpuacct", "pids"];

/// The mounted trees.
#[derive(Debug, Clone)]
pub(super) struct Hierarchies {
    root: PathBuf,
    /// Of controllers mounted together only the first.
    distinct: Vec<&'static str>,
}

/// A sandbox's groups.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    root: PathBuf,
    distinct: Vec<&'static str>,
    below: PathBuf,
}

impl Hierarchies {
    pub(super) fn find(root: &Path) -> Result<Self, CgroupError> {
        let mut distinct = Vec::new();
        let mut seen = Vec::new();
        for controller in CONTROLLERS {
            let folder = root.join(controller);
            // Of a mounted tree only: an empty folder of that name would take anything.
            if !folder.join("tasks").exists() {
                return Err(CgroupError::NoController {
                    missing: controller,
                    root: root.to_path_buf(),
                    advice: "mount control groups, or boot with `cgroup_enable=memory`",
                });
            }
            let real = folder.canonicalize().map_err(failed("find", &folder))?;
            if !seen.contains(&real) {
                seen.push(real);
                distinct.push(controller);
            }
        }
        Ok(Self {
            root: root.to_path_buf(),
            distinct,
        })
    }

    pub(super) fn prepare(&self, cell: &str) -> Result<(), CgroupError> {
        for controller in &self.distinct {
            let family = self.root.join(controller).join(FAMILY);
            make(&family)?;
            make(&family.join(cell))?;
        }
        Ok(())
    }

    pub(super) fn folders(&self, cell: &str, name: &str) -> Folders {
        Folders {
            root: self.root.clone(),
            distinct: self.distinct.clone(),
            below: Path::new(FAMILY).join(cell).join(name),
        }
    }

    /// Where a group is made first and removed last.
    pub(super) fn listed(&self, cell: &str) -> PathBuf {
        self.root.join(CONTROLLERS[0]).join(FAMILY).join(cell)
    }

    pub(super) fn close(&self, cell: &str) -> Result<(), CgroupError> {
        for controller in &self.distinct {
            remove(&self.root.join(controller).join(FAMILY).join(cell))?;
        }
        Ok(())
    }
}

impl Folders {
    fn of(&self, controller: &str) -> PathBuf {
        self.root.join(controller).join(&self.below)
    }

    pub(super) fn make(&self, limits: &Limits) -> Result<(), CgroupError> {
        for controller in &self.distinct {
            make(&self.of(controller))?;
        }
        let memory = self.of("memory");
        let bytes = limits.memory_bytes.to_string();
        write(&memory.join("memory.limit_in_bytes"), &bytes)?;
        // Memory and swap together: no more than memory alone, so no swap.
        let with_swap = memory.join("memory.memsw.limit_in_bytes");
        if !write_if_there(&with_swap, &bytes)? {
            write_if_there(&memory.join("memory.swappiness"), "0")?;
        }
        let shares = limits.cpu_shares.to_string();
        write(&self.of("cpu").join("cpu.shares"), &shares)?;
        write(&self.of("pids").join("pids.max"), &limits.pids.to_string())
    }

    /// By its one thread, and named 0: so the kernel need not stop the machine's forks for a
    /// moment, as it does for moving somebody else.
    pub(super) fn join(&self) -> Result<(), CgroupError> {
        for controller in &self.distinct {
            write(&self.of(controller).join("tasks"), "0")?;
        }
        Ok(())
    }

    pub(super) fn oom_file(&self) -> PathBuf {
        self.of("memory").join("memory.oom_control")
    }

    pub(super) fn processes_file(&self) -> PathBuf {
        self.of("pids").join("cgroup.procs")
    }

    pub(super) fn freeze(&self, frozen: bool) -> Result<(), CgroupError> {
        let state = if frozen { "FROZEN" } else { "THAWED" };
        write(&self.of("freezer").join("freezer.state"), state)
    }

    pub(super) fn views(&self) -> Vec<View> {
        let views = SHOWN.iter().map(|controller| View {
            source: self.of(controller),
            target: controller,
        });
        views.collect()
    }

    pub(super) fn remove(&self) -> Result<bool, CgroupError> {
        let mut is_gone = true;
        for controller in self.distinct.iter().rev() {
            is_gone &= remove(&self.of(controller))?;
        }
        Ok(is_gone)
    }
}
