//! A runtime on real volumes and slots, and what holds for Docker and for sandboxes alike.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use tokio::io::AsyncReadExt;

use super::contract::soon;
use super::{ContainerLimits, ContainerName, Mount, Reservation, RootFs, Runtime, User};
use crate::slot::{Attached, Command, Program, Slot};
use crate::volume::{Volume, VolumeSpec, Volumes};

pub(crate) const USER: User = User {
    uid: 4_200_001,
    gid: 4_200_001,
};
pub(crate) const LIMITS: ContainerLimits = ContainerLimits {
    memory_bytes: 64 << 20,
    cpu_shares: 64,
    pids: 32,
    fds: 512,
};

pub(crate) struct Trial {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) volumes: Volumes,
    pub(crate) ids: IdSource,
}

impl Trial {
    pub(crate) fn volume(&self, name: ContainerName, owner: Option<User>) -> Volume {
        let spec = VolumeSpec {
            name,
            size_bytes: 16 << 20,
            owner,
            droplet: None,
            comes_again: false,
        };
        let volume = self.volumes.make(&spec).expect("a volume");
        Slot::create(volume.slot.clone(), owner).expect("a slot");
        volume
    }

    pub(crate) fn prepare(&self, root: RootFs, user: Option<User>) -> Reservation {
        let name = self.ids.guid();
        let volume = self.volume(name, user);
        let writable = |source: &PathBuf, target: &str| Mount {
            source: source.clone(),
            target: target.into(),
            read_only: false,
        };
        let is_image = matches!(root, RootFs::Image { .. });
        Reservation {
            name,
            hostname: "instance-0".to_owned(),
            root,
            user,
            limits: LIMITS,
            mounts: vec![
                writable(&volume.home, "/home/vcap"),
                writable(&volume.tmp, "/tmp"),
            ],
            layer: is_image.then_some(volume.home),
            slot: volume.slot,
            address: None,
            network: None,
            nameserver: None,
            labels: BTreeMap::new(),
        }
    }

    pub(crate) fn on_host(&self) -> Reservation {
        self.prepare(RootFs::Stack("host".to_owned()), Some(USER))
    }

    pub(crate) async fn arm(&self, slot: PathBuf, program: Program) -> Attached {
        let command = Command {
            program,
            env: vec![
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("SECRET".to_owned(), "canary-4711".to_owned()),
            ],
            directory: "/tmp".to_owned(),
        };
        let armed = Slot::at(slot).arm(&command, &Clock::system()).await;
        armed.expect("armed")
    }

    /// Reserve, run a shell line, and return what it wrote.
    pub(crate) async fn output(&self, reservation: &Reservation, line: &str) -> String {
        self.runtime.reserve(reservation).await.expect("reserved");
        let app = Program::Shell(line.to_owned());
        let attached = self.arm(reservation.slot.clone(), app).await;
        read(attached).await
    }

    /// For the runtimes' contract.
    pub(crate) async fn waits(&self, name: ContainerName) {
        let volume = self.volumes.adopt(name).expect("looked").expect("there");
        let slot = Slot::at(volume.slot);
        while slot.attach().is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// Likewise.
    pub(crate) async fn run_to_end(&self, name: ContainerName, status: u8) {
        let volume = self.volumes.adopt(name).expect("looked").expect("there");
        let app = Program::Shell(format!("exit {status}"));
        let attached = self.arm(volume.slot, app).await;
        soon("the end", attached.lifeline.ended()).await;
    }

    pub(crate) fn clear_volumes(&self) {
        for name in self.volumes.list().expect("volumes") {
            self.volumes.release(name).expect("released");
        }
        self.volumes.close().expect("closed");
    }
}

pub(crate) async fn read(mut attached: Attached) -> String {
    let mut text = String::new();
    let reading = async {
        attached.stdout.read_to_string(&mut text).await?;
        attached.stderr.read_to_string(&mut text).await
    };
    soon("the end of the output", reading).await.expect("text");
    text
}

/// All that holds for a runtime of real containers.
pub(crate) async fn check(trial: &Trial) {
    an_instance_has_no_rights_and_sees_its_limits(trial).await;
    running_out_of_memory_is_told_as_that(trial).await;
    a_fork_bomb_ends_at_its_limit(trial).await;
    a_full_disk_does_not_swallow_the_exit_record(trial).await;
}

async fn an_instance_has_no_rights_and_sees_its_limits(trial: &Trial) {
    let reservation = trial.on_host();
    let line = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; \
        id -u; id -un; ulimit -n; ulimit -c; hostname; cat /proc/self/oom_score_adj; \
        cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; \
        touch /made /etc/made /usr/made; test -e /var/run/docker.sock && echo SOCKET; \
        sed -n 's/^ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev; \
        touch ~/made /tmp/made && echo home and tmp; \
        cat /etc/shadow; echo x > /proc/sys/kernel/hostname; unshare -U true; mount -t tmpfs x /tmp";
    let told = trial.output(&reservation, line).await;
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "4200001",
        "vcap",
        "512",
        "0",
        "instance-0",
        "500",
        "67108864",
        "lo",
        "home and tmp",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} in {told}");
    }
    for refused in [
        "'/made': Read-only file system",
        "'/etc/made': Read-only file system",
        "'/usr/made': Read-only file system",
        "/etc/shadow: No such file",
        "/proc/sys/kernel/hostname: Read-only file system",
        "unshare failed: Operation not permitted",
        "mount: /tmp: ",
    ] {
        assert!(told.contains(refused), "{refused} in {told}");
    }
    assert!(!told.contains("SOCKET") && !told.contains("eth0"), "{told}");
}

