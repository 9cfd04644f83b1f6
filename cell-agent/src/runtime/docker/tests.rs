//! The contract and the posture, against the real engine of this machine.

mod ahead;

use std::path::PathBuf;
use std::process::Command as Program;
use std::time::Duration;

use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptionsBuilder};
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use futures_util::StreamExt;
use tokio::io::AsyncReadExt;

use super::*;
use crate::runtime::contract::{self, Bench, soon};
use crate::runtime::{ContainerLimits, Mount, RootFs, User};
use crate::slot::{self, Attached, Command, Program as App, Slot};
use crate::volume::{Volume, VolumeSpec, Volumes};

const USER: User = User {
    uid: 4_200_001,
    gid: 4_200_001,
};
const LIMITS: ContainerLimits = ContainerLimits {
    memory_bytes: 64 << 20,
    cpu_shares: 64,
    pids: 32,
    fds: 512,
};

/// An engine with a cell of its own, which leaves nothing behind.
struct Engine {
    docker: Arc<Docker>,
    volumes: Volumes,
    ids: IdSource,
    supervisor: Supervisor,
    _folder: tempfile::TempDir,
}

impl Engine {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ids = IdSource::system();
        let supervisor = Supervisor::new("test", Shutdown::new());
        let launcher = slot::launcher::install(folder.path()).expect("the launcher");
        let config = DockerConfig {
            socket: SOCKET_DEFAULT.into(),
            cell: ids.guid(),
            launcher,
            directory: folder.path().join("docker"),
            host_stack: true,
        };
        let docker = Docker::connect(config, &supervisor, Clock::system()).await;
        Self {
            docker: docker.expect("the engine answers"),
            volumes: Volumes::new(folder.path().join("volumes")).expect("volumes"),
            ids,
            supervisor,
            _folder: folder,
        }
    }

    fn volume(&self, name: ContainerName, owner: Option<User>) -> Volume {
        let spec = VolumeSpec {
            name,
            size_bytes: 16 << 20,
            owner,
            droplet: None,
        };
        let volume = self.volumes.make(&spec).expect("a volume");
        Slot::create(volume.slot.clone(), owner).expect("a slot");
        volume
    }

    fn prepare(&self, root: RootFs, user: Option<User>) -> Reservation {
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
            labels: std::collections::BTreeMap::new(),
        }
    }

    fn on_host(&self) -> Reservation {
        self.prepare(RootFs::Stack("host".to_owned()), Some(USER))
    }

    async fn arm(&self, slot: PathBuf, program: App) -> Attached {
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
    async fn output(&self, reservation: &Reservation, line: &str) -> String {
        self.docker.reserve(reservation).await.expect("reserved");
        let app = App::Shell(line.to_owned());
        let attached = self.arm(reservation.slot.clone(), app).await;
        read(attached).await
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let label = format!("label={}={}", spec::LABEL_CELL, self.docker.config.cell);
        let listed = Program::new("docker")
            .args(["ps", "-aq", "-f", &label])
            .output();
        let ids = String::from_utf8(listed.expect("docker ps").stdout).expect("text");
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let removed = Program::new("docker").args(["rm", "-f"]).args(ids).output();
            removed.expect("docker rm");
        }
        for name in self.volumes.list().expect("volumes") {
            self.volumes.release(name).expect("released");
        }
        self.volumes.close().expect("closed");
    }
}

async fn read(mut attached: Attached) -> String {
    let mut text = String::new();
    let reading = async {
        attached.stdout.read_to_string(&mut text).await?;
        attached.stderr.read_to_string(&mut text).await
    };
    soon("the end of the output", reading).await.expect("text");
    text
}

#[async_trait]
impl Bench for Engine {
    fn runtime(&self) -> Arc<dyn Runtime> {
        self.docker.clone()
    }

    async fn restarted(&self) -> Arc<dyn Runtime> {
        let config = self.docker.config.clone();
        let again = Docker::connect(config, &self.supervisor, Clock::system()).await;
        again.expect("the engine answers")
    }

    async fn reservation(&self) -> Reservation {
        self.on_host()
    }

