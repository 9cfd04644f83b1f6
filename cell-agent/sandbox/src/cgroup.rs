//! Control groups: one for each sandbox below one for each cell, in version 1 or 2.
//!
//! ```text
//! version 2:  <root>/cfx/<cell>/<sandbox>
//! version 1:  <root>/<controller>/cfx/<cell>/<sandbox>, the same in each of CONTROLLERS
//! ```
//! Where a machine mounts both, the controllers are in version 1.

mod one;
mod two;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::spec::Limits;

/// Where control groups are mounted.
pub const ROOT: &str = "/sys/fs/cgroup";
/// The folder of all cells' groups.
const FAMILY: &str = "cfx";

#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("no control groups with `{missing}` under {root}; {advice}")]
    NoController {
        missing: &'static str,
        root: PathBuf,
        advice: &'static str,
    },
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// The groups of one cell.
#[derive(Debug, Clone)]
pub struct Cgroups {
    version: Version,
    cell: String,
}

#[derive(Debug, Clone)]
enum Version {
    One(one::Hierarchies),
    Two(two::Tree),
}

/// The group, or groups, of one sandbox. They need not exist.
#[derive(Debug, Clone)]
pub struct Group {
    folders: Folders,
}

#[derive(Debug, Clone)]
enum Folders {
    One(one::Folders),
    Two(two::Folder),
}

/// A part of the group's files that is shown inside, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub source: PathBuf,
    /// Below `/sys/fs/cgroup`; empty for that itself.
    pub target: &'static str,
}

impl Cgroups {
    /// The groups of a cell under the mounted root. Nothing is made yet.
    pub fn find(root: &Path, cell: &str) -> Result<Self, CgroupError> {
        let version = if root.join("cgroup.controllers").exists() {
            Version::Two(two::Tree::find(root)?)
        } else {
            Version::One(one::Hierarchies::find(root)?)
        };
        Ok(Self {
            version,
            cell: cell.to_owned(),
        })
    }

    /// Make the cell's own folder ready for groups.
    pub fn prepare(&self) -> Result<(), CgroupError> {
        match &self.version {
            Version::One(hierarchies) => hierarchies.prepare(&self.cell),
            Version::Two(tree) => tree.prepare(&self.cell),
        }
    }

    /// A group with limits. One that is there already gets the limits.
    pub fn make(&self, name: &str, limits: &Limits) -> Result<Group, CgroupError> {
        let group = self.group(name);
        match &group.folders {
            Folders::One(folders) => folders.make(limits)?,
            Folders::Two(folder) => folder.make(limits)?,
        }
        Ok(group)
    }

    #[must_use]
    pub fn group(&self, name: &str) -> Group {
        let folders = match &self.version {
            Version::One(hierarchies) => Folders::One(hierarchies.folders(&self.cell, name)),
            Version::Two(tree) => Folders::Two(tree.folder(&self.cell, name)),
        };
        Group { folders }
    }

    /// Names of all groups of the cell.
    pub fn list(&self) -> Result<Vec<String>, CgroupError> {
        let folder = match &self.version {
            Version::One(hierarchies) => hierarchies.listed(&self.cell),
            Version::Two(tree) => tree.cell(&self.cell),
        };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &folder)(error)),
        };
        let folders = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        Ok(folders
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect())
    }

    /// Put the calling process out of reach of whoever ends the agent's own group.
    pub(crate) fn shelter(&self) -> Result<(), CgroupError> {
        match &self.version {
            // Each controller has its own tree, and none of them is the one that ends services.
            Version::One(_) => Ok(()),
            Version::Two(tree) => tree.shelter(),
        }
    }

    /// Remove the cell's own folder, once it holds no groups.
    pub fn close(&self) -> Result<(), CgroupError> {
        match &self.version {
            Version::One(hierarchies) => hierarchies.close(&self.cell),
            Version::Two(tree) => remove(&tree.cell(&self.cell)).map(drop),
        }
    }
}

impl Group {
    /// Where a process can be born right into it.
    pub fn entrance(&self) -> Result<Option<OwnedFd>, CgroupError> {
        match &self.folders {
            Folders::One(_) => Ok(None),
            Folders::Two(folder) => folder.open().map(Some),
        }
    }

    /// Put the calling process, of one thread, into it. Not for a process born there.
    pub fn join(&self) -> Result<(), CgroupError> {
        match &self.folders {
            Folders::One(folders) => folders.join(),
            Folders::Two(_) => Ok(()),
        }
    }

    /// How often the kernel killed a process in it at the memory limit; 0 when it is not there.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = match &self.folders {
            Folders::One(folders) => folders.oom_file(),
            Folders::Two(folder) => folder.oom_file(),
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Processes in it, or below.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let file = match &self.folders {
            Folders::One(folders) => folders.processes_file(),
            Folders::Two(folder) => folder.processes_file(),
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Hold all its processes where they are, or let them go on.
    pub fn freeze(&self, frozen: bool) -> Result<(), CgroupError> {
        match &self.folders {
            Folders::One(folders) => folders.freeze(frozen),
            Folders::Two(folder) => folder.freeze(frozen),
        }
    }

    /// What of it is shown inside.
    #[must_use]
    pub fn views(&self) -> Vec<View> {
        match &self.folders {
            Folders::One(folders) => folders.views(),
            Folders::Two(folder) => folder.views(),
        }
    }

    /// False when a process has not quite left it: ask again soon.
    pub fn remove(&self) -> Result<bool, CgroupError> {
        match &self.folders {
            Folders::One(folders) => folders.remove(),
            Folders::Two(folder) => folder.remove(),
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_path_buf();
    move |source| CgroupError::Io {
        action,
        path,
        source,
    }
}

fn make(folder: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(failed("make the control group", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Existing files only: in these file systems nobody else makes any.
fn write(path: &Path, text: &str) -> Result<(), CgroupError> {
    let mut file = File::options()
        .write(true)
        .open(path)
        .map_err(failed("open", path))?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(failed("write to", path))
}

/// Like `write`, for what not every kernel has; tells whether this one has it.
fn write_if_there(path: &Path, text: &str) -> Result<bool, CgroupError> {
    match write(path, text) {
        Ok(()) => Ok(true),
        Err(CgroupError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove(folder: &Path) -> Result<bool, CgroupError> {
    match fs::remove_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(true),
            ErrorKind::ResourceBusy => Ok(false),
            _ => Err(failed("remove the control group", folder)(error)),
        },
    }
}

#[cfg(test)]
mod tests;
