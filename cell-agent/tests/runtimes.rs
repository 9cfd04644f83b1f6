//! The whole agent on Docker and on sandboxes, with real volumes, addresses and buildpacks.

mod support;

use std::collections::BTreeMap;

use cfx_protocol::actual::{Outcome, StagedDroplet};
use cfx_protocol::desired::{BlobRef, BuildpackRef, InstanceSpec, Root, StagingWork, Work};
use cfx_protocol::health::HealthCheck;
use cfx_protocol::id::{BuildGuid, DropletGuid, PackageGuid, TaskGuid};
use cfx_protocol::instance::{CrashReason, InstanceState};
use support::controller::World;
use support::engine::{RUNTIMES, Stage};
use support::{limits, owner, process};
use uuid::Uuid;

fn staging(
    package: BlobRef<PackageGuid>,
    buildpacks: Vec<BuildpackRef>,
    detect: bool,
) -> InstanceSpec {
    InstanceSpec {
        owner: owner(),
        work: Work::Staging(StagingWork {
            build: BuildGuid(Uuid::from_u128(40)),
            package,
            droplet: DropletGuid(Uuid::from_u128(41)),
            buildpacks,
            detect,
            stack: "host".to_owned(),
            cache: None,
            timeout_s: 60,
        }),
        root: Root::Stack {
            name: "host".to_owned(),
            droplet: None,
        },
        limits: cfx_protocol::desired::Limits {
            memory_mb: 256,
            disk_mb: 256,
            ..limits()
        },
        env: BTreeMap::new(),
        ports: Vec::new(),
    }
}

fn app(droplet: &StagedDroplet, work: Work) -> InstanceSpec {
    let droplet = BlobRef {
        guid: DropletGuid(Uuid::from_u128(41)),
        sha256: droplet.sha256.clone(),
        size_bytes: droplet.size_bytes,
    };
    InstanceSpec {
        owner: owner(),
        work,
        root: Root::Stack {
            name: "host".to_owned(),
            droplet: Some(droplet),
        },
        limits: limits(),
        env: BTreeMap::from([(
            "VCAP_APPLICATION".to_owned(),
            r#"{"application_name":"app"}"#.to_owned(),
        )]),
        ports: vec![8080],
    }
}

const SERVER: &str = r#"#!/bin/bash
echo "up as $(id -u) in $PWD"
touch can-write && touch /tmp/can-write && echo writable
exec perl -MIO::Socket::INET -e '
my $s = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 64, ReuseAddr => 1) or die "listen: $!";
while (my $c = $s->accept) { $c->recv(my $request, 4096);
  if ($request =~ m{^GET /eat}) { my @all; while (1) { push @all, "x" x 1000000 } }
  my $body = join "", map { "$_=$ENV{$_}\n" } sort keys %ENV;
  print $c "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body"; close $c }'
"#;

