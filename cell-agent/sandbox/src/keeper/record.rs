//! What is on disk about each sandbox: enough for the next keeper to take it over, and for the next
//! agent to learn how it ended.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ground::DATA;
use crate::spec::Sandbox;

const FOLDER: &str = "sandboxes";
const SUFFIX: &str = ".json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) sandbox: Sandbox,
    pub(super) life: Life,
}

/// Which process it is: its number alone comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Life {
    /// Clock ticks between the machine's boot and the process's start.
    pub(super) start_ticks: u64,
    /// The machine's id of that boot.
    pub(super) boot: String,
}

impl Life {
    pub(super) fn of(pid: u32, boot: &str) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let start_ticks = start_ticks(&stat)
            .ok_or_else(|| io::Error::other("the kernel does not tell when it started"))?;
        Ok(Self {
            start_ticks,
            boot: boot.to_owned(),
        })
    }
}

/// The 22nd field; the second is a name in brackets, which may hold anything.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

pub(super) fn boot_id() -> io::Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

impl Record {
    /// Appears whole or not at all. Not synced: after a crash of the machine nothing runs.
    pub(super) fn save(&self) -> io::Result<()> {
        let path = path(&self.sandbox.name);
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec(self).map_err(io::Error::other)?)?;
        fs::rename(fresh, path)
    }
}

/// All that can be read; the names of those that cannot.
pub(super) fn load() -> io::Result<(Vec<Record>, Vec<String>)> {
    let folder = Path::new(DATA).join(FOLDER);
    fs::create_dir_all(&folder)?;
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)?.flatten() {
        let file = entry.file_name();
        let Some(name) = file.to_str().and_then(|file| file.strip_suffix(SUFFIX)) else {
            continue;
        };
        let record = fs::read(entry.path())?;
        match serde_json::from_slice::<Record>(&record) {
            Ok(record) if record.sandbox.name == name => records.push(record),
            _ => damaged.push(name.to_owned()),
        }
    }
    Ok((records, damaged))
}

/// Removing what is not there succeeds.
pub(super) fn remove(name: &str) -> io::Result<()> {
    match fs::remove_file(path(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(DATA).join(FOLDER).join(format!("{name}{SUFFIX}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_whatever_its_name() {
        let stat = "42 (a) (b c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 1 2 3";
        assert_eq!(start_ticks(stat), Some(98_765));
        assert_eq!(start_ticks("42 (cut"), None);
        let boot = boot_id().expect("a boot");
        let own = Life::of(std::process::id(), &boot).expect("this process");
        assert_eq!(own, Life::of(std::process::id(), &boot).expect("again"));
    }
}