    async fn waits(&self, name: ContainerName) {
        let volume = self.volumes.adopt(name).expect("looked").expect("there");
        let slot = Slot::at(volume.slot);
        while slot.attach().is_err() {
            tokio::task::yield_now().await;
        }
    }

    async fn run_to_end(&self, name: ContainerName, status: u8) {
        let volume = self.volumes.adopt(name).expect("looked").expect("there");
        let app = App::Shell(format!("exit {status}"));
        let attached = self.arm(volume.slot, app).await;
        soon("the end", attached.lifeline.ended()).await;
    }
}

#[tokio::test]
async fn the_contract_of_runtimes_is_kept() {
    contract::check(&Engine::start().await).await;
}

#[tokio::test]
async fn an_instance_has_no_rights_and_sees_its_limits() {
    let engine = Engine::start().await;
    let reservation = engine.on_host();
    let line = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; \
        id -u; id -un; ulimit -n; ulimit -c; hostname; cat /proc/self/oom_score_adj; \
        cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; \
        touch /made /etc/made /usr/made; test -e /var/run/docker.sock && echo SOCKET; \
        ls /sys/class/net; touch ~/made /tmp/made && echo home and tmp; \
        cat /etc/shadow; echo x > /proc/sys/kernel/hostname; unshare -U true; mount -t tmpfs x /tmp";
    let told = engine.output(&reservation, line).await;
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

#[tokio::test]
async fn the_environment_is_nowhere_in_the_container_s_description() {
    let engine = Engine::start().await;
    let reservation = engine.on_host();
    let told = engine.output(&reservation, "echo $SECRET").await;
    assert_eq!(told, "canary-4711\n");
    let id = spec::container_name(reservation.name);
    let about = engine.docker.engine.inspect_container(&id, None).await;
    let about = about.expect("inspected");
    let text = serde_json::to_string(&about).expect("text");
    assert!(text.contains(&engine.docker.config.cell.to_string()));
    assert!(!text.contains("canary-4711"));
    let host = about.host_config.expect("a host configuration");
    assert_eq!(host.network_mode.as_deref(), Some("none"));
    assert_eq!(host.privileged, Some(false));
    assert_eq!(host.pid_mode.as_deref(), Some(""));
    assert_eq!(
        host.log_config.and_then(|log| log.typ).as_deref(),
        Some("none")
    );
}

#[tokio::test]
async fn running_out_of_memory_is_told_as_that() {
    let engine = Engine::start().await;
    let reservation = engine.on_host();
    // It can be read while it happens, for an app of which only a part is gone.
    let part = "python3 -c 'bytearray(200 << 20)'; echo part $?; read -r < /tmp/go; \
        exec python3 -c 'bytearray(200 << 20)'";
    let volume = engine.volumes.adopt(reservation.name).expect("looked");
    let go = volume.expect("there").tmp.join("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::from_bits_truncate(0o666)).expect("made");
    std::os::unix::fs::chown(&go, Some(USER.uid), Some(USER.gid)).expect("given");
    let name = reservation.name;
    engine.docker.reserve(&reservation).await.expect("reserved");
    let app = App::Shell(part.to_owned());
    let mut attached = engine.arm(reservation.slot.clone(), app).await;
    let mut told = [0; 9];
    let part = attached.stdout.read_exact(&mut told);
    soon("the end of a part", part).await.expect("read");
    assert_eq!(&told, b"part 137\n");
    let sample = engine.docker.sample(name).await.expect("a sample");
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

#[tokio::test]
async fn a_fork_bomb_ends_at_its_limit() {
    let engine = Engine::start().await;
    let reservation = engine.on_host();
    let bomb = "import os,time\ncount=0\ntry:\n while True:\n  if os.fork()==0: time.sleep(600)\n  \
        count+=1\nexcept OSError as error: print(count,error.errno,flush=True)\ntime.sleep(600)";
    engine.docker.reserve(&reservation).await.expect("reserved");
    let app = ["/usr/bin/python3", "-c", bomb].map(str::to_owned).to_vec();
    let mut attached = engine.arm(reservation.slot.clone(), App::Exec(app)).await;
    // 32 are allowed: the launcher, the app, and 30 more.
    let mut told = [0; 6];
    let line = attached.stdout.read_exact(&mut told);
    soon("the bomb to end", line).await.expect("read");
    assert_eq!(String::from_utf8_lossy(&told), "30 11\n");
    let name = reservation.name;
    assert_eq!(engine.docker.sample(name).await.expect("a sample").pids, 32);
    soon("the release", engine.docker.release(name))
        .await
        .expect("released");
}

#[tokio::test]
async fn two_cells_on_one_engine_do_not_see_each_other() {
    let (one, two) = (Engine::start().await, Engine::start().await);
    let reservation = one.on_host();
    let made = one.docker.reserve(&reservation).await.expect("reserved");
    assert_eq!(one.docker.adopt().await.expect("listed"), [made]);
    assert_eq!(two.docker.adopt().await.expect("listed"), []);
}

/// An image with a shell that needs nothing else, and settings of its own.
async fn import_image(engine: &Engine, repository: &str) -> String {
    let shell = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in [("bin/busybox", shell.as_slice()), ("data/old", b"old")] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content)
            .expect("appended");
    }
    let bytes = tar.into_inner().expect("an archive");
    let tag = engine.ids.secret(6);
    let changes = "ENTRYPOINT [\"/bin/busybox\"]\nCMD [\"sh\"]\nENV GREETING=hello\n\
        WORKDIR /work\nEXPOSE 9000 9001/udp\nVOLUME /var/data";
    let options = CreateImageOptionsBuilder::default()
        .from_src("-")
        .repo(repository)
        .tag(&tag)
        .changes(changes.lines().map(str::to_owned).collect())
        .build();
    let body = bollard::body_full(bytes.into());
    let client = &engine.docker.engine;
    let mut progress = client.create_image(Some(options), Some(body), None);
    while let Some(step) = progress.next().await {
        step.expect("imported");
    }
    format!("{repository}:{tag}")
}

async fn remove_image(engine: &Engine, reference: &str) {
    let options = RemoveImageOptionsBuilder::default().force(true).build();
    let client = &engine.docker.engine;
    let removed = client.remove_image(reference, Some(options), None).await;
    removed.expect("removed");
}

#[tokio::test]
async fn a_local_image_of_the_right_name_is_a_read_only_stack() {
    let engine = Engine::start().await;
    let stack = format!("test{}", engine.ids.secret(4));
    let reference = import_image(&engine, &format!("cfx/stack-{stack}")).await;
    let stacks = engine.docker.stacks().await.expect("stacks");
    assert!(stacks.contains(&stack), "{stacks:?}");
    let reservation = engine.prepare(RootFs::Stack(stack), Some(USER));
    engine.docker.reserve(&reservation).await.expect("reserved");
    let line = "busybox id -un; busybox touch /made || echo read-only";
    let app = ["/bin/busybox", "sh", "-c", line].map(str::to_owned);
    let attached = engine.arm(reservation.slot.clone(), App::Exec(app.to_vec()));
    let told = read(attached.await).await;
    assert!(told.starts_with("vcap\nread-only\n"), "{told}");
    engine
        .docker
        .release(reservation.name)
        .await
        .expect("released");
    remove_image(&engine, &reference).await;
}

#[tokio::test]
async fn a_docker_image_keeps_its_own_settings_and_writes_up_to_its_limit() {
    let engine = Engine::start().await;
    let reference = import_image(&engine, "cfx-test-image").await;
    let defaults = engine.docker.image(&reference, None).await.expect("there");
    assert_eq!(defaults.entrypoint, ["/bin/busybox"]);
    assert_eq!(defaults.command, ["sh"]);
    assert!(defaults.env.contains(&"GREETING=hello".to_owned()));
    assert_eq!(defaults.working_dir, "/work");
    assert_eq!(defaults.exposed_ports, [9000]);

    let root = RootFs::Image {
        reference: reference.clone(),
        credentials: None,
    };
    let reservation = engine.prepare(root, None);
    let name = reservation.name;
    engine.docker.reserve(&reservation).await.expect("reserved");
    let line = "id -u; cat /data/old; echo new > /data/old; cat /data/old; \
        busybox dd if=/dev/zero of=/big bs=1M count=100 2>&1 | busybox grep -o 'No space.*'; \
        busybox stat -c %s /big; busybox touch /var/data/x; busybox df /var/data | \
        busybox grep -c /dev/loop; busybox grep CapEff /proc/self/status";
    let app = ["/bin/busybox", "sh", "-c", line].map(str::to_owned);
    let attached = engine.arm(reservation.slot.clone(), App::Exec(app.to_vec()));
    let told = read(attached.await).await;
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some("0"), "{told}");
    assert_eq!(lines.next(), Some("oldnew"), "{told}");
    assert_eq!(lines.next(), Some("No space left on device"), "{told}");
    let size: u64 = lines
        .next()
        .and_then(|size| size.parse().ok())
        .expect("a size");
    assert!(
        (12 << 20..17 << 20).contains(&size),
        "{size} bytes of 16 MiB"
    );
    assert_eq!(
        lines.next(),
        Some("1"),
        "a declared volume lies on ours: {told}"
    );
    assert_eq!(lines.next(), Some("CapEff:\t0000000000000000"), "{told}");
    engine.docker.release(name).await.expect("released");
    engine.volumes.release(name).expect("released");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&name.to_string()), "{mounts}");
    remove_image(&engine, &reference).await;
}

