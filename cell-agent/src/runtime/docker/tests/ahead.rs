//! A container made ahead is, once dressed, what one made from nothing is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::runtime::trial::LIMITS;
use crate::runtime::{ContainerLimits, Mount, User};
use crate::slot::Slot;
use crate::volume::{AheadSpec, Volume, VolumeSpec};

const OTHER: User = User {
    uid: 4_200_002,
    gid: 4_200_002,
};
const DROPLET: &str = "echo $PWD; exec sleep 1000";

impl Engine {
    /// What an instance with a droplet is reserved with.
    fn order(&self, volume: &Volume, user: User, number: u8) -> Reservation {
        let mount = |source: &PathBuf, target: &str| Mount {
            source: source.clone(),
            target: target.into(),
            read_only: false,
        };
        Reservation {
            name: volume.name,
            hostname: volume.name.to_string(),
            root: RootFs::Stack("host".to_owned()),
            user: Some(user),
            limits: LIMITS,
            mounts: vec![
                mount(&volume.home, "/home/vcap"),
                mount(&volume.tmp, "/tmp"),
            ],
            layer: None,
            slot: volume.slot.clone(),
            address: Some(IpAddr::V4(Ipv4Addr::new(100, 64, 7, number))),
            network: None,
            nameserver: Some(IpAddr::V4(Ipv4Addr::new(100, 64, 7, 1))),
            labels: BTreeMap::from([("index".to_owned(), number.to_string())]),
        }
    }

    fn spec(&self, name: ContainerName, owner: User) -> VolumeSpec {
        let droplet = self._folder.path().join("droplet");
        std::fs::create_dir_all(droplet.join("app")).expect("made");
        let data = droplet.join("app/data");
        std::fs::write(&data, "shared").expect("written");
        // As droplets are unpacked: an instance's user is nobody to them.
        for path in [droplet.join("app"), data] {
            let everybody = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(path, everybody).expect("opened up");
        }
        VolumeSpec {
            name,
            size_bytes: 16 << 20,
            owner: Some(owner),
            droplet: Some(droplet),
            comes_again: true,
        }
    }

    async fn cold(&self) -> Reservation {
        let volume = self.volumes.make(&self.spec(self.ids.guid(), OTHER));
        let volume = volume.expect("a volume");
        Slot::create(volume.slot.clone(), Some(OTHER)).expect("a slot");
        let order = self.order(&volume, OTHER, 2);
        self.docker.reserve(&order).await.expect("reserved");
        order
    }

    /// Made as nobody's, with the least of everything.
    async fn ahead(&self) -> ContainerName {
        let spec = AheadSpec {
            name: self.ids.guid(),
            size_bytes: 16 << 20,
            owner: USER,
        };
        let volume = self.volumes.make_ahead(spec).expect("a volume");
        Slot::create(volume.slot.clone(), Some(USER)).expect("a slot");
        let mut nobody = self.order(&volume, USER, 3);
        nobody.limits = ContainerLimits {
            memory_bytes: 128 << 20,
            cpu_shares: 2,
            pids: 8,
            ..LIMITS
        };
        nobody.mounts.remove(0);
        nobody.labels.clear();
        let home = Mount {
            source: volume.home,
            target: "/home/vcap".into(),
            read_only: true,
        };
        let made = self.docker.reserve_ahead(&nobody, &home).await;
        assert!(made.expect("made").pid.is_some());
        spec.name
    }

    fn dressing(&self, ahead: ContainerName) -> Reservation {
        let spec = self.spec(self.ids.guid(), USER);
        let volume = self.volumes.pass_on(ahead, &spec).expect("passed on");
        self.order(&volume, USER, 3)
    }
}

/// What the kernel tells of a process from outside, without what differs by its nature.
fn seen_from_outside(pid: u32, user: User) -> BTreeMap<&'static str, String> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    let lines = |file: &str, wanted: &dyn Fn(&str) -> bool| {
        let text = read(file).expect("readable");
        text.lines()
            .filter(|line| wanted(line))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let status = |wanted: &dyn Fn(&str) -> bool| {
        lines("status", wanted).replace(&user.uid.to_string(), "USER")
    };
    let rights = |line: &str| {
        [
            "Cap",
            "NoNewPrivs",
            "Seccomp",
            "Uid",
            "Gid",
            "Groups",
            "Umask",
            "Speculation",
        ]
        .iter()
        .any(|key| line.starts_with(key))
    };
    let cgroup = read("cgroup").expect("readable");
    let limit = |controller: &str, file: &str| {
        let line = cgroup
            .lines()
            .find(|line| line.contains(&format!(":{controller}:")));
        let path = line.and_then(|line| line.rsplit(':').next()).unwrap_or("/");
        let version_1 = format!("/sys/fs/cgroup/{controller}{path}/{file}");
        std::fs::read_to_string(version_1).unwrap_or_default()
    };
    BTreeMap::from([
        ("rights", status(&rights)),
        ("limits", lines("limits", &|_| true)),
        ("oom", read("oom_score_adj").expect("readable")),
        ("memory", limit("memory", "memory.limit_in_bytes")),
        ("swap", limit("memory", "memory.memsw.limit_in_bytes")),
        ("shares", limit("cpu", "cpu.shares")),
        ("pids", limit("pids", "pids.max")),
        ("devices", limit("devices", "devices.list")),
    ])
}