async fn get(report: &cfx_protocol::actual::InstanceReport, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = report.address.expect("an address");
    let mut stream = tokio::net::TcpStream::connect((address.host, address.port))
        .await
        .expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

fn droplet(outcome: Outcome) -> StagedDroplet {
    match outcome {
        Outcome::Staging {
            result: Ok(droplet),
            ..
        } => droplet,
        other => panic!("not staged: {other:?}"),
    }
}

fn failure(outcome: Outcome) -> String {
    match outcome {
        Outcome::Staging {
            result: Err(failure),
            ..
        } => format!("{}: {}", failure.id, failure.message),
        other => panic!("staged: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_staged_runs_survives_its_agent_and_its_memory_limit_and_leaves_nothing() {
    for runtime in RUNTIMES {
        live(Stage::on(runtime).await).await;
    }
}

async fn live(stage: Stage) {
    let (agent, equipment) = stage.agent().await;
    let package = stage.package(&[
        ("Procfile", "web: ./serve\nworker: ./work\n"),
        ("serve", SERVER),
    ]);
    let packs = vec![
        stage.buildpack(1, "python"),
        stage.buildpack(2, "procfile"),
        stage.buildpack(3, "binary"),
    ];
    let staged = droplet(stage.staged(1, staging(package, packs, true)).await);
    assert_eq!(staged.process_types["web"], "./serve");
    assert_eq!(staged.buildpacks.len(), 1, "{staged:?}");

    let health = HealthCheck {
        start_timeout_s: 30,
        ..HealthCheck::default()
    };
    let guid = stage
        .controller
        .assign(2, 0, app(&staged, process(None, health)));
    let running = |world: &World| {
        let report = world.instances.get(&guid)?;
        matches!(report.state, InstanceState::Running { .. }).then(|| report.clone())
    };
    let report = stage.controller.eventually("it runs", 60, running).await;
    let env = get(&report, "/").await;
    let name = report.instance.to_string();
    for expected in [
        "HOME=/home/vcap/app",
        "USER=vcap",
        "PORT=8080",
        "CF_INSTANCE_INDEX=0",
        "MEMORY_LIMIT=64m",
        "TMPDIR=/home/vcap/tmp",
        "DEPS_DIR=/home/vcap/deps",
        "LANG=en_US.UTF-8",
        &format!("CF_INSTANCE_GUID={name}"),
        &format!("\"instance_id\":\"{name}\""),
    ] {
        assert!(env.contains(expected), "{expected} is missing in\n{env}");
    }
    stage
        .controller
        .eventually("it may write", 10, |world| {
            let said = |line: &&cfx_protocol::telemetry::LogEnvelope| line.payload == b"writable";
            world.logs.iter().find(said).map(drop)
        })
        .await;
    stage
        .controller
        .eventually("its memory is measured", 20, |world| {
            world
                .instances
                .get(&guid)?
                .usage
                .filter(|usage| usage.memory_bytes > 0 && usage.disk_bytes > 0)
                .map(drop)
        })
        .await;

    agent.end().await;
    equipment.join().await;
    stage.controller.world.lock().instances.clear();
    let (_agent, equipment) = stage.agent().await;
    let again = stage
        .controller
        .eventually("it was taken over", 30, running)
        .await;
    assert_eq!(
        (again.starts, again.instance, again.address),
        (0, report.instance, report.address)
    );
    assert!(get(&again, "/").await.contains("USER=vcap"));

    get(&again, "/eat").await;
    stage
        .controller
        .eventually("it ran out of memory", 30, |world| {
            let crash = world
                .crashes
                .iter()
                .find(|crash| crash.assignment == guid)?;
            assert_eq!(crash.reason, CrashReason::OutOfMemory { limit_mb: 64 });
            Some(())
        })
        .await;
    let third = stage.controller.eventually("it is back", 60, running).await;
    assert_eq!(
        (third.starts, third.address),
        (1, report.address),
        "the address is the assignment's\n{}",
        stage.controller.describe()
    );

    let task = Work::Task {
        task: TaskGuid(Uuid::from_u128(9)),
        name: "migrate".to_owned(),
        command: "echo done; exit 4".to_owned(),
    };
    let task = stage.controller.assign(3, 0, app(&staged, task));
    let outcome = stage
        .controller
        .eventually("the task ends", 60, |world| {
            world.instances.get(&task)?.outcome.clone()
        })
        .await;
    let failure = Some("Exited with status 4".to_owned());
    assert_eq!(
        outcome,
        Outcome::Task {
            task: TaskGuid(Uuid::from_u128(9)),
            failure
        }
    );
    stage.clean(equipment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_staging_have_the_names_of_cloud_foundry() {
    for runtime in RUNTIMES {
        fail_to_stage(Stage::on(runtime).await).await;
    }
}

async fn fail_to_stage(stage: Stage) {
    let (_agent, equipment) = stage.agent().await;
    let package = stage.package(&[("readme.txt", "nothing to run")]);
    let python = stage.buildpack(1, "python");
    let undetected = staging(package.clone(), vec![python.clone()], true);
    let failed = failure(stage.staged(1, undetected).await);
    assert!(failed.starts_with("NoAppDetectedError: "), "{failed}");
    let fails = |stage: &Stage, number: u128, script: &str| {
        let succeed = "#!/bin/bash\nexit 0\n";
        let fail = "#!/bin/bash\nexit 1\n";
        let files = [
            ("bin/detect", succeed),
            ("bin/compile", script),
            ("bin/release", fail),
        ];
        stage.buildpack_of(number, &files)
    };
    let compile = fails(&stage, 1, "#!/bin/bash\nexit 7\n");
    let release = fails(&stage, 2, "#!/bin/bash\nexit 0\n");
    let forever = fails(&stage, 3, "#!/bin/bash\nsleep 1000\n");
    let compile = staging(package.clone(), vec![compile], false);
    let failed = failure(stage.staged(2, compile).await);
    assert!(failed.starts_with("BuildpackCompileFailed: "), "{failed}");
    let release = staging(package.clone(), vec![release], false);
    let failed = failure(stage.staged(3, release).await);
    assert!(failed.starts_with("BuildpackReleaseFailed: "), "{failed}");
    let mut forever = staging(package.clone(), vec![forever], false);
    if let Work::Staging(work) = &mut forever.work {
        work.timeout_s = 2;
    }
    let failed = failure(stage.staged(4, forever).await);
    assert!(failed.starts_with("StagingTimeExpired: "), "{failed}");
    let mut damaged = staging(package, vec![python], true);
    if let Work::Staging(work) = &mut damaged.work {
        work.package.sha256 = "0".repeat(64);
    }
    let failed = failure(stage.staged(5, damaged).await);
    assert!(failed.starts_with("StagingError: "), "{failed}");
    stage.clean(equipment).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_buildpacks_supply_and_finalize_and_the_next_staging_starts_from_the_cache() {
    for runtime in RUNTIMES {
        stage_with_named_buildpacks(Stage::on(runtime).await).await;
    }
}

async fn stage_with_named_buildpacks(stage: Stage) {
    let (_agent, equipment) = stage.agent().await;
    let package = stage.package(&[(
        "serve",
        "#!/bin/bash\necho \"profile $FROM_PROFILE app $FROM_APP tool $(cat $DEPS_DIR/0/tool)\"\nsleep 1000\n",
    ), (".profile", "export FROM_APP=too\n")]);
    let supplier = stage.buildpack_of(
        1,
        &[(
            "bin/supply",
            "#!/bin/bash\n[ -f \"$2/mark\" ] && echo \"cache of $(basename \"$2\")\"\ntouch \"$2/mark\"\necho hammer > \"$3/$4/tool\"\n",
        )],
    );
    let last = stage.buildpack_of(
        2,
        &[
            ("bin/supply", "#!/bin/bash\necho \"last supplies $4\"\n"),
            (
                "bin/finalize",
                "#!/bin/bash\necho \"finalize $4\"\necho 'export FROM_PROFILE=yes' > \"$5/set.sh\"\n",
            ),
            ("bin/release", "#!/bin/bash\necho '--- {default_process_types: {web: ./serve}}'\n"),
        ],
    );
    let packs = vec![supplier, last];
    let first = droplet(
        stage
            .staged(1, staging(package.clone(), packs.clone(), false))
            .await,
    );
    assert_eq!(first.buildpacks, ["own-1", "own-2"]);
    assert_eq!(first.process_types["web"], "./serve");
    for text in [
        "last supplies 1",
        "finalize 1",
        "Uploading complete",
        "Exit status 0",
    ] {
        stage
            .controller
            .eventually(text, 10, logged("STG", text))
            .await;
    }
    let mut again = staging(package, packs, false);
    if let Work::Staging(work) = &mut again.work {
        work.cache = first.cache.clone();
    }
    assert!(first.cache.is_some());
    let second = droplet(stage.staged(2, again).await);
    stage
        .controller
        .eventually("the cache is used", 10, logged("STG", "cache of own-1"))
        .await;
    assert_eq!(second.process_types, first.process_types);

    let health = HealthCheck {
        check: cfx_protocol::health::Check::Process,
        ..HealthCheck::default()
    };
    stage
        .controller
        .assign(3, 0, app(&second, process(None, health)));
    let told = "profile yes app too tool hammer";
    stage
        .controller
        .eventually("it was launched in order", 60, logged("APP/PROC/WEB", told))
        .await;
    stage.clean(equipment).await;
}

fn logged(source: &'static str, text: &'static str) -> impl Fn(&World) -> Option<()> {
    move |world| {
        let said = |line: &&cfx_protocol::telemetry::LogEnvelope| {
            line.source_type == source && String::from_utf8_lossy(&line.payload).contains(text)
        };
        world.logs.iter().find(said).map(drop)
    }
}
