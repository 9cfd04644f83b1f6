//! What a platform costs the machine, counted over every process that works for it: itself, what it
//! has started, and the container engine with what that has started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::failure::Outcome;

/// Processes of a container engine, by the beginning of their names as the kernel keeps them.
const ENGINE: [&str; 3] = ["dockerd", "containerd", "runc"];
/// Kernel counters are in hundredths of a second.
const TICKS_PER_S: f64 = 100.0;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) cpu_s: f64,
    /// Shared pages divided among their users.
    pub(super) memory_mib: f64,
    pub(super) processes: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Process {
    parent: i32,
    name: String,
    /// Its own and that of its children that have ended.
    ticks: f64,
}

/// Of the platform with this pid, so far.
pub(super) fn of_platform(platform: i32) -> Outcome<Cost> {
    let all = processes();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let is_root = |pid: i32, process: &Process| {
        pid == platform || is_engine(&process.name) || (pid != own && is_helper(pid))
    };
    let members = members(&all, own, is_root);
    let ticks = members.iter().filter_map(|pid| all.get(pid));
    Ok(Cost {
        cpu_s: ticks.map(|process| process.ticks).sum::<f64>() / TICKS_PER_S,
        memory_mib: members
            .iter()
            .filter_map(|pid| proportional_kib(*pid))
            .sum::<f64>()
            / 1024.0,
        processes: members.len(),
    })
}

/// The roots and everything below them, but not this process and what it has started besides.
fn members(
    all: &BTreeMap<i32, Process>,
    own: i32,
    is_root: impl Fn(i32, &Process) -> bool,
) -> BTreeSet<i32> {
    let mut members = BTreeSet::new();
    for (pid, process) in all {
        let (mut path, mut at, mut found) = (vec![*pid], *pid, is_root(*pid, process));
        while !found
            && at != own
            && let Some(next) = all.get(&at).map(|process| process.parent)
            && let Some(process) = all.get(&next)
            && path.len() < all.len()
        {
            found = members.contains(&next) || is_root(next, process);
            path.push(next);
            at = next;
        }
        if found {
            members.extend(path.into_iter().filter(|pid| *pid != own));
        }
    }
    members
}

fn is_engine(name: &str) -> bool {
    ENGINE.iter().any(|engine| name.starts_with(engine))
}

/// A process of this binary that lives on its own: what the sandbox clones instances from.
fn is_helper(pid: i32) -> bool {
    let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/exe"));
    matches!((of("self"), of(&pid.to_string())), (Ok(own), Ok(its)) if own == its)
}

fn processes() -> BTreeMap<i32, Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parse(&stat)?))
    })
    .collect()
}

fn parse(stat: &str) -> Option<Process> {
    // The name in parentheses may hold anything; fields are counted after it.
    let (before, rest) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let times = fields.get(11..15)?;
    let ticks = times.iter().filter_map(|time| time.parse::<f64>().ok());
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        name: name.to_owned(),
        ticks: ticks.sum(),
    })
}

fn proportional_kib(pid: i32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What instances leave on a machine while they run, counted on all of it: to be compared with
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resources {
    pub(super) network_namespaces: usize,
    pub(super) cgroups: usize,
    pub(super) links: usize,
    pub(super) mounts: usize,
    pub(super) loop_devices: usize,
    pub(super) memory_available_mib: usize,
}

impl Resources {
    pub(super) fn read() -> Self {
        Self {
            network_namespaces: network_namespaces(),
            cgroups: folders(cgroup_root()),
            links: entries("/sys/class/net").count(),
            mounts: lines("/proc/self/mountinfo"),
            loop_devices: entries("/sys/block")
                .filter(|block| block.join("loop").exists())
                .count(),
            memory_available_mib: memory_available_mib(),
        }
    }

    /// Each with its name; memory last, because it is never the same twice.
    pub(super) fn named(&self) -> [(&'static str, usize); 6] {
        [
            ("network namespaces", self.network_namespaces),
            ("cgroups", self.cgroups),
            ("network links", self.links),
            ("mounts", self.mounts),
            ("loop devices", self.loop_devices),
            ("memory available, MiB", self.memory_available_mib),
        ]
    }

    /// Nothing of what can be counted is more than it was.
    pub(super) fn is_back_at(&self, before: &Self) -> bool {
        let counts = |it: &Self| it.named().map(|(_, count)| count);
        counts(self)[..5]
            .iter()
            .zip(&counts(before)[..5])
            .all(|(now, then)| now <= then)
    }
}

/// Of processes, and of those that are only mounted.
fn network_namespaces() -> usize {
    let of_processes =
        entries("/proc").filter_map(|path| std::fs::read_link(path.join("ns/net")).ok());
    let used: BTreeSet<_> = of_processes.collect();
    let mounted = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounted = mounted.lines().filter_map(|line| {
        let root = line.split_whitespace().nth(3)?;
        (root.starts_with("net:") && !used.contains(Path::new(root))).then_some(root)
    });
    used.len() + mounted.collect::<BTreeSet<_>>().len()
}

fn cgroup_root() -> &'static Path {
    let first = Path::new("/sys/fs/cgroup/memory");
    if first.is_dir() {
        first
    } else {
        Path::new("/sys/fs/cgroup")
    }
}

fn folders(root: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(root) else {
        return 0;
    };
    let inner = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    inner.map(|entry| 1 + folders(&entry.path())).sum()
}

fn entries(folder: &str) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

fn lines(path: &str) -> usize {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .count()
}

fn memory_available_mib() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.unwrap_or_default() / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_holds() {
        let stat = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 3 4 100 20 5 1 20 0 1 0 99";
        let process = parse(stat).expect("parses");
        assert_eq!((process.parent, process.name.as_str()), (3, "a) b"));
        assert!((process.ticks - 126.0).abs() < f64::EPSILON);
        assert_eq!(parse("7 (a) S"), None);
    }

    #[test]
    fn everything_below_a_root_counts_but_not_the_bench() {
        let process = |parent, name: &str| Process {
            parent,
            name: name.to_owned(),
            ticks: 1.0,
        };
        let all = BTreeMap::from([
            (1, process(0, "init")),
            (2, process(1, "cfx")),
            (3, process(2, "cfx")),
            (4, process(3, "child")),
            (5, process(4, "grandchild")),
            (6, process(1, "containerd-shim")),
            (7, process(6, "launcher")),
            (8, process(1, "stranger")),
            (9, process(2, "docker")),
        ]);
        let is_root = |pid, process: &Process| pid == 3 || is_engine(&process.name);
        let members = members(&all, 2, is_root);
        assert_eq!(members.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    }
}
