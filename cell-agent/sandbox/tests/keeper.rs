//! Real sandboxes by a real keeper. Needs root, and says so.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cfx_sandbox::channel::Channel;
use cfx_sandbox::keeper::{Home, clear_away, reach};
use cfx_sandbox::message::{Answer, Asked, Request, Told};
use cfx_sandbox::mounts::{Access, pick, pick_all};
use cfx_sandbox::spec::{Limits, User};
use cfx_sandbox::{Ended, Refusal, Sandbox, SandboxError, Spec, requirements};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Longest wait for the keeper, on a machine with other work to do.
const DEADLINE_MS: u16 = 30_000;
const USER: User = User {
    uid: 4_400_001,
    gid: 4_400_001,
};
const LIMITS: Limits = Limits {
    memory_bytes: 64 << 20,
    cpu_shares: 64,
    pids: 16,
    fds: 128,
};

/// A keeper with a stack of this machine's programs, and one agent.
struct Stage {
    home: Home,
    channel: Channel,
    asked: u64,
    /// Ends that were told while something else was awaited.
    ends: Vec<String>,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        assert_eq!(
            requirements::missing(),
            [],
            "this machine cannot make sandboxes"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home {
            folder: folder.path().join("keeper"),
            program: env!("CARGO_BIN_EXE_cfx-keeper").into(),
            cell: format!(
                "test-{}",
                folder
                    .path()
                    .display()
                    .to_string()
                    .rsplit('.')
                    .next()
                    .expect("a name")
            ),
            version: "1".to_owned(),
        };
        let channel = reach(&home).expect("a keeper");
        let mut stage = Self {
            home,
            channel,
            asked: 0,
            ends: Vec::new(),
            folder,
        };
        stage.define();
        stage
    }

    fn define(&mut self) {
        let tree = self.folder.path().join("tree");
        for name in ["dev", "proc", "sys", "etc", "tmp", "work", "usr"] {
            fs::create_dir_all(tree.join(name)).expect("made");
        }
        for name in ["bin", "lib", "lib64"] {
            drop(std::os::unix::fs::symlink(
                format!("usr/{name}"),
                tree.join(name),
            ));
        }
        let files = [
            pick(&tree, Access::ReadOnly).expect("a tree"),
            pick_all(Path::new("/usr"), Access::ReadOnly).expect("/usr"),
        ];
        let request = Request::Define {
            name: "host".to_owned(),
            targets: vec!["/usr".into()],
        };
        assert_eq!(self.ask_with(request, &files), Ok(Answer::Done));
    }

    /// A sandbox that runs a shell line, with a folder to write to.
    fn spec(&self, name: &str, line: &str) -> (Spec, Vec<OwnedFd>) {
        let work = self.work(name);
        fs::create_dir_all(&work).expect("made");
        std::os::unix::fs::chown(&work, Some(USER.uid), Some(USER.gid)).expect("given");
        let spec = Spec {
            name: name.to_owned(),
            stack: "host".to_owned(),
            hostname: "inside".to_owned(),
            user: USER,
            limits: LIMITS,
            has_network: false,
            targets: vec!["/work".into()],
            program: ["/usr/bin/sh", "-c", line].map(str::to_owned).into(),
            slot: work.clone(),
            labels: BTreeMap::from([("a".to_owned(), "ä=b".to_owned())]),
        };
        (
            spec,
            vec![pick(&work, Access::ReadWrite).expect("a folder")],
        )
    }

