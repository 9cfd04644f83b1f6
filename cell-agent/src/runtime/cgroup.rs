//! Reads a container's counters from its control groups, version 1 or 2, without asking any
//! daemon: a reading costs a few small files, where Docker's statistics cost a second. The files are
//! kept open as long as there are not too many, so that a reading is one system call for each.

mod book;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Sample;
pub(super) use book::Book;

/// Files of one container's counters.
const FILES: u32 = 5;
const ROOT: &str = "/sys/fs/cgroup";
/// Longest file of counters, bytes; `memory.stat` has 2 KiB. What is behind it is not read.
const COUNTER_MAX_BYTES: usize = 8 * 1024;

/// Where the counters of one container are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    V1 {
        cpu: PathBuf,
        memory: PathBuf,
        pids: PathBuf,
    },
    V2(PathBuf),
}

/// A counter cannot be read: the container has ended, or its groups are not where they should be.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
pub struct CounterError {
    pub path: PathBuf,
    pub source: std::io::Error,
}

impl Groups {
    /// The groups that a process is in.
    pub fn of(pid: u32) -> Result<Self, CounterError> {
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = read(&path)?;
        Self::parse(&text, Path::new(ROOT)).ok_or_else(|| CounterError {
            path,
            source: std::io::Error::other("no group with the counters"),
        })
    }

    /// Lines are `id:controller,controller:path`; version 2 has no controllers in its one line.
    fn parse(text: &str, root: &Path) -> Option<Self> {
        let group = |controller: &str| {
            text.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let controllers = parts.next()?;
                let path = parts.next()?.trim_start_matches('/');
                controllers
                    .split(',')
                    .any(|each| each == controller)
                    .then(|| path.to_owned())
            })
        };
        // A machine may mount both; where version 1 has the controller, version 2 has not.
        if let (Some(cpu), Some(memory), Some(pids)) =
            (group("cpuacct"), group("memory"), group("pids"))
        {
            return Some(Self::V1 {
                cpu: root.join("cpuacct").join(cpu),
                memory: root.join("memory").join(memory),
                pids: root.join("pids").join(pids),
            });
        }
        Some(Self::V2(root.join(group("")?)))
    }

    /// Are they those of the container with this id? A process number alone may have changed hands.
    #[must_use]
    pub fn are_of(&self, id: &str) -> bool {
        let group = match self {
            Self::V1 { memory, .. } => memory,
            Self::V2(group) => group,
        };
        let name = group.file_name().and_then(|name| name.to_str());
        !id.is_empty() && name.is_some_and(|name| name.contains(id))
    }

    /// The counters. With a place for them their files stay open until this is dropped.
    pub fn open(&self, place: Option<OwnedSemaphorePermit>) -> Result<Counters, CounterError> {
        let open = |path| Counter::open(path, place.is_some());
        let [cpu, memory, stat, pids, events] = match self {
            Self::V1 { cpu, memory, pids } => [
                cpu.join("cpuacct.usage"),
                memory.join("memory.usage_in_bytes"),
                memory.join("memory.stat"),
                pids.join("pids.current"),
                memory.join("memory.oom_control"),
            ],
            Self::V2(group) => [
                group.join("cpu.stat"),
                group.join("memory.current"),
                group.join("memory.stat"),
                group.join("pids.current"),
                group.join("memory.events"),
            ],
        };
        Ok(Counters {
            is_v1: matches!(self, Self::V1 { .. }),
            cpu: open(cpu)?,
            memory: open(memory)?,
            stat: open(stat)?,
            pids: open(pids)?,
            events: open(events)?,
            _place: place,
        })
    }
}

/// The counters of one container.
#[derive(Debug)]
pub struct Counters {
    is_v1: bool,
    cpu: Counter,
    memory: Counter,
    stat: Counter,
    pids: Counter,
    events: Counter,
    _place: Option<OwnedSemaphorePermit>,
}

impl Counters {
    /// Fails once the container's groups are gone.
    pub fn sample(&self) -> Result<Sample, CounterError> {
        let cpu = match self.is_v1 {
            true => Duration::from_nanos(self.cpu.number()?),
            false => Duration::from_micros(field(&self.cpu.read()?, "usage_usec")),
        };
        let inactive = match self.is_v1 {
            true => "total_inactive_file",
            false => "inactive_file",
        };
        Ok(Sample {
            cpu,
            memory_bytes: working_set(self.memory.number()?, &self.stat.read()?, inactive),
            pids: small(self.pids.number()?),
            oom_kills: field(&self.events.read()?, "oom_kill"),
        })
    }
}