async fn running_out_of_memory_is_told_as_that(trial: &Trial) {
    let reservation = trial.on_host();
    // It can be read while it happens, for an app of which only a part is gone.
    let part = "python3 -c 'bytearray(200 << 20)'; echo part $?; read -r < /tmp/go; \
        exec python3 -c 'bytearray(200 << 20)'";
    let volume = trial.volumes.adopt(reservation.name).expect("looked");
    let go = volume.expect("there").tmp.join("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::from_bits_truncate(0o666)).expect("made");
    std::os::unix::fs::chown(&go, Some(USER.uid), Some(USER.gid)).expect("given");
    let name = reservation.name;
    trial.runtime.reserve(&reservation).await.expect("reserved");
    let app = Program::Shell(part.to_owned());
    let mut attached = trial.arm(reservation.slot.clone(), app).await;
    let mut told = [0; 9];
    let part = attached.stdout.read_exact(&mut told);
    soon("the end of a part", part).await.expect("read");
    assert_eq!(&told, b"part 137\n");
    let sample = trial.runtime.sample(name).await.expect("a sample");
    assert_eq!(sample.oom_kills, 1);
    assert!(sample.cpu > Duration::ZERO && sample.memory_bytes < LIMITS.memory_bytes);
    tokio::task::spawn_blocking(|| std::fs::write(go, "\n"))
        .await
        .expect("joined")
        .expect("told");
    soon("the end", attached.lifeline.ended()).await;
    let record = Slot::at(reservation.slot).exit_record().expect("read");
    let record = record.expect("a record");
    assert_eq!((record.status, record.signal), (137, Some(9)));
    assert!(record.out_of_memory);
}

async fn a_fork_bomb_ends_at_its_limit(trial: &Trial) {
    let reservation = trial.on_host();
    let bomb = "import os,time\ncount=0\ntry:\n while True:\n  if os.fork()==0: time.sleep(600)\n  \
        count+=1\nexcept OSError as error: print(count,error.errno,flush=True)\ntime.sleep(600)";
    trial.runtime.reserve(&reservation).await.expect("reserved");
    let app = ["/usr/bin/python3", "-c", bomb].map(str::to_owned).to_vec();
    let mut attached = trial
        .arm(reservation.slot.clone(), Program::Exec(app))
        .await;
    // 32 are allowed: the launcher, the app, and 30 more.
    let mut told = [0; 6];
    let line = attached.stdout.read_exact(&mut told);
    soon("the bomb to end", line).await.expect("read");
    assert_eq!(String::from_utf8_lossy(&told), "30 11\n");
    let name = reservation.name;
    assert_eq!(trial.runtime.sample(name).await.expect("a sample").pids, 32);
    let released = soon("the release", trial.runtime.release(name)).await;
    released.expect("released");
}

async fn a_full_disk_does_not_swallow_the_exit_record(trial: &Trial) {
    let reservation = trial.on_host();
    let line = "dd if=/dev/zero of=/tmp/big bs=64k 2>&1 | grep -o 'No space.*'; \
        dd if=/dev/zero of=/tmp/more bs=4k 2>&1 | grep -o 'No space.*'; exit 9";
    let told = trial.output(&reservation, line).await;
    assert_eq!(told, "No space left on device\nNo space left on device\n");
    let record = Slot::at(reservation.slot).exit_record().expect("read");
    assert_eq!(record.map(|record| record.status), Some(9));
}