    fn work(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    fn start(&mut self, name: &str, line: &str) -> Result<Sandbox, Refusal> {
        let (spec, files) = self.spec(name, line);
        self.start_spec(spec, &files)
    }

    fn start_spec(&mut self, spec: Spec, files: &[OwnedFd]) -> Result<Sandbox, Refusal> {
        match self.ask_with(Request::Start(Box::new(spec)), files)? {
            Answer::Sandbox(sandbox) => Ok(sandbox),
            other => panic!("{other:?}"),
        }
    }

    fn look(&mut self, name: &str) -> Result<Sandbox, Refusal> {
        let name = name.to_owned();
        match self.ask(Request::Look { name })? {
            Answer::Sandbox(sandbox) => Ok(sandbox),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, request: Request) -> Result<Answer, Refusal> {
        self.ask_with(request, &[])
    }

    fn ask_with(&mut self, request: Request, files: &[OwnedFd]) -> Result<Answer, Refusal> {
        self.asked += 1;
        let number = self.asked;
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let asked = Asked { number, request };
        self.channel.send(&asked, &files).expect("asked");
        loop {
            match self.next() {
                Told::Answer { number: of, answer } if of == number => return answer,
                Told::Ended { name } => self.ends.push(name),
                other => panic!("{other:?}"),
            }
        }
    }

    fn next(&self) -> Told {
        let mut fds = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
        let heard = poll(&mut fds, PollTimeout::from(DEADLINE_MS)).expect("polled");
        assert_eq!(heard, 1, "the keeper says nothing");
        let told = self.channel.receive().expect("received");
        told.expect("the keeper is there").0
    }

    /// Waits for the end that is told.
    fn end(&mut self, name: &str) -> Ended {
        while !self.ends.iter().any(|ended| ended == name) {
            match self.next() {
                Told::Ended { name } => self.ends.push(name),
                other => panic!("{other:?}"),
            }
        }
        self.look(name).expect("there").ended.expect("ended")
    }

    fn release(&mut self, name: &str) {
        let name = name.to_owned();
        assert_eq!(self.ask(Request::Release { name }), Ok(Answer::Done));
    }

    /// What a line wrote into its own folder, after its end.
    fn output(&mut self, name: &str, line: &str) -> String {
        let line = format!("exec > /work/out 2>&1; {line}");
        self.start(name, &line).expect("started");
        self.end(name);
        fs::read_to_string(self.work(name).join("out")).expect("written")
    }

    fn keeper_pid(&self) -> i32 {
        let entries = fs::read_dir("/proc").expect("listed").flatten();
        let mut found = entries.filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let is_keeper = line.contains("cfx-keeper") && line.contains(&self.home.cell);
            is_keeper.then_some(pid)
        });
        found.next().expect("a keeper")
    }

    fn kill_keeper(&mut self) {
        let keeper = nix::unistd::Pid::from_raw(self.keeper_pid());
        nix::sys::signal::kill(keeper, nix::sys::signal::Signal::SIGKILL).expect("killed");
        self.channel = reach(&self.home).expect("another keeper");
        self.define();
    }

