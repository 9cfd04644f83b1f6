//! A cell of this process: the ground its instances stand on, then its agent.
//!
//! In two steps, because the router listens on the cells' gateways: first every ground, then the
//! router, then the agents.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cfx_cell_agent::config::Config;
use cfx_cell_agent::hooks::machine::Machine;
use cfx_cell_agent::network::{Network, NetworkConfig, choose_range};
use cfx_cell_agent::resolver::{self, Resolver, ResolverConfig};
use cfx_cell_agent::runtime::docker::{Docker, DockerConfig, SOCKET_DEFAULT};
use cfx_cell_agent::slot::launcher;
use cfx_cell_agent::volume::Volumes;
use cfx_cell_agent::{Edges, Running};
use cfx_process::clock::Clock;
use cfx_process::durable_file;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::Supervisor;
use cfx_process::telemetry::Metrics;
use ipnet::Ipv4Net;

use super::error_text;
use crate::failure::{Failure, Outcome};

/// Time that resolver and network have to end.
const JOIN_DEADLINE: Duration = Duration::from_secs(2);

/// What a cell of this process is to be.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    /// Domains of the platform.
    pub(crate) domains: Vec<String>,
    /// Ports of the gateway that instances may reach.
    pub(crate) gateway_ports: Vec<u16>,
    /// What names of those domains are answered with; none for the gateway.
    pub(crate) answer: Option<Ipv4Addr>,
    /// Offer the stack made of this machine's own folders.
    pub(crate) host_stack: bool,
}

/// A cell whose network stands.
#[derive(Debug)]
pub(crate) struct Grounded {
    config: Config,
    network: Network,
    docker: Arc<Docker>,
    /// Held: it answers for as long as the cell lives.
    resolver: Resolver,
    supervisor: Supervisor,
}

/// A cell at work.
#[derive(Debug)]
pub(crate) struct Cell {
    agent: Running,
    machine: Arc<Machine>,
    _resolver: Resolver,
    supervisor: Supervisor,
}

/// Connect to the runtime and make the network.
pub(crate) async fn ground(plan: Plan, clock: &Clock, shutdown: &Shutdown) -> Outcome<Grounded> {
    let Plan {
        config,
        domains,
        gateway_ports,
        answer,
        host_stack,
    } = plan;
    let supervisor = Supervisor::new("cell ground", shutdown.clone());
    let folder = config.data.clone();
    durable_file::create_private_folder(&folder)
        .map_err(|error| cannot("make its folder", &error))?;
    let launcher = launcher::install(&folder.join("launcher"))
        .map_err(|error| cannot("keep the launcher", &error))?;
    let docker_config = DockerConfig {
        socket: PathBuf::from(SOCKET_DEFAULT),
        cell: config.cell,
        launcher,
        directory: folder.join("docker"),
        host_stack,
    };
    let docker = Docker::connect(docker_config, &supervisor, clock.clone())
        .await
        .map_err(|error| no_docker(&error))?;
    let network_config = NetworkConfig {
        range: range(&folder, &config, &supervisor).await?,
        gateway_ports,
        denied: Vec::new(),
    };
    let network = Network::open(network_config, &supervisor)
        .await
        .map_err(|error| no_network(&error))?;
    let resolver = start_resolver(network.gateway(), answer, domains, &supervisor).await?;
    Ok(Grounded {
        config,
        network,
        docker,
        resolver,
        supervisor,
    })
}

/// The cell's addresses: chosen once, so that instances keep theirs over a restart.
async fn range(folder: &Path, config: &Config, supervisor: &Supervisor) -> Outcome<Ipv4Net> {
    let path = folder.join("network-range");
    let kept =
        durable_file::read(&path).map_err(|error| cannot("read its network range", &error))?;
    let kept = kept.and_then(|bytes| String::from_utf8_lossy(&bytes).trim().parse().ok());
    if let Some(range) = kept {
        return Ok(range);
    }
    let range = choose_range(config.cell, supervisor)
        .await
        .map_err(|error| no_network(&error))?;
    durable_file::write(
        &path,
        range.to_string().as_bytes(),
        durable_file::MODE_PUBLIC,
    )
    .map_err(|error| cannot("keep its network range", &error))?;
    Ok(range)
}

async fn start_resolver(
    gateway: Ipv4Addr,
    answer: Option<Ipv4Addr>,
    domains: Vec<String>,
    supervisor: &Supervisor,
) -> Outcome<Resolver> {
    let config = ResolverConfig {
        listen: SocketAddr::from((gateway, resolver::PORT)),
        answer: answer.unwrap_or(gateway),
        domains,
        // A machine without name servers still answers the platform's own names.
        upstreams: resolver::nameservers_of_machine().unwrap_or_default(),
    };
    Resolver::start(config, supervisor)
        .await
        .map_err(|error| cannot("resolve names for its instances", &error))
}

impl Grounded {
    /// The machine as the cell's instances see it.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.network.gateway()
    }

    pub(crate) async fn start(
        self,
        clock: &Clock,
        ids: &IdSource,
        client: InternalClient,
        shutdown: &Shutdown,
    ) -> Outcome<Cell> {
        let volumes = Volumes::new(self.config.data.join("volumes"))
            .map_err(|error| cannot("make its volumes", &error))?;
        let machine = Arc::new(Machine::new(self.network, volumes, clock.clone()));
        let edges = Edges {
            clock: clock.clone(),
            ids: ids.clone(),
            runtime: self.docker,
            ground: machine.clone(),
            client,
            metrics: Metrics::default(),
        };
        let agent = cfx_cell_agent::start(self.config, edges, shutdown.clone())
            .await
            .map_err(|error| cannot("start", &error))?;
        Ok(Cell {
            agent,
            machine,
            _resolver: self.resolver,
            supervisor: self.supervisor,
        })
    }
}

impl Cell {
    /// Where its `/metrics` and `/healthz` answer.
    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.agent.admin
    }

    /// End its instances and take its network off the machine; the next start brings both back.
    pub(crate) async fn halt(&self) {
        self.agent.drain.halt().await;
        if let Err(error) = self.machine.close().await {
            tracing::warn!(
                error = error_text(&error),
                "the cell's network stays on the machine"
            );
        }
    }

    /// Wait until its agent has ended, after the shutdown was requested. Its instances run on.
    pub(crate) async fn stopped(self) {
        self.agent.join().await;
        self.supervisor.join(JOIN_DEADLINE).await;
    }
}

fn cannot(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the cell cannot {what}: {}", error_text(error)))
        .next("check that the data folder's disk has room, and that cfx runs as root")
}

fn no_network(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!(
        "the cell cannot make its network: {}",
        error_text(error)
    ))
    .next(
        "cells need root, iptables, e2fsprogs and mount: \
         `apt-get install iptables e2fsprogs mount`, then start cfx as root",
    )
}

fn no_docker(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("no container runtime is there: {}", error_text(error))).next(
        "install Docker and start it: `apt-get install docker.io && service docker start`, then again",
    )
}
