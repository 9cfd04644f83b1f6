//! What the first process of a sandbox does between its clone and its program, in order.
//!
//! It is a copy of the keeper, root on the machine, in new namespaces. Each step takes something
//! away; after the last it execs. All paths are relative to the root, first the keeper's and then
//! the stack's.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socket};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, sethostname, setsid};

use crate::cgroup::Group;
use crate::error::Refusal;
use crate::mounts::{Access, pick};
use crate::privileges;
use crate::seccomp::Filter;
use crate::spec::{Spec, below_root};
use crate::stack::{EMPTY, Stack, bind, read_only};
use crate::syscall;

/// Under memory pressure on the machine apps go before everything of the platform.
const OOM_SCORE_ADJ: &str = "500";
/// Shared memory of a sandbox; what is in it also counts against its memory limit.
const SHARED_MEMORY: &str = "mode=1777,size=64m";
/// Terminals of its own, for whoever asks for one.
const TERMINALS: &str = "newinstance,ptmxmode=0666,mode=0620";
/// Longest text of a failed step, bytes.
pub(crate) const FAILURE_BYTES_MAX: usize = 1024;
/// The keeper's word that the sandbox is on record.
pub(crate) const GO: &[u8] = b"go";

/// What of /proc a sandbox must not see: it is about the machine, or slow, or a way into it.
const HIDDEN: [&str; 10] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
];
/// What of it nobody may change there.
const FIXED: [&str; 5] = [
    "proc/bus",
    "proc/fs",
    "proc/irq",
    "proc/sys",
    "proc/sysrq-trigger",
];

/// The parts of those lists that this kernel has.
#[derive(Debug, Clone)]
pub(crate) struct Masks {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    fixed: Vec<PathBuf>,
}

impl Masks {
    /// By the machine's own /proc.
    pub(crate) fn of_machine() -> Self {
        let there = |paths: &[&str]| -> Vec<PathBuf> {
            let paths = paths.iter().map(PathBuf::from);
            paths
                .filter(|path| Path::new("/").join(path).exists())
                .collect()
        };
        let is_folder = |path: &PathBuf| Path::new("/").join(path).is_dir();
        let (folders, files) = there(&HIDDEN).into_iter().partition(is_folder);
        Self {
            files,
            folders,
            fixed: there(&FIXED),
        }
    }
}

/// Everything the steps need, made ready before the clone.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) stack: &'a Stack,
    pub(crate) group: &'a Group,
    pub(crate) masks: &'a Masks,
    pub(crate) filter: &'a Filter,
    pub(crate) network: Option<OwnedFd>,
    pub(crate) mounts: Vec<OwnedFd>,
    program: CString,
    arguments: Vec<CString>,
    targets: Vec<PathBuf>,
    views: Vec<(OwnedFd, PathBuf)>,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(
        spec: &'a Spec,
        stack: &'a Stack,
        group: &'a Group,
        masks: &'a Masks,
        filter: &'a Filter,
        mut files: Vec<OwnedFd>,
    ) -> Result<Self, Refusal> {
        let wrong = |what: &str| {
            Refusal::failed("read the description", &io::Error::other(what.to_owned()))
        };
        if files.len() != spec.targets.len() + usize::from(spec.has_network) {
            return Err(wrong("mounts and their files are not equally many"));
        }
        let network = spec.has_network.then(|| files.remove(0));
        let targets: Option<Vec<PathBuf>> =
            spec.targets.iter().map(|path| below_root(path)).collect();
        let arguments = spec.program.iter().map(|text| CString::new(text.as_str()));
        let arguments: Result<Vec<CString>, _> = arguments.collect();
        let arguments = arguments.map_err(|_| wrong("the program's name has a NUL"))?;
        Ok(Self {
            program: arguments
                .first()
                .cloned()
                .ok_or_else(|| wrong("there is no program"))?,
            arguments,
            targets: targets.ok_or_else(|| wrong("a mount leads out of the root"))?,
            views: views(group).map_err(|error| {
                Refusal::failed("pick what it sees of its control groups", &error)
            })?,
            spec,
            stack,
            group,
            masks,
            filter,
            network,
            mounts: files,
        })
    }
}

fn views(group: &Group) -> io::Result<Vec<(OwnedFd, PathBuf)>> {
    let views = group.views().into_iter().map(|view| {
        let target = Path::new("sys/fs/cgroup").join(view.target);
        Ok((pick(&view.source, Access::ReadOnly)?, target))
    });
    views.collect()
}

