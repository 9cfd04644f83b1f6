//! Instances made ahead, with the whole agent on the real Docker Engine.

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use cfx_cell_agent::config::Config;
use cfx_cell_agent::equipment::Equipment;
use cfx_process::clock::Clock;
use cfx_protocol::desired::{InstanceSpec, Root};
use cfx_protocol::health::HealthCheck;
use cfx_protocol::id::AssignmentGuid;
use cfx_protocol::instance::InstanceState;
use support::controller::World;
use support::engine::Stage;
use support::{limits, owner, process};

/// Long enough for a few containers on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

const SERVER: &str = r#"cat /etc/hostname; exec perl -MIO::Socket::INET -e '
my $s = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 64, ReuseAddr => 1) or die "listen: $!";
while (my $c = $s->accept) { $c->recv(my $request, 4096); exit 3 if $request =~ m{^GET /crash};
  my $body = $ENV{CF_INSTANCE_GUID}; print $c "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body"; close $c }'"#;

fn app(stage: &Stage) -> InstanceSpec {
    let droplet = stage.droplet(41, &[("app/readme", "nothing but a place to be in")]);
    InstanceSpec {
        owner: owner(),
        work: process(
            Some(SERVER),
            HealthCheck {
                start_timeout_s: 60,
                ..HealthCheck::default()
            },
        ),
        root: Root::Stack {
            name: "host".to_owned(),
            droplet: Some(droplet),
        },
        limits: cfx_protocol::desired::Limits {
            disk_mb: 1_024,
            fds: 16_384,
            ..limits()
        },
        env: BTreeMap::new(),
        ports: vec![8080],
    }
}

fn two_warm(config: &mut Config) {
    config.warm = 2;
}

