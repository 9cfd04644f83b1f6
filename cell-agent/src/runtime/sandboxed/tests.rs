//! The contract and the posture, with real sandboxes on this machine.

use std::process::Command as Program;

use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use cfx_sandbox::keeper::clear_away;

use super::*;
use crate::runtime::contract::{self, Bench, soon};
use crate::runtime::trial::{self, Trial, USER, read};
use crate::runtime::{RootFs, User};
use crate::slot::Program as App;
use crate::volume::Volumes;

/// A cell of its own, which leaves nothing behind.
struct Ground {
    config: SandboxConfig,
    supervisor: Supervisor,
    trial: Trial,
    folder: tempfile::TempDir,
}

impl Ground {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ids = IdSource::system();
        let supervisor = Supervisor::new("test", Shutdown::new());
        let config = SandboxConfig {
            cell: ids.guid(),
            directory: folder.path().join("sandbox"),
            stacks: folder.path().join("stacks"),
            host_stack: true,
        };
        let runtime = Sandboxed::open(config.clone(), &supervisor).await;
        let trial = Trial {
            runtime: runtime.expect("this machine makes sandboxes"),
            volumes: Volumes::new(folder.path().join("volumes")).expect("volumes"),
            ids,
        };
        Self {
            config,
            supervisor,
            trial,
            folder,
        }
    }

    fn home(&self) -> Home {
        Home {
            folder: self.config.directory.join(KEEPER_FOLDER),
            program: KEEPER.install(&self.config.directory).expect("installed"),
            cell: self.config.cell.to_string(),
            version: KEEPER.version(),
        }
    }

    fn keeper_pids(&self) -> Vec<String> {
        let of = format!("serve {}", self.home().folder.display());
        let listed = Program::new("pgrep").args(["-f", "--", &of]).output();
        let listed = String::from_utf8(listed.expect("run").stdout).expect("text");
        listed.lines().map(str::to_owned).collect()
    }

    fn kill_keeper(&self) {
        let pids = self.keeper_pids();
        assert_eq!(pids.len(), 1, "{pids:?}");
        let killed = Program::new("kill").arg("-9").args(pids).status();
        assert!(killed.expect("run").success());
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        clear_away(&self.home()).expect("cleared away");
        self.trial.clear_volumes();
    }
}

#[async_trait]
impl Bench for Ground {
    fn runtime(&self) -> Arc<dyn Runtime> {
        self.trial.runtime.clone()
    }

    async fn restarted(&self) -> Arc<dyn Runtime> {
        let again = Sandboxed::open(self.config.clone(), &self.supervisor).await;
        again.expect("the keeper is there")
    }

