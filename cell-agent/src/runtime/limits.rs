//! Sets the limits of a container that runs already, in its control groups of version 1 or 2.
//!
//! The same values in the same files as an engine writes before a start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::ContainerLimits;

const ROOT: &str = "/sys/fs/cgroup";
/// The kernel's range of CPU weights in version 2, for its range of shares in version 1.
const SHARES_MIN: u64 = 2;
const SHARES_SPAN: u64 = 262_142;
const WEIGHT_SPAN: u64 = 9_999;

/// Limit everything in the groups of a process.
pub(super) fn set(pid: u32, limits: &ContainerLimits) -> io::Result<()> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    set_in(&text, Path::new(ROOT), limits)
}

fn set_in(text: &str, root: &Path, limits: &ContainerLimits) -> io::Result<()> {
    let groups = groups(text, root);
    let group = |controller: &str| groups.get(controller);
    let memory = limits.memory_bytes.to_string();
    if let (Some(cpu), Some(memory_group), Some(pids)) =
        (group("cpu"), group("memory"), group("pids"))
    {
        write(cpu, "cpu.shares", &limits.cpu_shares.to_string())?;
        write(pids, "pids.max", &limits.pids.to_string())?;
        return set_memory_v1(memory_group, &memory);
    }
    let Some(group) = group("") else {
        return Err(io::Error::other("the process is in no control group"));
    };
    write(group, "memory.max", &memory)?;
    // No swap: the limit is the limit. A kernel without swap has no such file.
    unless_missing(write(group, "memory.swap.max", "0"))?;
    write(group, "cpu.weight", &weight(limits.cpu_shares).to_string())?;
    write(group, "pids.max", &limits.pids.to_string())
}

/// Memory with swap may never be less than memory alone: which is set first depends on whether the
/// limit rises or falls.
fn set_memory_v1(group: &Path, bytes: &str) -> io::Result<()> {
    let (memory, with_swap) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
    if write(group, memory, bytes).is_ok() {
        return unless_missing(write(group, with_swap, bytes));
    }
    unless_missing(write(group, with_swap, bytes))?;
    write(group, memory, bytes)
}

/// As the engines convert one into the other.
fn weight(shares: u64) -> u64 {
    1 + shares.saturating_sub(SHARES_MIN) * WEIGHT_SPAN / SHARES_SPAN
}

/// The group of each controller; version 2 has one group for all, under an empty name.
fn groups(text: &str, root: &Path) -> BTreeMap<String, PathBuf> {
    let mut groups = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        for controller in controllers.split(',') {
            let place = root.join(controller).join(path.trim_start_matches('/'));
            groups.insert(controller.to_owned(), place);
        }
    }
    groups
}

fn write(group: &Path, file: &str, value: &str) -> io::Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .open(group.join(file))
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
}

fn unless_missing(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ContainerLimits = ContainerLimits {
        memory_bytes: 64 << 20,
        cpu_shares: 1_024,
        pids: 32,
        fds: 0,
    };

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        root
    }

    #[test]
    fn limits_go_to_the_files_of_either_version() {
        let files = [
            "cpu/docker/ab/cpu.shares",
            "memory/docker/ab/memory.limit_in_bytes",
            "memory/docker/ab/memory.memsw.limit_in_bytes",
            "pids/docker/ab/pids.max",
        ];
        let text = "5:pids:/docker/ab\n4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n0::/";
        let root = folder(&files);
        set_in(text, root.path(), &LIMITS).expect("limited");
        let read = |file: &str| std::fs::read_to_string(root.path().join(file)).expect("there");
        assert_eq!(files.map(read), ["1024", "67108864", "67108864", "32"]);

        let files = ["memory.max", "memory.swap.max", "cpu.weight", "pids.max"];
        let paths = files.map(|file| format!("system.slice/docker-ab.scope/{file}"));
        let root = folder(&paths.each_ref().map(String::as_str));
        set_in("0::/system.slice/docker-ab.scope\n", root.path(), &LIMITS).expect("limited");
        let read = |file: &String| std::fs::read_to_string(root.path().join(file)).expect("there");
        assert_eq!(paths.each_ref().map(read), ["67108864", "0", "39", "32"]);
    }

    #[test]
    fn a_process_without_groups_is_an_error_not_an_unlimited_one() {
        let root = folder(&[]);
        assert!(set_in("", root.path(), &LIMITS).is_err());
        assert!(set_in("0::/gone\n", root.path(), &LIMITS).is_err());
    }
}
