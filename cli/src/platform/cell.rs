//! A cell of this process: the ground its instances stand on, then its agent.
//!
//! In two steps, because the router listens on the cells' gateways: first every ground, then the
//! router, then the agents.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use cfx_cell_agent::config::Config;
use cfx_cell_agent::equipment::{Equipment, EquipmentConfig, EquipmentError, RuntimeChoice, equip};
use cfx_cell_agent::{Edges, Running};
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::shutdown::Shutdown;
use cfx_process::telemetry::Metrics;

use super::error_text;
use crate::failure::{Failure, Outcome};

/// What a cell of this process is to be.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) runtime: RuntimeChoice,
    pub(crate) docker_socket: PathBuf,
    /// Domains of the platform.
    pub(crate) domains: Vec<String>,
    /// Ports of the gateway that instances may reach.
    pub(crate) gateway_ports: Vec<u16>,
    /// What names of those domains are answered with; none for the gateway.
    pub(crate) answer: Option<Ipv4Addr>,
    /// Offer the stack made of this machine's own folders.
    pub(crate) host_stack: bool,
}

/// A cell whose ground stands.
#[derive(Debug)]
pub(crate) struct Grounded {
    config: Config,
    equipment: Equipment,
}

/// A cell at work.
#[derive(Debug)]
pub(crate) struct Cell {
    agent: Running,
    equipment: Equipment,
}

/// Find the runtime and make the network.
pub(crate) async fn ground(plan: Plan, clock: &Clock, shutdown: &Shutdown) -> Outcome<Grounded> {
    let config = plan.config;
    let equipment = EquipmentConfig {
        runtime: plan.runtime,
        docker_socket: plan.docker_socket,
        host_stack: plan.host_stack,
        gateway_ports: plan.gateway_ports,
        domains: plan.domains,
        answer: plan.answer,
        ..EquipmentConfig::new(config.cell, config.data.clone())
    };
    let equipment = equip(equipment, clock.clone(), shutdown)
        .await
        .map_err(|error| not_equipped(&error))?;
    Ok(Grounded { config, equipment })
}

impl Grounded {
    /// The machine as the cell's instances see it.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.equipment.gateway
    }

    /// What its instances run on.
    pub(crate) fn runtime(&self) -> &'static str {
        self.equipment.runtime.name()
    }

    pub(crate) async fn start(
        self,
        clock: &Clock,
        ids: &IdSource,
        client: InternalClient,
        shutdown: &Shutdown,
    ) -> Outcome<Cell> {
        let edges = Edges {
            clock: clock.clone(),
            ids: ids.clone(),
            runtime: self.equipment.runtime.clone(),
            ground: self.equipment.ground.clone(),
            client,
            metrics: Metrics::default(),
        };
        let agent = cfx_cell_agent::start(self.config, edges, shutdown.clone())
            .await
            .map_err(|error| cannot("start", &error))?;
        Ok(Cell {
            agent,
            equipment: self.equipment,
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
        if let Err(error) = self.equipment.close_network().await {
            tracing::warn!(
                error = error_text(&error),
                "the cell's network stays on the machine"
            );
        }
    }

    /// Wait until its agent has ended, after the shutdown was requested. Its instances run on.
    pub(crate) async fn stopped(self) {
        self.agent.join().await;
        self.equipment.join().await;
    }
}

fn cannot(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the cell cannot {what}: {}", error_text(error)))
        .next("check that the data folder's disk has room, and that cfx runs as root")
}

fn not_equipped(error: &EquipmentError) -> Failure {
    let failure = Failure::new(format!("the cell cannot start: {}", error_text(error)));
    match error {
        EquipmentError::NoDocker(_) => failure.next(
            "install Docker and start it: `apt-get install docker.io && service docker start`, \
             or run without it: `--runtime sandbox`",
        ),
        EquipmentError::NoSandbox(_) => failure.next(
            "give the machine what it lacks, or install Docker (`apt-get install docker.io`) and \
             use `--runtime docker`",
        ),
        EquipmentError::NoRuntime { .. } => failure.next(
            "give the machine what sandboxes lack, or install Docker and start it: \
             `apt-get install docker.io && service docker start`",
        ),
        EquipmentError::Network(_) | EquipmentError::Resolver(_) => failure.next(
            "cells need root, iptables, e2fsprogs and mount: \
             `apt-get install iptables e2fsprogs mount`, then start cfx as root",
        ),
        EquipmentError::Volumes(_) | EquipmentError::Io { .. } => {
            failure.next("check that the data folder's disk has room, and that cfx runs as root")
        }
    }
}