type Step = (&'static str, fn(&Plan<'_>) -> io::Result<()>);

const STEPS: [Step; 12] = [
    ("enter its control groups", enter_groups),
    ("enter its network", enter_network),
    ("take its name", take_name),
    ("enter its stack", |plan| plan.stack.enter()),
    ("mount its folders", mount_folders),
    ("mount its /proc", mount_proc),
    ("mount its /dev", mount_dev),
    ("show its control groups", show_groups),
    ("set its limits", set_limits),
    ("let go of the keeper's files", let_go_of_files),
    ("become its user", |plan| {
        privileges::become_alone(plan.spec.user)
    }),
    ("let go of all rights", |_| privileges::let_go()),
];

/// Take all steps and exec. Returns only when one failed: then the process must end.
pub(crate) fn run(plan: &Plan<'_>, keeper: &OwnedFd) {
    let failed = |step: &str, error: &dyn std::fmt::Display| {
        let mut text = format!("{step}\n{error}");
        text.truncate(FAILURE_BYTES_MAX);
        // Nobody is left to tell when this fails.
        send(keeper.as_raw_fd(), text.as_bytes(), MsgFlags::MSG_NOSIGNAL).unwrap_or(0);
    };
    for (name, step) in STEPS {
        if let Err(error) = step(plan) {
            return failed(name, &error);
        }
    }
    let mut word = [0; GO.len()];
    // A keeper that dies before this word has perhaps not written down that there is a sandbox.
    match recv(keeper.as_raw_fd(), &mut word, MsgFlags::empty()) {
        Ok(length) if word.get(..length) == Some(GO) => {}
        _ => return failed("hear from the keeper", &"it has gone"),
    }
    if let Err(error) = plan.filter.install() {
        return failed("install its filter of system calls", &error);
    }
    let error = syscall::exec(&plan.program, &plan.arguments);
    failed("exec its first process", &error);
}

/// First, so that whatever the other steps take counts; the view of groups begins where it is.
fn enter_groups(plan: &Plan<'_>) -> io::Result<()> {
    plan.group.join().map_err(io::Error::other)?;
    Ok(unshare(CloneFlags::CLONE_NEWCGROUP)?)
}

fn enter_network(plan: &Plan<'_>) -> io::Result<()> {
    if let Some(namespace) = &plan.network {
        return Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?);
    }
    let kind = SockType::Datagram;
    let socket = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    syscall::raise_loopback(socket.as_fd())
}

fn take_name(plan: &Plan<'_>) -> io::Result<()> {
    Ok(sethostname(&plan.spec.hostname)?)
}

fn mount_folders(plan: &Plan<'_>) -> io::Result<()> {
    for (target, tree) in plan.targets.iter().zip(&plan.mounts) {
        syscall::move_mount(tree.as_fd(), target)
            .map_err(|error| io::Error::other(format!("{}: {error}", target.display())))?;
    }
    Ok(())
}

fn mount_proc(plan: &Plan<'_>) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "proc", Some("proc"), flags, None::<&str>)?;
    for path in &plan.masks.files {
        bind(Path::new("dev/null"), path)?;
    }
    for path in &plan.masks.folders {
        bind(Path::new(EMPTY), path)?;
    }
    for path in &plan.masks.fixed {
        bind(path, path)?;
        read_only(path, flags)?;
    }
    Ok(())
}

fn mount_dev(_: &Plan<'_>) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let tmpfs = Some("tmpfs");
    mount(tmpfs, "dev/shm", tmpfs, flags, Some(SHARED_MEMORY))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let devpts = Some("devpts");
    Ok(mount(devpts, "dev/pts", devpts, flags, Some(TERMINALS))?)
}

fn show_groups(plan: &Plan<'_>) -> io::Result<()> {
    for (view, target) in &plan.views {
        syscall::move_mount(view.as_fd(), target)?;
    }
    Ok(())
}

fn set_limits(plan: &Plan<'_>) -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ)?;
    let fds = u64::from(plan.spec.limits.fds);
    setrlimit(Resource::RLIMIT_NOFILE, fds, fds)?;
    // A core file would land wherever the machine's pattern says.
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

fn let_go_of_files(_: &Plan<'_>) -> io::Result<()> {
    setsid()?;
    umask(Mode::from_bits_truncate(0o022));
    syscall::heed_broken_pipes();
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    syscall::close_on_exec()
}
