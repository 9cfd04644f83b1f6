//! Apps that misbehave, on the real engine: each is told as what it is, and a neighbour answers all
//! the while.

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
use support::engine::Stage;
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
    let stage = Stage::new().await;
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
