//! Apps that misbehave, in Docker and in sandboxes: what is not theirs stays out of reach, each is
//! told as what it is, and a neighbour answers all the while.

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_protocol::actual::InstanceReport;
use cfx_protocol::desired::{BlobRef, InstanceSpec, Limits, Root, Work};
use cfx_protocol::health::{Check, HealthCheck};
use cfx_protocol::id::{AppGuid, AssignmentGuid, DropletGuid};
use cfx_protocol::instance::{CrashReason, InstanceState};
use support::controller::World;
use support::engine::{RUNTIMES, Stage};
use support::{limits, owner, process};
use uuid::Uuid;

/// Slowest answer of the neighbour that is no failure, on a machine with other work to do.
const ANSWER_MAX: Duration = Duration::from_secs(2);

fn app(number: u128, droplet: &BlobRef<DropletGuid>, command: &str, check: Check) -> InstanceSpec {
    let health = HealthCheck {
        check,
        start_timeout_s: 20,
        ..HealthCheck::default()
    };
    let mut owner = owner();
    owner.app = AppGuid(Uuid::from_u128(number));
    InstanceSpec {
        owner,
        work: process(Some(command), health),
        root: Root::Stack {
            name: "host".to_owned(),
            droplet: Some(droplet.clone()),
        },
        limits: Limits {
            pids: 64,
            ..limits()
        },
        env: BTreeMap::new(),
        ports: vec![8080],
    }
}

/// Accepts connections; with `silent` it never answers.
const LISTEN: &str = r#"exec perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 64, ReuseAddr => 1) or die; my @kept; while (my $c = $s->accept) { if (@ARGV) { push @kept, $c; next } $c->recv(my $r, 4096); print $c "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"; close $c }'"#;

fn report(world: &World, guid: AssignmentGuid) -> Option<&InstanceReport> {
    world.instances.get(&guid)
}

fn running(guid: AssignmentGuid) -> impl Fn(&World) -> Option<InstanceReport> {
    move |world| {
        let one = report(world, guid)?;
        matches!(one.state, InstanceState::Running { .. }).then(|| one.clone())
    }
}

fn said(app: u128, source: &'static str, text: &'static str) -> impl Fn(&World) -> Option<()> {
    move |world| {
        let found = world.logs.iter().any(|line| {
            line.app.0.as_u128() == app
                && line.source_type == source
                && String::from_utf8_lossy(&line.payload).contains(text)
        });
        found.then_some(())
    }
}