#[derive(Debug)]
struct Counter {
    path: PathBuf,
    /// None: it is opened for each reading.
    file: Option<File>,
}

impl Counter {
    fn open(path: PathBuf, stays_open: bool) -> Result<Self, CounterError> {
        match File::open(&path) {
            Ok(file) => Ok(Self {
                path,
                file: stays_open.then_some(file),
            }),
            Err(source) => Err(CounterError { path, source }),
        }
    }

    fn error(&self, source: std::io::Error) -> CounterError {
        CounterError {
            path: self.path.clone(),
            source,
        }
    }

    /// The whole file: the kernel writes it anew for whoever reads from its begin.
    fn read(&self) -> Result<String, CounterError> {
        let mut bytes = [0; COUNTER_MAX_BYTES];
        let read = match &self.file {
            Some(file) => file.read_at(&mut bytes, 0),
            None => File::open(&self.path).and_then(|file| file.read_at(&mut bytes, 0)),
        };
        let read = read.map_err(|source| self.error(source))?;
        Ok(String::from_utf8_lossy(&bytes[..read]).into_owned())
    }

    fn number(&self) -> Result<u64, CounterError> {
        let not_a_number = || self.error(std::io::Error::other("not a number"));
        self.read()?.trim().parse().map_err(|_| not_a_number())
    }
}

fn working_set(usage: u64, stat: &str, inactive: &str) -> u64 {
    usage.saturating_sub(field(stat, inactive))
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The value in a file of `key value` lines; 0 when the key is not there.
fn field(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| {
            let (name, value) = line.split_once(' ')?;
            (name == key).then(|| value.trim().parse().ok())?
        })
        .unwrap_or(0)
}

fn read(path: &Path) -> Result<String, CounterError> {
    std::fs::read_to_string(path).map_err(|source| CounterError {
        path: path.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn groups_are_found_in_both_versions_and_on_machines_with_both() {
        let root = Path::new("/g");
        let v1 = "5:pids:/docker/ab\n4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n0::/docker/ab";
        assert_eq!(
            Groups::parse(v1, root),
            Some(Groups::V1 {
                cpu: "/g/cpuacct/docker/ab".into(),
                memory: "/g/memory/docker/ab".into(),
                pids: "/g/pids/docker/ab".into(),
            })
        );
        let v2 = "0::/system.slice/docker-ab.scope\n";
        assert_eq!(
            Groups::parse(v2, root),
            Some(Groups::V2("/g/system.slice/docker-ab.scope".into()))
        );
        assert_eq!(Groups::parse("", root), None);
        for text in [v1, v2] {
            let groups = Groups::parse(text, root).expect("groups");
            assert!(groups.are_of("ab") && !groups.are_of("ac") && !groups.are_of(""));
        }
    }

    #[test]
    fn counters_of_version_2_are_read_again_and_again() {
        let group = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("cpu.stat", "usage_usec 1500000\nuser_usec 1\n"),
            ("memory.current", "4096000\n"),
            ("memory.stat", "anon 1\ninactive_file 96000\n"),
            ("memory.events", "oom 1\noom_kill 2\n"),
            ("pids.current", "7\n"),
        ] {
            std::fs::write(group.path().join(name), text).expect("written");
        }
        let places = Arc::new(Semaphore::new(FILES as usize));
        let place = || Arc::clone(&places).try_acquire_many_owned(FILES).ok();
        let open = || Groups::V2(group.path().to_path_buf()).open(place());
        let counters = open().expect("all are there");
        let first = counters.sample().expect("a sample");
        let opened_anew = open().expect("all are there");
        assert!(counters.cpu.file.is_some() && opened_anew.cpu.file.is_none());
        assert_eq!(opened_anew.sample().expect("a sample"), first);
        std::fs::write(group.path().join("pids.current"), "9\n").expect("written");
        for counters in [counters, opened_anew] {
            assert_eq!(counters.sample().expect("a sample").pids, 9);
        }
        assert_eq!(places.available_permits(), FILES as usize);
        assert_eq!(
            first,
            Sample {
                cpu: Duration::from_millis(1500),
                memory_bytes: 4_000_000,
                pids: 7,
                oom_kills: 2,
            }
        );
    }
}