    /// Folders of control groups that carry the cell's name, and mounts that do.
    fn remains(&self) -> Vec<String> {
        let mut remains = Vec::new();
        for controller in fs::read_dir("/sys/fs/cgroup").expect("listed").flatten() {
            let cell = controller.path().join("cfx").join(&self.home.cell);
            let entries = fs::read_dir(cell).into_iter().flatten().flatten();
            let folders = entries.filter(|entry| entry.path().is_dir());
            remains.extend(folders.map(|entry| entry.path().display().to_string()));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read");
        let folder = self.folder.path().display().to_string();
        let mine = mounts.lines().filter(|line| line.contains(&folder));
        remains.extend(mine.map(str::to_owned));
        remains
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Nothing of a test outlives it, whatever became of it.
        drop(clear_away(&self.home));
    }
}

#[test]
fn a_sandbox_ends_with_its_status_and_leaves_nothing() {
    let mut stage = Stage::new();
    let started = stage.start("a", "exit 7").expect("started");
    assert_eq!(started.labels["a"], "ä=b");
    let ended = Ended {
        status: Some(7),
        out_of_memory: false,
    };
    assert_eq!(stage.end("a"), ended);
    stage.start("b", "sleep 600").expect("started");
    let name = "b".to_owned();
    let signal = Request::Signal {
        name,
        signal: libc::SIGKILL,
    };
    stage.ask(signal.clone()).expect("signalled");
    assert_eq!(stage.end("b").status, Some(137));
    stage.ask(signal).expect("too late is no failure");
    stage.start("c", "sleep 600").expect("started");
    for name in ["a", "b", "c", "c"] {
        stage.release(name);
    }
    assert_eq!(stage.look("a"), Err(Refusal::NoSandbox("a".to_owned())));
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn starting_twice_gives_one_and_what_cannot_start_says_why() {
    let mut stage = Stage::new();
    let one = stage.start("a", "sleep 600").expect("started");
    assert_eq!(stage.start("a", "exit 1").expect("the same"), one);
    let (mut spec, files) = stage.spec("b", "true");
    spec.program = vec!["/nowhere".to_owned()];
    let refused = stage.start_spec(spec, &files).expect_err("no program");
    assert_eq!(
        refused.to_string(),
        "cannot exec its first process: No such file or directory (os error 2)"
    );
    let (mut spec, files) = stage.spec("c", "true");
    spec.targets = vec!["/nowhere".into()];
    let refused = stage.start_spec(spec, &files).expect_err("no target");
    let told = "cannot mount its folders: nowhere: No such file or directory (os error 2)";
    assert_eq!(refused.to_string(), told);
    let (mut spec, files) = stage.spec("d", "true");
    spec.stack = "none".to_owned();
    let refused = stage.start_spec(spec, &files).expect_err("no stack");
    assert_eq!(refused, Refusal::NoStack("none".to_owned()));
    let (mut spec, files) = stage.spec("e", "true");
    spec.targets = vec!["/work/../../x".into()];
    stage.start_spec(spec, &files).expect_err("it leads out");
    let (mut spec, files) = stage.spec("f", "true");
    spec.name = "../f".to_owned();
    stage.start_spec(spec, &files).expect_err("no name");
    for name in ["b", "c", "d", "e"] {
        assert_eq!(stage.look(name), Err(Refusal::NoSandbox(name.to_owned())));
    }
    stage.release("a");
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn inside_is_a_world_of_its_own() {
    let mut stage = Stage::new();
    let told = stage.output(
        "a",
        "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; id -u; cat /proc/self/uid_map; \
         hostname; ulimit -n; ulimit -c; cat /proc/self/oom_score_adj; cat /proc/1/comm; \
         ls -m /proc/1/fd; cat /proc/self/cgroup; ls /sys/fs/cgroup /; \
         cat /proc/net/dev; ls /data /stack; stat -c %A-%n /dev/null; cat /proc/mounts",
    );
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "4400001",
        "inside",
        "128",
        "0",
        "500",
        "sh",
        "0, 1, 2",
        "crw-rw-rw--/dev/null",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in {told}");
    }
    assert!(told.contains("/data': No such file"), "{told}");
    let map: Vec<&str> = told
        .lines()
        .filter(|line| line.split_whitespace().count() == 3 && line.contains("4400001"))
        .collect();
    assert_eq!(map.len(), 1, "one user, and no other: {told}");
    // No group of it lies anywhere but at the root of what it sees.
    assert!(!told.contains(&stage.home.cell), "{told}");
    let devices = told
        .lines()
        .filter(|line| line.contains(": ") && line.trim().starts_with("eth"));
    assert_eq!(devices.count(), 0, "{told}");
}

#[test]
fn what_is_the_machine_s_cannot_be_changed_or_seen() {
    let mut stage = Stage::new();
    let told = stage.output(
        "a",
        "touch /x /usr/x /dev/x /sys/x /etc/x; echo y > /proc/sys/kernel/hostname; \
         cat /proc/kcore /proc/keys | wc -c; ls /sys/firmware | wc -l; unshare -U true; \
         mount -t tmpfs x /work; mknod /work/n b 7 0; chroot /; hostname other; \
         kill -9 1; kill -9 -1; echo still here",
    );
    for refused in [
        "'/x': Read-only file system",
        "'/usr/x': Read-only file system",
        "'/dev/x': Read-only file system",
        "'/sys/x': Read-only file system",
        "'/etc/x': Read-only file system",
        "/proc/sys/kernel/hostname: Read-only file system",
        "unshare failed: Operation not permitted",
        "mount: /work",
        "mknod: /work/n: Operation not permitted",
        "chroot: ",
    ] {
        assert!(told.contains(refused), "{refused} in {told}");
    }
}

#[test]
fn limits_hold() {
    let mut stage = Stage::new();
    let told = stage.output(
        "pids",
        "i=0; while [ $i -lt 40 ]; do sleep 600 & i=$((i+1)); done",
    );
    assert!(told.contains("Cannot fork"), "{told}");
    let files = "import os\nn=0\ntry:\n while 1: os.open('/dev/null',0); n+=1\n\
        except OSError as e: print(n, e.errno)";
    let told = stage.output("fds", &format!("python3 -c \"{files}\""));
    assert_eq!(told, "125 24\n");
    let line = "exec python3 -c 'bytearray(200 << 20)'";
    stage.start("memory", line).expect("started");
    let ended = Ended {
        status: Some(137),
        out_of_memory: true,
    };
    assert_eq!(stage.end("memory"), ended);
    for name in ["pids", "fds", "memory"] {
        stage.release(name);
    }
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn a_killed_keeper_takes_nobody_with_it_and_the_next_one_knows_all() {
    let mut stage = Stage::new();
    let running = stage.start("a", "sleep 600").expect("started");
    stage.start("c", "exit 3").expect("started");
    let before = stage.end("c");
    stage.kill_keeper();
    assert_eq!(stage.look("a").expect("it runs"), running);
    assert_eq!(stage.look("c").expect("kept").ended, Some(before));
    // It is nobody's child now: its end is seen, its status is not.
    let name = "a".to_owned();
    stage
        .ask(Request::Signal {
            name,
            signal: libc::SIGKILL,
        })
        .expect("signalled");
    let ended = Ended {
        status: None,
        out_of_memory: false,
    };
    assert_eq!(stage.end("a"), ended);
    for name in ["a", "c"] {
        stage.release(name);
    }
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn what_ended_while_no_keeper_lived_has_ended() {
    let mut stage = Stage::new();
    let sandbox = stage.start("a", "sleep 600").expect("started");
    let keeper = nix::unistd::Pid::from_raw(stage.keeper_pid());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(sandbox.pid).expect("a pid"));
    for pid in [keeper, pid] {
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("killed");
    }
    while fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        std::thread::yield_now();
    }
    stage.channel = reach(&stage.home).expect("another keeper");
    let ended = stage.look("a").expect("on record").ended.expect("ended");
    assert_eq!(ended.status, None);
    stage.release("a");
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn a_keeper_of_another_version_is_replaced_and_its_sandboxes_stay() {
    let mut stage = Stage::new();
    let sandbox = stage.start("a", "sleep 600").expect("started");
    let first = stage.keeper_pid();
    stage.home.version = "2".to_owned();
    stage.channel = reach(&stage.home).expect("the new one");
    assert_ne!(stage.keeper_pid(), first);
    assert_eq!(stage.look("a").expect("it runs"), sandbox);
}

#[test]
fn a_frozen_sandbox_stands_still_and_can_still_be_released() {
    let mut stage = Stage::new();
    let line = "while :; do echo x >> /work/count; done";
    stage.start("a", line).expect("started");
    let freeze = |frozen| Request::Freeze {
        name: "a".to_owned(),
        frozen,
    };
    let count = stage.work("a").join("count");
    let length = || fs::metadata(&count).map_or(0, |about| about.len());
    let grows_beyond = |length_before: u64| {
        while length() <= length_before {
            std::thread::yield_now();
        }
    };
    grows_beyond(0);
    stage.ask(freeze(true)).expect("frozen");
    let still = settled(&length);
    for _ in 0..1_000 {
        std::thread::yield_now();
        assert_eq!(length(), still);
    }
    stage.ask(freeze(false)).expect("thawed");
    grows_beyond(still);
    stage.ask(freeze(true)).expect("frozen again");
    stage.release("a");
    assert_eq!(stage.remains(), [""; 0]);
}

/// Freezing takes a moment: the length once two looks agree.
fn settled(length: &dyn Fn() -> u64) -> u64 {
    let mut before = length();
    loop {
        for _ in 0..1_000 {
            std::thread::yield_now();
        }
        let now = length();
        if now == before {
            return now;
        }
        before = now;
    }
}

#[test]
fn a_binary_that_cannot_work_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("set");
    let home = Home {
        folder: folder.path().join("keeper"),
        program: "/usr/bin/false".into(),
        cell: "none".to_owned(),
        version: "1".to_owned(),
    };
    let failed = reach(&home).expect_err("no keeper");
    assert!(matches!(failed, SandboxError::NoKeeper(_)), "{failed}");
}

#[test]
fn the_floor_is_measured_in_a_process_of_its_own() {
    let keeper = Path::new(env!("CARGO_BIN_EXE_cfx-keeper"));
    let program = Path::new("/bin/true");
    let floor = cfx_sandbox::floor::bare_start(keeper, program, 3, true).expect("measured");
    assert_eq!(floor.starts, 3);
    assert!(
        !floor.cpu.is_zero() && floor.wall >= floor.cpu / 4,
        "{floor:?}"
    );
}