/// Asks the neighbour again and again until `attack` is over; the slowest answer.
async fn slowest_answer(address: SocketAddr, attack: impl Future<Output = ()>) -> Duration {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let clock = Clock::system();
    let mut slowest = Duration::ZERO;
    tokio::pin!(attack);
    loop {
        let began = clock.monotonic();
        let answer = async {
            let mut stream = tokio::net::TcpStream::connect(address)
                .await
                .expect("connected");
            stream
                .write_all(b"GET / HTTP/1.1\r\n\r\n")
                .await
                .expect("sent");
            let mut head = [0; 12];
            stream.read_exact(&mut head).await.expect("answered");
            assert_eq!(&head, b"HTTP/1.1 200");
        };
        answer.await;
        slowest = slowest.max(clock.monotonic().saturating_sub(began));
        tokio::select! {
            () = &mut attack => return slowest,
            () = clock.sleep(Duration::from_millis(20)) => {}
        }
    }
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("read");
    let pages: u64 = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    pages * 4_096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misbehaving_app_is_told_as_what_it_is_and_its_neighbour_answers() {
    for runtime in RUNTIMES {
        misbehave(Stage::on(runtime).await).await;
    }
}

async fn misbehave(stage: Stage) {
    let (_agent, equipment) = stage.agent().await;
    let droplet = stage.droplet(41, &[("./app/hello", "hello")]);
    let controller = &stage.controller;
    let neighbour = controller.assign(1, 0, app(1, &droplet, LISTEN, Check::Port));
    let address = controller
        .eventually("the neighbour runs", 60, running(neighbour))
        .await;
    let address = address
        .address
        .map(|one| SocketAddr::new(one.host, one.port))
        .expect("an address");

    let attack = async {
        let bomb = ":(){ :|:& };:; wait; sleep 1000";
        let bomb = controller.assign(2, 0, app(2, &droplet, bomb, Check::Process));
        controller
            .eventually("the bomb is seen at its limit", 60, |world| {
                let usage = report(world, bomb)?.usage?;
                assert!(usage.pids <= 64, "{} processes", usage.pids);
                (usage.pids >= 32).then_some(())
            })
            .await;
        controller.remove(bomb);
        let full = "dd if=/dev/zero of=fill bs=1M; exit 28";
        let full = controller.assign(3, 0, app(3, &droplet, full, Check::Process));
        controller
            .eventually(
                "the disk is full",
                60,
                said(3, "APP/PROC/WEB", "No space left"),
            )
            .await;
        controller
            .eventually("it ended for that", 60, |world| {
                let crash = world
                    .crashes
                    .iter()
                    .find(|crash| crash.assignment == full)?;
                (crash.reason == CrashReason::Exited { status: 28 }).then_some(())
            })
            .await;
        controller.remove(full);
        let endpoint = "/".to_owned();
        let mut silent = app(
            4,
            &droplet,
            &format!("{LISTEN} silent"),
            Check::Http { endpoint },
        );
        if let Work::Process { health, .. } = &mut silent.work {
            health.start_timeout_s = 3;
        }
        let silent = controller.assign(4, 0, silent);
        controller
            .eventually(
                "it hangs",
                60,
                said(4, "HEALTH", "Instance never healthy after 3s"),
            )
            .await;
        controller.remove(silent);
    };
    let slowest = slowest_answer(address, attack).await;
    assert!(slowest < ANSWER_MAX, "the neighbour took {slowest:?}");

    // A gigabyte a second, were it read.
    let before = resident_bytes();
    let attack = async {
        let loud = r#"exec perl -e 'my $l = ("x" x 999 . "\n") x 1000; print $l while 1'"#;
        let loud = controller.assign(5, 0, app(5, &droplet, loud, Check::Process));
        controller
            .eventually(
                "lines are lost and told",
                60,
                said(5, "LGR", "log lines were dropped"),
            )
            .await;
        controller
            .eventually("its log rate is measured", 30, |world| {
                (report(world, loud)?.usage?.log_rate_bytes > 1_000_000).then_some(())
            })
            .await;
        let mut limited = app(
            6,
            &droplet,
            "while :; do echo 0123456789012345678901234567890123456789; done",
            Check::Process,
        );
        limited.limits.log_rate_bytes = Some(1_024);
        let limited = controller.assign(6, 0, limited);
        let notice = "app instance exceeded log rate limit (1024 bytes/sec)";
        controller
            .eventually("the limit is told", 60, said(6, "APP/PROC/WEB", notice))
            .await;
        controller.remove(limited);
        controller.remove(loud);
    };
    let slowest = slowest_answer(address, attack).await;
    assert!(slowest < ANSWER_MAX, "the neighbour took {slowest:?}");
    let grown = resident_bytes().saturating_sub(before);
    // The test's own controller keeps lines, too.
    assert!(grown < 192 << 20, "the agent grew by {} MiB", grown >> 20);
    stage.clean(equipment).await;
}

/// What an app tries. Each is a shell text that succeeds when the attack does.
const ATTACKS: &[(&str, &str)] = &[
    (
        "see others",
        r#"M=4711; M="neighbour-$M"; for f in /proc/[0-9]*/cmdline; do
           case "$(tr '\0' ' ' < $f)" in *"$M"*) exit 0;; esac; done; exit 1"#,
    ),
    ("signal others", r#"kill -9 "$VICTIM""#),
    (
        "signal the machine's first process",
        "kill -9 1; ! kill -0 1",
    ),
    ("look into others", r#"ls "/proc/$VICTIM/root""#),
    (
        "reach a neighbour",
        r#"timeout 2 bash -c "echo > /dev/tcp/$NEIGHBOUR""#,
    ),
    (
        "reach the agent",
        r#"timeout 2 bash -c "echo > /dev/tcp/$AGENT""#,
    ),
    (
        "reach the metadata address",
        "timeout 2 bash -c 'echo > /dev/tcp/169.254.169.254/80'",
    ),
    (
        "reach the engine's socket",
        "test -e /var/run/docker.sock || test -e /run/docker.sock",
    ),
    (
        "reach the keeper's socket",
        "find / -xdev -name keeper.sock 2>/dev/null | grep -q .",
    ),
    ("mount", "mount -t tmpfs none /tmp || mount --bind / /tmp"),
    ("make namespaces", "unshare -r true || unshare -m true"),
    ("enter namespaces", "nsenter -t 1 -m true"),
    ("change the root", "chroot /tmp true"),
    (
        "load a module",
        r#"N=175; [ "$(uname -m)" = aarch64 ] && N=105
           perl -e 'syscall($ARGV[0], "", 0, ""); exit($! == 1 ? 1 : 0)' $N"#,
    ),
    ("make a device", "mknod /tmp/disk b 254 0"),
    (
        "read a disk or memory",
        "head -c 1 /dev/vda || head -c 1 /dev/sda || head -c 1 /dev/mem || head -c 1 /dev/kmsg",
    ),
    (
        "read the machine's secrets",
        "cat /etc/shadow || ls /root /var/lib/docker",
    ),
    ("read kernel memory", "head -c 4096 /proc/kcore | grep -q ."),
    (
        "write to the root",
        "touch /usr/x || touch /etc/x || touch /x || touch /dev/x",
    ),
    (
        "set the kernel",
        "echo x > /proc/sys/kernel/core_pattern || echo b > /proc/sysrq-trigger",
    ),
    ("become root", r"perl -e '$> = 0; exit($> == 0 ? 0 : 1)'"),
    ("be killed last", "echo -1000 > /proc/self/oom_score_adj"),
    (
        "raise its memory limit",
        "echo 999999999999 > /sys/fs/cgroup/memory/memory.limit_in_bytes || \
         echo max > /sys/fs/cgroup/memory.max",
    ),
    (
        "listen to packets",
        "perl -e 'exit(socket(S, 17, 3, 768) ? 0 : 1)'",
    ),
    ("set the clock", "date -s 2001-01-01"),
    ("rename the machine", "hostname other"),
    (
        "have more processes",
        r"perl -e 'for (1..200) { my $p = fork; unless (defined $p) { kill 9, @k; exit 1 }
          if ($p) { push @k, $p } else { sleep 60; exit } } kill 9, @k; exit 0'",
    ),
    (
        "have more files open",
        r#"perl -e 'for (1..5000) { open($f[$_], "<", "/dev/null") or exit 1 } exit 0'"#,
    ),
    (
        "have more disk",
        "dd if=/dev/zero of=/tmp/fill bs=1M count=200; s=$?; rm -f /tmp/fill; exit $s",
    ),
];

/// Tries all, says of each whether it held, and then takes all memory there is.
fn attacks() -> String {
    let mut script = String::new();
    for (name, attack) in ATTACKS {
        script.push_str(&format!(
            "if ({attack}) >/dev/null 2>&1; then echo \"BROKEN {name}\"; else echo \"held {name}\"; fi\n"
        ));
    }
    script.push_str("echo all tried\nexec perl -e 'push @x, \"x\" x 1000000 while 1'\n");
    script
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_an_app_s_own_stays_out_of_its_reach() {
    for runtime in RUNTIMES {
        attack(Stage::on(runtime).await).await;
    }
}

async fn attack(stage: Stage) {
    let (_agent, equipment) = stage.agent().await;
    let runtime = equipment.runtime.name();
    let controller = &stage.controller;
    // Stands for whatever of the platform listens on this machine.
    let agent = std::net::TcpListener::bind((equipment.gateway, 0)).expect("bound");
    let agent = agent.local_addr().expect("an address");
    let droplet = stage.droplet(42, &[("./app/attack", &attacks())]);
    let listen = format!("{LISTEN} neighbour-4711");
    let listen = listen.replace("if (@ARGV) {", "if (@ARGV > 1) {");
    let neighbour = controller.assign(1, 0, app(1, &droplet, &listen, Check::Port));
    let report = controller
        .eventually("the neighbour runs", 60, running(neighbour))
        .await;
    let address = report.address.expect("an address");
    let containers = equipment.runtime.adopt().await.expect("listed");
    let victim = containers.iter().find_map(|one| one.pid).expect("it runs");

    let mut spec = app(2, &droplet, "bash attack", Check::Process);
    let env = [
        ("VICTIM", victim.to_string()),
        ("NEIGHBOUR", format!("{}/{}", address.host, address.port)),
        ("AGENT", format!("{}/{}", agent.ip(), agent.port())),
    ];
    spec.env = env.map(|(key, value)| (key.to_owned(), value)).into();
    let attack = async {
        let attacker = controller.assign(2, 0, spec);
        controller
            .eventually("all is tried", 120, said(2, "APP/PROC/WEB", "all tried"))
            .await;
        controller
            .eventually("its memory ends", 60, |world| {
                let crashes = world.crashes.iter();
                let mut mine = crashes.filter(|crash| crash.assignment == attacker);
                mine.any(|crash| crash.reason == CrashReason::OutOfMemory { limit_mb: 64 })
                    .then_some(())
            })
            .await;
        controller.remove(attacker);
    };
    let slowest = slowest_answer((address.host, address.port).into(), attack).await;
    assert!(slowest < ANSWER_MAX, "the neighbour took {slowest:?}");
    let told: std::collections::BTreeSet<String> = {
        let world = controller.world.lock();
        let mine = world.logs.iter().filter(|line| line.app.0.as_u128() == 2);
        mine.map(|line| String::from_utf8_lossy(&line.payload).into_owned())
            .collect()
    };
    for (name, _) in ATTACKS {
        let held = format!("held {name}");
        assert!(told.contains(&held), "{runtime}: {name}: {told:?}");
    }
    assert!(
        !told.iter().any(|line| line.starts_with("BROKEN")),
        "{runtime}: {told:?}"
    );
    stage.clean(equipment).await;
}