/// What is mounted where, with which options; of several at one place the last, which hides the
/// others.
fn mounts(pid: u32) -> BTreeMap<String, (String, String)> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("mounts");
    let mounts = table.lines().map(|line| {
        let (place, source) = line.split_once(" - ").expect("two halves");
        let place: Vec<&str> = place.split(' ').collect();
        let kind = source.split(' ').next().expect("a kind");
        (place[4].to_owned(), (place[5].to_owned(), kind.to_owned()))
    });
    mounts.collect()
}

fn namespaces(pid: u32) -> BTreeSet<(String, String)> {
    ["cgroup", "ipc", "mnt", "net", "pid", "uts", "user"]
        .iter()
        .filter_map(|kind| {
            let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
            Some(((*kind).to_owned(), link.to_string_lossy().into_owned()))
        })
        .collect()
}

#[tokio::test]
async fn dressed_it_has_the_limits_rights_and_mounts_of_any_other() {
    let engine = Engine::start().await;
    let cold = engine.cold().await;
    let ahead = engine.ahead().await;
    let warm = engine.dressing(ahead);
    let dressed = engine.docker.dress(ahead, &warm).await.expect("dressed");
    let cold_pid = engine.docker.pid(cold.name).await.expect("looked");
    let cold_pid = cold_pid.expect("it runs");
    let warm_pid = dressed.pid.expect("it runs");
    assert_eq!(
        seen_from_outside(cold_pid, OTHER),
        seen_from_outside(warm_pid, USER)
    );
    assert_eq!(mounts(cold_pid), mounts(warm_pid));
    let own = namespaces(std::process::id());
    let (one, other) = (namespaces(cold_pid), namespaces(warm_pid));
    let shared = |kind: &str| kind == "user" || kind == "cgroup";
    for (kind, number) in one.intersection(&other) {
        assert!(shared(kind), "both are in {kind} {number}");
        assert!(own.contains(&(kind.clone(), number.clone())));
    }
    let fds = std::fs::read_dir(format!("/proc/{warm_pid}/fd"))
        .expect("fds")
        .count();
    let others = std::fs::read_dir(format!("/proc/{cold_pid}/fd"))
        .expect("fds")
        .count();
    assert_eq!(fds, others, "nothing is open that is not in the other");
    for name in [cold.name, warm.name] {
        engine.docker.release(name).await.expect("released");
    }
}

#[tokio::test]
async fn dressed_it_looks_from_inside_as_any_other() {
    let engine = Engine::start().await;
    let ahead = engine.ahead().await;
    let warm = engine.dressing(ahead);
    engine.docker.dress(ahead, &warm).await.expect("dressed");
    let cold = engine.cold().await;
    let line = "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf /etc/passwd; id; ulimit -a; \
        cat /home/vcap/app/data; echo own > /home/vcap/app/data && cat /home/vcap/app/data; \
        touch /home/vcap/made /tmp/made; ls -ln /home/vcap /tmp /.cfx/slot | grep -v ^total | \
        awk '{print $1, $3, $4, $NF}'; env | sort; ls /proc/self/fd | wc -l; \
        cat /proc/sys/kernel/hostname; touch /made; ls -A / /dev";
    let mut told = Vec::new();
    for order in [&cold, &warm] {
        let app = App::Shell(line.to_owned());
        let text = read(engine.arm(order.slot.clone(), app).await).await;
        let user = order.user.expect("a user").uid.to_string();
        let address = order.address.expect("an address").to_string();
        let name = order.name.to_string();
        assert!(text.matches(&name).count() >= 4, "{name} in {text}");
        assert!(text.contains(&address) && text.contains("own"), "{text}");
        let same = text.replace(&user, "USER").replace(&name, "NAME");
        told.push(same.replace(&address, "ADDRESS"));
    }
    assert_eq!(told[0], told[1]);
    assert!(
        told[0].contains("/made': Read-only file system"),
        "{}",
        told[0]
    );
    let droplet = engine._folder.path().join("droplet/app/data");
    let data = std::fs::read_to_string(droplet).expect("there");
    assert_eq!(data, "shared", "each writes into a layer of its own");
}

