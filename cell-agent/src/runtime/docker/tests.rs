//! The contract and the posture, against the real engine of this machine.

mod ahead;

use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command as Program;

use bollard::query_parameters::{CreateImageOptionsBuilder, RemoveImageOptionsBuilder};
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use futures_util::StreamExt;

use super::*;
use crate::runtime::RootFs;
use crate::runtime::contract::{self, Bench, soon};
use crate::runtime::trial::{self, Trial, USER, read};
use crate::slot::{self, Program as App};
use crate::volume::Volumes;

/// An engine with a cell of its own, which leaves nothing behind.
struct Engine {
    docker: Arc<Docker>,
    trial: Trial,
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
        let docker = docker.expect("the engine answers");
        let trial = Trial {
            runtime: docker.clone(),
            volumes: Volumes::new(folder.path().join("volumes")).expect("volumes"),
            ids,
        };
        Self {
            docker,
            trial,
            supervisor,
            _folder: folder,
        }
    }
}

impl Deref for Engine {
    type Target = Trial;

    fn deref(&self) -> &Trial {
        &self.trial
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
        self.clear_volumes();
    }
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
        self.trial.waits(name).await;
    }

    async fn run_to_end(&self, name: ContainerName, status: u8) {
        self.trial.run_to_end(name, status).await;
    }
}

#[tokio::test]
async fn the_contract_of_runtimes_is_kept() {
    contract::check(&Engine::start().await).await;
}

#[tokio::test]
async fn what_holds_for_every_runtime_holds() {
    trial::check(&Engine::start().await.trial).await;
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
