//! What the tests of the whole agent share.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

pub mod controller;
pub mod engine;
pub mod processes;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cfx_cell_agent::config::Config;
use cfx_cell_agent::hooks::ground::{Ground, Ready};
use cfx_cell_agent::runtime::Runtime;
use cfx_cell_agent::{Edges, Running};
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;
use cfx_process::telemetry::Metrics;
use cfx_protocol::desired::{InstanceSpec, Limits, Owner, Root, Work};
use cfx_protocol::health::{Check, HealthCheck, ReadinessCheck};
use cfx_protocol::id::{AppGuid, CellGuid, OrgGuid, ProcessGuid, SpaceGuid};
use uuid::Uuid;

use controller::Controller;
use processes::{Folders, Processes};

pub const CELL: CellGuid = CellGuid(Uuid::from_u128(0xce11));

/// A web server in the language that every Debian has: answers every request with its start.
pub const SERVER: &str = r#"exec perl -MIO::Socket::INET -e '
my $s = IO::Socket::INET->new(LocalAddr => $ENV{CF_INSTANCE_INTERNAL_IP}, LocalPort => $ENV{PORT}, Listen => 64, ReuseAddr => 1) or die "listen: $!";
$| = 1; print "listening\n";
while (my $c = $s->accept) { $c->recv(my $request, 4096); my $body = $ENV{CF_INSTANCE_GUID}; print $c "HTTP/1.1 200 OK\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body"; close $c }'"#;

/// A cell on processes and folders, with a controller.
pub struct Stage {
    pub folder: tempfile::TempDir,
    pub controller: Controller,
    pub runtime: Processes,
    pub ground: Folders,
}

/// One run of an agent.
pub struct Agent {
    pub running: Option<Running>,
    shutdown: Shutdown,
}

impl Stage {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            controller: Controller::start(&folder.path().join("authority")).await,
            runtime: Processes::new(&folder.path().join("launcher")),
            ground: Folders::new(folder.path().join("volumes")),
            folder,
        }
    }

    pub fn config(&self) -> Config {
        quick(Config::new(
            CELL,
            "cell-a".to_owned(),
            self.folder.path().join("data"),
        ))
    }

    pub async fn agent(&self) -> Agent {
        self.agent_with(self.config()).await
    }

    pub async fn agent_with(&self, config: Config) -> Agent {
        let runtime = Arc::new(self.runtime.clone());
        start(
            config,
            runtime,
            Arc::new(self.ground.clone()),
            &self.controller,
        )
        .await
    }

    pub fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("data/state")
    }
}

/// Times that let a test end soon; the rules stay as they are.
pub fn quick(mut config: Config) -> Config {
    config.timing.back_off.first = Duration::from_millis(300);
    config.timing.in_flight = Duration::from_millis(50);
    config.timing.graceful = Duration::from_secs(1);
    config.timing.sample = Duration::from_millis(200);
    // Nothing that a test did not ask for is left in its folder.
    config.ready = Ready::default();
    config
}

pub async fn start(
    config: Config,
    runtime: Arc<dyn Runtime>,
    ground: Arc<dyn Ground>,
    controller: &Controller,
) -> Agent {
    let shutdown = Shutdown::new();
    let edges = Edges {
        clock: Clock::system(),
        ids: IdSource::system(),
        client: controller.client(config.cell),
        runtime,
        ground,
        metrics: Metrics::default(),
    };
    let running = cfx_cell_agent::start(config, edges, shutdown.clone()).await;
    Agent {
        running: Some(running.expect("started")),
        shutdown,
    }
}

impl Agent {
    /// As if it were killed: nothing of what runs is told.
    pub async fn end(mut self) {
        self.shutdown.request();
        if let Some(running) = self.running.take() {
            running.join().await;
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

pub fn owner() -> Owner {
    Owner {
        org: OrgGuid(Uuid::from_u128(1)),
        org_name: "org".to_owned(),
        space: SpaceGuid(Uuid::from_u128(2)),
        space_name: "space".to_owned(),
        app: AppGuid(Uuid::from_u128(3)),
        app_name: "app".to_owned(),
    }
}

pub fn limits() -> Limits {
    Limits {
        memory_mb: 64,
        disk_mb: 64,
        log_rate_bytes: None,
        pids: 128,
        fds: 1_024,
    }
}

/// A web process of an image, with a command.
pub fn web(command: &str) -> InstanceSpec {
    InstanceSpec {
        owner: owner(),
        work: process(
            Some(command),
            HealthCheck {
                start_timeout_s: 20,
                ..HealthCheck::default()
            },
        ),
        root: Root::Image {
            reference: "shop".to_owned(),
            username: None,
            password: None,
        },
        limits: limits(),
        env: BTreeMap::from([("SECRET".to_owned(), "hunter2-in-the-env".to_owned())]),
        ports: vec![18_080],
    }
}

pub fn process(command: Option<&str>, health: HealthCheck) -> Work {
    Work::Process {
        process: ProcessGuid(Uuid::from_u128(4)),
        process_type: "web".to_owned(),
        command: command.map(str::to_owned),
        health,
        readiness: ReadinessCheck {
            check: Check::Process,
            ..ReadinessCheck::default()
        },
    }
}

/// Removes what a test's cell has made of the machine's network.
pub async fn close_network(range: &str) {
    use cfx_cell_agent::network::{Network, NetworkConfig};
    let config = NetworkConfig {
        range: range.parse().expect("a range"),
        gateway_ports: Vec::new(),
        denied: Vec::new(),
    };
    let supervisor = cfx_process::supervisor::Supervisor::new("clean", Shutdown::new());
    let network = Network::open(config, &supervisor).await.expect("opened");
    network.close().await.expect("closed");
}

/// Does any file below `folder` hold these bytes?
pub fn holds(folder: &Path, needle: &[u8]) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => holds(&path, needle),
            Ok(kind) if kind.is_file() => std::fs::read(&path)
                .is_ok_and(|content| memchr::memmem::find(&content, needle).is_some()),
            _ => false,
        }
    })
}
