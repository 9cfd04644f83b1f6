//! What a cell stands on in the real world: a runtime, a network, volumes and a resolver. Made
//! before the agent, by whoever starts it; tests bring their own.
//!
//! Order matters: the launcher before the runtime that mounts it, the network before the resolver
//! that listens on its gateway.

mod choice;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::durable_file::{self, MODE_PUBLIC};
use cfx_process::shutdown::Shutdown;
use cfx_process::supervisor::Supervisor;
use cfx_protocol::id::CellGuid;
use ipnet::Ipv4Net;

use crate::hooks::ground::Ground;
use crate::hooks::machine::Machine;
use crate::network::{Network, NetworkConfig, NetworkError, choose_range};
use crate::resolver::{self, Resolver, ResolverConfig, ResolverError};
use crate::runtime::docker::SOCKET_DEFAULT;
use crate::runtime::sandboxed::STACKS_DEFAULT;
use crate::runtime::{Runtime, RuntimeError};
use crate::volume::{VolumeError, Volumes};
pub use choice::RuntimeChoice;

/// The cell's addresses, in its folder.
pub const RANGE_FILE: &str = "network-range";

/// Time that the resolver and the runtime's followers have to end.
const JOIN_DEADLINE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct EquipmentConfig {
    pub cell: CellGuid,
    /// The cell's folder, the same as the agent's.
    pub data: PathBuf,
    pub runtime: RuntimeChoice,
    pub docker_socket: PathBuf,
    /// For sandboxes: one folder for each stack.
    pub stacks: PathBuf,
    /// Offer the stack made of this machine's own folders: for local use.
    pub host_stack: bool,
    /// TCP ports of the gateway that instances may reach: router and API.
    pub gateway_ports: Vec<u16>,
    /// Where instances may not go, besides what the network always denies.
    pub denied: Vec<Ipv4Net>,
    /// The machine's address for routers on other machines; none when they all run on this one and
    /// reach instances directly.
    pub outside: Option<IpAddr>,
    /// Domains that the resolver answers with where the router listens.
    pub domains: Vec<String>,
    /// That place; none for the gateway.
    pub answer: Option<Ipv4Addr>,
}

impl EquipmentConfig {
    /// For local use: the host's own stack, no further domain.
    #[must_use]
    pub fn new(cell: CellGuid, data: PathBuf) -> Self {
        Self {
            cell,
            data,
            runtime: RuntimeChoice::default(),
            docker_socket: SOCKET_DEFAULT.into(),
            stacks: STACKS_DEFAULT.into(),
            host_stack: true,
            gateway_ports: Vec::new(),
            denied: Vec::new(),
            outside: None,
            domains: Vec::new(),
            answer: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum EquipmentError {
    #[error("Docker does not answer")]
    NoDocker(#[source] RuntimeError),
    #[error("sandboxes cannot be made")]
    NoSandbox(#[source] RuntimeError),
    #[error("neither Docker answers ({docker}), nor can sandboxes be made")]
    NoRuntime {
        docker: String,
        #[source]
        sandbox: RuntimeError,
    },
    #[error("the network of the cell cannot be made; it needs root")]
    Network(#[from] NetworkError),
    #[error("the volumes of the cell cannot be made; they need root")]
    Volumes(#[from] VolumeError),
    #[error("the resolver of the cell cannot start")]
    Resolver(#[from] ResolverError),
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        source: std::io::Error,
    },
}

/// Keep it for as long as the cell runs.
#[derive(Debug)]
pub struct Equipment {
    pub runtime: Arc<dyn Runtime>,
    pub ground: Arc<dyn Ground>,
    /// The machine as instances see it: a router for `apps.internal` listens here.
    pub gateway: Ipv4Addr,
    pub resolver: Resolver,
    machine: Arc<Machine>,
    supervisor: Supervisor,
}

impl Equipment {
    /// Take the cell's network off the machine, once nothing runs on it any more.
    pub async fn close_network(&self) -> Result<(), NetworkError> {
        self.machine.close().await
    }

    /// Wait until its tasks have ended, after the shutdown was requested.
    pub async fn join(self) {
        self.supervisor.join(JOIN_DEADLINE).await;
    }
}

/// Make or find everything that one cell needs of its machine.
pub async fn equip(
    config: EquipmentConfig,
    clock: Clock,
    shutdown: &Shutdown,
) -> Result<Equipment, EquipmentError> {
    let io = |action| move |source| EquipmentError::Io { action, source };
    let supervisor = Supervisor::new("cell equipment", shutdown.clone());
    durable_file::create_private_folder(&config.data).map_err(io("make the cell's folder"))?;
    let runtime = choice::choose(&config, &supervisor, &clock).await?;
    let range = range(&config.data, config.cell, &supervisor).await?;
    let network = NetworkConfig {
        range,
        gateway_ports: config.gateway_ports,
        denied: config.denied,
    };
    let network = Network::open(network, &supervisor).await?;
    let gateway = network.gateway();
    let resolver = ResolverConfig {
        listen: SocketAddr::new(IpAddr::V4(gateway), resolver::PORT),
        answer: config.answer.unwrap_or(gateway),
        domains: config.domains,
        // A machine without name servers still answers the platform's own names.
        upstreams: resolver::nameservers_of_machine().unwrap_or_default(),
    };
    let resolver = Resolver::start(resolver, &supervisor).await?;
    let volumes = Volumes::new(config.data.join("volumes"))?;
    let machine = Machine::new(network, volumes, clock);
    let machine = Arc::new(match config.outside {
        Some(outside) => machine.reached_at(outside),
        None => machine,
    });
    Ok(Equipment {
        runtime,
        ground: machine.clone(),
        gateway,
        resolver,
        machine,
        supervisor,
    })
}

/// The cell's addresses, chosen once: running instances keep theirs over restarts.
async fn range(
    data: &Path,
    cell: CellGuid,
    supervisor: &Supervisor,
) -> Result<Ipv4Net, EquipmentError> {
    let io = |action| move |source| EquipmentError::Io { action, source };
    let file = data.join(RANGE_FILE);
    let kept = durable_file::read(&file).map_err(io("read the cell's range of addresses"))?;
    let kept = kept.and_then(|text| String::from_utf8(text).ok()?.trim().parse().ok());
    if let Some(range) = kept {
        return Ok(range);
    }
    let range = choose_range(cell, supervisor).await?;
    let text = format!("{range}\n");
    durable_file::write(&file, text.as_bytes(), MODE_PUBLIC)
        .map_err(io("keep the cell's range of addresses"))?;
    Ok(range)
}