#[tokio::test]
async fn a_running_image_s_container_is_released_with_its_layer() {
    let engine = Engine::start().await;
    let reference = import_image(&engine, "cfx-test-image").await;
    let root = RootFs::Image {
        reference: reference.clone(),
        credentials: None,
    };
    let reservation = engine.prepare(root, None);
    let name = reservation.name;
    // Reserved twice, as by an agent that died in between: bound once.
    engine.docker.reserve(&reservation).await.expect("reserved");
    engine
        .docker
        .reserve(&reservation)
        .await
        .expect("reserved again");
    let layer = reservation.layer.clone().expect("a layer");
    assert!(layer.join("layer/diff").is_dir());
    engine
        .docker
        .release(name)
        .await
        .expect("released while it runs");
    assert!(engine.docker.adopt().await.expect("listed").is_empty());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains("home/layer"), "{mounts}");
    remove_image(&engine, &reference).await;
}

#[tokio::test]
async fn a_full_disk_does_not_swallow_the_exit_record() {
    let engine = Engine::start().await;
    let reservation = engine.on_host();
    let line = "dd if=/dev/zero of=/tmp/big bs=64k 2>&1 | grep -o 'No space.*'; \
        dd if=/dev/zero of=/tmp/more bs=4k 2>&1 | grep -o 'No space.*'; exit 9";
    let told = engine.output(&reservation, line).await;
    assert_eq!(told, "No space left on device\nNo space left on device\n");
    let record = Slot::at(reservation.slot).exit_record().expect("read");
    assert_eq!(record.map(|record| record.status), Some(9));
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable_at_once() {
    let supervisor = Supervisor::new("test", Shutdown::new());
    let config = DockerConfig {
        socket: "/nowhere/docker.sock".into(),
        cell: CellGuid::NIL,
        launcher: PathBuf::new(),
        directory: PathBuf::new(),
        host_stack: false,
    };
    let failed = Docker::connect(config, &supervisor, Clock::system()).await;
    let is_unreachable = matches!(failed, Err(RuntimeError::Unreachable { .. }));
    assert!(is_unreachable);
}

#[tokio::test]
async fn an_engine_that_hangs_is_seen_within_its_deadline() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    // It takes connections and never says a word.
    let _silent = tokio::net::UnixListener::bind(&socket).expect("bound");
    let supervisor = Supervisor::new("test", Shutdown::new());
    let config = DockerConfig {
        socket,
        cell: CellGuid::NIL,
        launcher: PathBuf::new(),
        directory: PathBuf::new(),
        host_stack: false,
    };
    let connecting = Docker::connect(config, &supervisor, Clock::system());
    let failed = soon("the deadline", connecting).await;
    assert!(matches!(failed, Err(RuntimeError::Deadline { .. })));
}