#[tokio::test]
async fn a_dressed_one_goes_by_its_new_name_alone_whatever_agent_asks() {
    let engine = Engine::start().await;
    let mut hints = engine.docker.exits();
    let ahead = engine.ahead().await;
    let nobody = engine.docker.adopt().await.expect("listed");
    assert_eq!(
        nobody.iter().map(|one| one.name).collect::<Vec<_>>(),
        [ahead]
    );
    let warm = engine.dressing(ahead);
    let dressed = engine.docker.dress(ahead, &warm).await.expect("dressed");
    assert_eq!(dressed.labels, warm.labels);
    for runtime in [engine.runtime(), engine.restarted().await] {
        let listed = runtime.adopt().await.expect("listed");
        assert_eq!(listed, std::slice::from_ref(&dressed));
        let old = runtime.exit_record(ahead).await;
        assert!(matches!(old, Err(RuntimeError::NoContainer(_))));
        assert_eq!(runtime.sample(warm.name).await.expect("a sample").pids, 1);
    }
    // A reservation of the same name finds it.
    let again = engine.docker.reserve(&warm).await.expect("reserved");
    assert_eq!(again, dressed);
    engine.docker.release(ahead).await.expect("nothing there");
    engine.run_to_end(warm.name, 7).await;
    let hinted = async { while hints.recv().await.is_some_and(|hint| hint != warm.name) {} };
    soon("the hint of its end", hinted).await;
    let record = engine.docker.exit_record(warm.name).await.expect("looked");
    assert_eq!(record.map(|record| record.status), Some(7));
    engine.docker.release(warm.name).await.expect("released");
    assert_eq!(engine.docker.adopt().await.expect("listed"), []);
    let files = engine.docker.config.directory.join("etc");
    assert_eq!(std::fs::read_dir(files).expect("there").count(), 0);
}

#[tokio::test]
async fn one_that_has_ended_is_not_dressed() {
    let engine = Engine::start().await;
    for known in [true, false] {
        let ahead = engine.ahead().await;
        soon("the first process", async {
            let slot = engine.volumes.adopt_ahead(ahead).expect("looked");
            let slot = Slot::at(slot.expect("there").slot);
            while slot.attach().is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        engine
            .docker
            .signal(ahead, Signal::Kill)
            .await
            .expect("killed");
        soon("the end", async {
            while engine
                .docker
                .exit_record(ahead)
                .await
                .expect("looked")
                .is_none()
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        if !known {
            engine.docker.ahead.lock().clear();
        }
        let warm = engine.dressing(ahead);
        let refused = engine.docker.dress(ahead, &warm).await;
        assert!(
            matches!(refused, Err(RuntimeError::NoContainer(_))),
            "{refused:?}"
        );
        // And the start goes on with one made from nothing, on the same volume.
        engine.docker.release(ahead).await.expect("released");
        let told = engine
            .output(&warm, DROPLET.split(';').next().expect("a line"))
            .await;
        assert_eq!(told, "/tmp\n");
        engine.docker.release(warm.name).await.expect("released");
    }
}

#[tokio::test]
async fn what_was_made_of_an_older_build_of_its_stack_is_not_dressed() {
    let engine = Engine::start().await;
    let stack = format!("test{}", engine.ids.secret(4));
    let repository = format!("cfx/stack-{stack}");
    let older = import_image(&engine, &repository).await;
    let name = engine.ids.guid();
    let spec = AheadSpec {
        name,
        size_bytes: 16 << 20,
        owner: USER,
    };
    let volume = engine.volumes.make_ahead(spec).expect("a volume");
    Slot::create(volume.slot.clone(), Some(USER)).expect("a slot");
    let mut order = engine.order(&volume, USER, 3);
    order.root = RootFs::Stack(stack);
    order.mounts.clear();
    let home = Mount {
        source: volume.home,
        target: "/data".into(),
        read_only: true,
    };
    engine
        .docker
        .reserve_ahead(&order, &home)
        .await
        .expect("made");
    // Images are as old as the second they were made in.
    let clock = Clock::system();
    clock.sleep(Duration::from_millis(1_100)).await;
    let newer = import_image(&engine, &repository).await;
    order.name = engine.ids.guid();
    let refused = engine.docker.dress(name, &order).await;
    assert!(
        matches!(refused, Err(RuntimeError::NoRoot { .. })),
        "{refused:?}"
    );
    engine.docker.release(name).await.expect("released");
    for image in [older, newer] {
        remove_image(&engine, &image).await;
    }
}

#[tokio::test]
async fn a_dressed_one_ends_at_its_own_limits() {
    let engine = Engine::start().await;
    let ahead = engine.ahead().await;
    let warm = engine.dressing(ahead);
    engine.docker.dress(ahead, &warm).await.expect("dressed");
    let line = "python3 -c 'bytearray(200 << 20)'; echo part $?; ulimit -n; \
        dd if=/dev/zero of=/home/vcap/big bs=64k 2>&1 | grep -o 'No space.*'; \
        exec python3 -c 'bytearray(200 << 20)'";
    let told = read(
        engine
            .arm(warm.slot.clone(), App::Shell(line.to_owned()))
            .await,
    )
    .await;
    assert!(
        told.starts_with("part 137\n512\nNo space left on device\n"),
        "{told}"
    );
    let record = Slot::at(warm.slot)
        .exit_record()
        .expect("read")
        .expect("one");
    assert!(record.out_of_memory);
}