    async fn reservation(&self) -> Reservation {
        self.trial.on_host()
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
    contract::check(&Ground::start().await).await;
}

#[tokio::test]
async fn what_holds_for_every_runtime_holds() {
    trial::check(&Ground::start().await.trial).await;
}

#[tokio::test]
async fn a_killed_keeper_is_replaced_and_no_instance_notices() {
    let ground = Ground::start().await;
    let runtime = &ground.trial.runtime;
    let (one, two) = (ground.trial.on_host(), ground.trial.on_host());
    let container = runtime.reserve(&one).await.expect("reserved");
    let app = App::Shell("exec sleep 600".to_owned());
    let attached = ground.trial.arm(one.slot.clone(), app).await;
    ground.kill_keeper();
    assert_eq!(runtime.adopt().await.expect("listed"), [container]);
    // Its successor learns the stack again.
    runtime.reserve(&two).await.expect("reserved");
    assert_eq!(runtime.exit_record(one.name).await.expect("looked"), None);
    assert_eq!(runtime.sample(two.name).await.expect("a sample").pids, 1);
    // Not its child, so only the launcher knows the status.
    runtime.signal(one.name, Signal::Term).await.expect("told");
    soon("the end", attached.lifeline.ended()).await;
    let record = soon("the record", async {
        loop {
            if let Some(record) = runtime.exit_record(one.name).await.expect("looked") {
                return record;
            }
        }
    });
    assert_eq!(record.await.status, 143);
}

#[tokio::test]
async fn a_network_that_is_ready_is_entered() {
    let ground = Ground::start().await;
    let name = format!("cfx-test-{}", ground.trial.ids.secret(4));
    let ip = |arguments: &[&str]| {
        let status = Program::new("ip").args(arguments).status();
        assert!(status.expect("run").success(), "{arguments:?}");
    };
    ip(&["netns", "add", &name]);
    let pair = [
        "link", "add", "ready0", "type", "veth", "peer", "name", "ready1",
    ];
    ip(&[&["-n", &name], &pair[..]].concat());
    let mut reservation = ground.trial.on_host();
    reservation.network = Some(PathBuf::from("/run/netns").join(&name));
    let told = ground
        .trial
        .output(&reservation, "cut -d: -f1 /proc/net/dev")
        .await;
    assert!(told.contains("ready0"), "{told}");
    let released = ground.trial.runtime.release(reservation.name).await;
    released.expect("released");
    ip(&["netns", "delete", &name]);
}

#[tokio::test]
async fn a_folder_is_a_read_only_stack() {
    let ground = Ground::start().await;
    let stack = ground.folder.path().join("stacks/small");
    std::fs::create_dir_all(stack.join("usr")).expect("made");
    std::fs::create_dir_all(stack.join("bin")).expect("made");
    std::fs::copy("/bin/busybox", stack.join("bin/busybox")).expect("busybox-static is installed");
    let stacks = ground.trial.runtime.stacks().await.expect("stacks");
    assert_eq!(stacks, ["host", "small"]);
    let root = RootFs::Stack("small".to_owned());
    let reservation = ground.trial.prepare(root, Some(USER));
    let runtime = &ground.trial.runtime;
    runtime.reserve(&reservation).await.expect("reserved");
    let line = "busybox id -un; busybox touch /made || echo read-only; busybox ls /usr /bin";
    let app = ["/bin/busybox", "sh", "-c", line].map(str::to_owned);
    let attached = ground
        .trial
        .arm(reservation.slot.clone(), App::Exec(app.to_vec()));
    let told = read(attached.await).await;
    assert!(told.starts_with("vcap\nread-only\n"), "{told}");
    assert!(!told.contains("bash"), "{told}");
}

#[tokio::test]
async fn images_are_refused_with_a_word_about_docker() {
    let ground = Ground::start().await;
    let root = RootFs::Image {
        reference: "busybox:1.36".to_owned(),
        credentials: None,
    };
    let reservation = ground.trial.prepare(root, None);
    let refused = ground.trial.runtime.reserve(&reservation).await;
    let refused = refused.expect_err("no images").to_string();
    assert!(
        refused.contains("busybox:1.36") && refused.contains("Docker"),
        "{refused}"
    );
    let root = RootFs::Stack("host".to_owned());
    let reservation = ground.trial.prepare(root, None::<User>);
    let refused = ground.trial.runtime.reserve(&reservation).await;
    assert!(
        matches!(refused, Err(RuntimeError::NoRoot { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn many_start_at_once_and_all_of_it_goes_again() {
    let ground = Ground::start().await;
    let reservations: Vec<Reservation> = (0..24).map(|_| ground.trial.on_host()).collect();
    let starts = reservations
        .iter()
        .map(|reservation| ground.trial.runtime.reserve(reservation));
    for started in futures_util::future::join_all(starts).await {
        started.expect("reserved");
    }
    let runtime = &ground.trial.runtime;
    assert_eq!(runtime.adopt().await.expect("listed").len(), 24);
    let ends = reservations.iter().map(|one| runtime.release(one.name));
    for ended in futures_util::future::join_all(ends).await {
        ended.expect("released");
    }
    assert_eq!(runtime.adopt().await.expect("listed"), []);
    let groups = std::path::Path::new("/sys/fs/cgroup/memory/cfx");
    let cell = groups.join(ground.config.cell.to_string());
    let left = std::fs::read_dir(cell).into_iter().flatten().flatten();
    assert_eq!(left.filter(|entry| entry.path().is_dir()).count(), 0);
}