/// Ids of the cell's containers and the names that they go by, as the engine tells.
fn containers(stage: &Stage) -> BTreeMap<String, String> {
    let label = format!("label=cfx.cell={}", stage.cell());
    let listed = Command::new("docker")
        .args([
            "ps",
            "--no-trunc",
            "-f",
            &label,
            "--format",
            "{{.ID}} {{.Names}}",
        ])
        .output()
        .expect("docker ps");
    let text = String::from_utf8(listed.stdout).expect("text");
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(id, name)| (id.to_owned(), name.to_owned()))
        .collect()
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::system();
    let waiting = async {
        loop {
            match look() {
                Some(found) => break found,
                None => clock.sleep(Duration::from_millis(50)).await,
            }
        }
    };
    match tokio::time::timeout(DEADLINE, waiting).await {
        Ok(found) => found,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

fn ready(stage: &Stage, count: usize) -> Option<BTreeMap<String, String>> {
    Some(containers(stage)).filter(|all| all.len() == count)
}

fn running(world: &World, guid: AssignmentGuid) -> Option<(String, std::net::SocketAddr)> {
    let report = world.instances.get(&guid)?;
    let is_running = matches!(report.state, InstanceState::Running { .. });
    let address = report.address?;
    is_running.then(|| {
        (
            report.instance.to_string(),
            (address.host, address.port).into(),
        )
    })
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stream = tokio::net::TcpStream::connect(address).await;
    let mut stream = stream.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Nothing is left, neither of what ran nor of what waited.
async fn leave(stage: Stage, equipment: Equipment, agent: support::Agent) {
    let guids: Vec<_> = {
        let world = stage.controller.world.lock();
        world.assignments.keys().copied().collect()
    };
    for guid in guids {
        stage.controller.remove(guid);
    }
    let empty = |world: &World| world.instances.is_empty().then_some(());
    stage.controller.eventually("all ended", 60, empty).await;
    let halted = agent.running.as_ref().expect("it runs").drain.halt();
    tokio::time::timeout(DEADLINE, halted)
        .await
        .expect("halted");
    assert_eq!(containers(&stage), BTreeMap::new());
    stage.clean(equipment).await;
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_takes_what_waits_and_the_pool_is_filled_again() {
    let stage = Stage::new().await;
    let (agent, equipment) = stage.agent_with(two_warm).await;
    let waiting = until("two wait", || ready(&stage, 2)).await;
    let guid = stage.controller.assign(1, 0, app(&stage));
    let (name, address) = stage
        .controller
        .eventually("it runs", 60, |world| running(world, guid))
        .await;
    let (id, _) = containers(&stage)
        .into_iter()
        .find(|(_, one)| *one == format!("cfx-{name}"))
        .expect("it has the instance's name");
    assert!(waiting.contains_key(&id), "it was there before");
    let answer = get(address, "/").await;
    assert!(answer.ends_with(&name), "{answer}");
    let now = until("two wait again", || ready(&stage, 3)).await;
    assert_eq!(now.get(&id), Some(&format!("cfx-{name}")));

    // A crash restarts it on its own address, with all that a cold start makes.
    get(address, "/crash").await;
    let again = stage.controller.eventually("it runs again", 60, |world| {
        running(world, guid).filter(|(other, _)| *other != name)
    });
    let (other, same) = again.await;
    assert_eq!(same, address);
    assert!(get(same, "/").await.ends_with(&other));
    leave(stage, equipment, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_agent_takes_up_what_waits_and_leaves_what_runs_alone() {
    let stage = Stage::new().await;
    let (agent, equipment) = stage.agent_with(two_warm).await;
    until("two wait", || ready(&stage, 2)).await;
    let guid = stage.controller.assign(1, 0, app(&stage));
    let first = stage
        .controller
        .eventually("it runs", 60, |world| running(world, guid))
        .await;
    let before = until("two wait again", || ready(&stage, 3)).await;
    agent.end().await;
    equipment.join().await;

    let (agent, equipment) = stage.agent_with(two_warm).await;
    let other = stage.controller.assign(2, 1, app(&stage));
    let (second, address) = stage
        .controller
        .eventually("another runs", 60, |world| running(world, other))
        .await;
    let still = stage
        .controller
        .eventually("it still runs", 60, |world| running(world, guid))
        .await;
    assert_eq!(still, first);
    assert!(get(address, "/").await.ends_with(&second));
    assert!(get(first.1, "/").await.ends_with(&first.0));
    let now = until("two wait again", || ready(&stage, 4)).await;
    for id in before.keys() {
        assert!(
            now.contains_key(id),
            "{id} was there before, and is not now"
        );
    }
    leave(stage, equipment, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_keeps_none_sweeps_what_an_earlier_agent_made() {
    let stage = Stage::new().await;
    let (agent, equipment) = stage.agent_with(two_warm).await;
    until("two wait", || ready(&stage, 2)).await;
    agent.end().await;
    equipment.join().await;
    let (agent, equipment) = stage.agent_with(|_| {}).await;
    until("no container is left", || ready(&stage, 0)).await;
    let swept = async {
        while !equipment.ground.volumes().await.expect("listed").is_empty() {
            Clock::system().sleep(Duration::from_millis(50)).await;
        }
    };
    let swept = tokio::time::timeout(DEADLINE, swept).await;
    swept.expect("no volume is left");
    leave(stage, equipment, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_goes_on_when_what_waited_has_died() {
    let stage = Stage::new().await;
    let (agent, equipment) = stage.agent_with(two_warm).await;
    let waiting = until("two wait", || ready(&stage, 2)).await;
    let killed = Command::new("docker")
        .arg("kill")
        .args(waiting.keys())
        .output();
    assert!(killed.expect("docker kill").status.success());
    let guid = stage.controller.assign(1, 0, app(&stage));
    let (name, address) = stage
        .controller
        .eventually("it runs", 60, |world| running(world, guid))
        .await;
    assert!(get(address, "/").await.ends_with(&name));
    assert!(stage.controller.world.lock().crashes.is_empty());
    // The dead ones are found out, and others are made.
    let now = until("two others wait", || ready(&stage, 3)).await;
    assert!(waiting.keys().all(|id| !now.contains_key(id)));
    leave(stage, equipment, agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_may_end_at_any_moment_of_a_warm_start() {
    let stage = Stage::new().await;
    let (mut agent, mut equipment) = stage.agent_with(two_warm).await;
    for step in 0..6_u128 {
        let moment = Duration::from_millis(8 * u64::try_from(step).expect("small"));
        let what = format!("ended {moment:?} after the assignment");
        until("two wait", || ready(&stage, 2)).await;
        let guid = stage.controller.assign(10 + step, 0, app(&stage));
        Clock::system().sleep(moment).await;
        agent.end().await;
        equipment.join().await;
        (agent, equipment) = stage.agent_with(two_warm).await;
        let runs = |world: &World| running(world, guid);
        let (name, address) = stage.controller.eventually(&what, 60, runs).await;
        assert!(get(address, "/").await.ends_with(&name), "{what}");
        let all = until(&what, || ready(&stage, 3)).await;
        let own = format!("cfx-{name}");
        assert_eq!(all.values().filter(|one| **one == own).count(), 1, "{what}");
        stage.controller.remove(guid);
        let empty = |world: &World| world.instances.is_empty().then_some(());
        stage.controller.eventually(&what, 60, empty).await;
    }
    leave(stage, equipment, agent).await;
}
