//! The cell's network: every instance has an address of its own, reached by a route of its own.
//!
//! ```text
//!  machine                                 instance (its own network namespace)
//!  lo    gateway/32  <-------------------  default via gateway, onlink
//!  veth  cfx<tag>-<n>  ------------------  eth0  address/32
//!        route address/32
//! ```
//! No bridge, no address resolution (both ends know each other's hardware address for good), no
//! published port. Instances reach the outside and a few ports of the gateway; neither each other,
//! nor the machine, nor link-local addresses. Names carry the cell's range, so that an agent finds
//! what an earlier one made, and instances keep their network while no agent runs.

mod address_pool;
mod firewall;
mod link;
mod namespace;
mod range;

use std::net::{Ipv4Addr, SocketAddrV4};

use cfx_process::supervisor::{OnEnd, Supervisor};
use ipnet::Ipv4Net;

pub use address_pool::AddressPool;
pub use range::{RANGE_PREFIX, choose as choose_range};

use link::Links;

/// Linux gives outgoing connections ports up to 60999.
const OUTSIDE_PORT_BASE: u16 = 61_000;

#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// The cell's addresses, chosen once by `choose_range` and kept by the caller.
    pub range: Ipv4Net,
    /// TCP ports of the gateway that instances may reach: router and API.
    pub gateway_ports: Vec<u16>,
    /// Where instances may not go, besides link-local addresses, where machines keep their
    /// metadata services, and other cells.
    pub denied: Vec<Ipv4Net>,
}

/// A port of the machine that leads to an instance, for routers on other machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    pub port: u16,
    pub to: SocketAddrV4,
}

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("cannot {action}")]
    Netlink {
        action: &'static str,
        #[source]
        source: rtnetlink::Error,
    },
    #[error("cannot {action}")]
    Io {
        action: &'static str,
        source: std::io::Error,
    },
    #[error("`{program}` failed: {detail}")]
    Firewall {
        program: &'static str,
        detail: String,
    },
    #[error("{0} is not an address of this cell's instances")]
    ForeignAddress(Ipv4Addr),
    #[error("process {0} has no network namespace of its own")]
    NoNamespace(u32),
    #[error("no range of addresses is free on this machine")]
    NoFreeRange,
    #[error("the range {0} is too small or too large for a cell")]
    UnusableRange(Ipv4Net),
}

/// The network of one cell. Needs root.
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    names: Names,
    links: Links,
}

impl Network {
    /// Make what the cell's network stands on, or find it as it is.
    pub async fn open(
        config: NetworkConfig,
        supervisor: &Supervisor,
    ) -> Result<Self, NetworkError> {
        let names = Names::new(config.range)?;
        let links = Links::connect(supervisor)?;
        let network = Self {
            config,
            names,
            links,
        };
        allow_forwarding()?;
        network.links.ensure_gateway(network.gateway()).await?;
        network
            .links
            .ensure_unreachable(network.config.range)
            .await?;
        firewall::install(&network.names, network.gateway(), &network.config).await?;
        Ok(network)
    }

    /// The machine as instances see it: resolver and router listen there.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        range::gateway(self.config.range)
    }

    #[must_use]
    pub fn range(&self) -> Ipv4Net {
        self.config.range
    }

    /// Give an address to the network namespace of a process. What had the address before loses
    /// it.
    pub async fn attach(&self, pid: u32, address: Ipv4Addr) -> Result<(), NetworkError> {
        let name = self.names.veth(self.config.range, address)?;
        let namespace = namespace::of(pid)?;
        let pair = link::Pair {
            name: &name,
            address,
            gateway: self.gateway(),
        };
        self.links.delete(&name).await?;
        let attached = self.attach_pair(&pair, namespace).await;
        if attached.is_err() {
            self.links.delete(&name).await?;
        }
        attached
    }

    async fn attach_pair(
        &self,
        pair: &link::Pair<'_>,
        namespace: std::fs::File,
    ) -> Result<(), NetworkError> {
        self.links.add_pair(pair, &namespace).await?;
        keep_to_itself(pair.name)?;
        namespace::furnish(namespace, pair.address, pair.gateway).await?;
        self.links.route_to(pair).await
    }

    /// Take an address away. It also goes by itself with its namespace; detaching what is not
    /// there succeeds.
    pub async fn detach(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let name = self.names.veth(self.config.range, address)?;
        self.links.delete(&name).await
    }

    /// The port of this machine that is an address's own, should it be forwarded: always the same,
    /// above the ports that the kernel gives to outgoing connections. None for a range so large
    /// that ports do not suffice.
    #[must_use]
    pub fn outside_port(&self, address: Ipv4Addr) -> Option<u16> {
        let number = u32::from(address).checked_sub(u32::from(self.config.range.network()))?;
        u16::try_from(u32::from(OUTSIDE_PORT_BASE) + number).ok()
    }

    /// Forward a port of the machine to an instance, from now on and while no agent runs.
    /// Instances themselves cannot use it. Forwarding it again changes nothing.
    pub async fn forward(&self, forward: Forward) -> Result<(), NetworkError> {
        self.check_forward(&forward)?;
        firewall::add_forward(&self.names, &forward).await
    }

    /// Forward exactly these ports. Established connections stay.
    pub async fn set_forwards(&self, forwards: &[Forward]) -> Result<(), NetworkError> {
        for forward in forwards {
            self.check_forward(forward)?;
        }
        firewall::forward(&self.names, forwards).await
    }

    fn check_forward(&self, forward: &Forward) -> Result<(), NetworkError> {
        let address = *forward.to.ip();
        if range::is_usable(self.config.range, address) {
            return Ok(());
        }
        Err(NetworkError::ForeignAddress(address))
    }

    /// Addresses that are attached now, by whichever agent.
    pub fn attached(&self) -> Result<Vec<Ipv4Addr>, NetworkError> {
        let entries = std::fs::read_dir("/sys/class/net").map_err(io("list the links"))?;
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| self.names.address(self.config.range, &name))
            .collect())
    }

    /// Remove everything of this cell's network. Instances that still run lose theirs.
    pub async fn close(&self) -> Result<(), NetworkError> {
        for address in self.attached()? {
            self.detach(address).await?;
        }
        firewall::remove(&self.names, self.config.range).await?;
        self.links.remove_unreachable(self.config.range).await?;
        self.links.remove_gateway(self.gateway()).await
    }
}

/// Names of what belongs to a cell: its range in them tells cells of one machine apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    prefix: String,
}

impl Names {
    /// A link's name has 15 characters at most: six digits for the range (so no two cells share
    /// 256 addresses) leave five for the instance.
    fn new(range: Ipv4Net) -> Result<Self, NetworkError> {
        if !(12..=24).contains(&range.prefix_len()) {
            return Err(NetworkError::UnusableRange(range));
        }
        let tag = u32::from(range.network()) >> 8;
        Ok(Self {
            prefix: format!("cfx{tag:06x}"),
        })
    }

    fn veth(&self, range: Ipv4Net, address: Ipv4Addr) -> Result<String, NetworkError> {
        if !range::is_usable(range, address) {
            return Err(NetworkError::ForeignAddress(address));
        }
        let number = u32::from(address) - u32::from(range.network());
        Ok(format!("{}-{number:x}", self.prefix))
    }

    /// All veths, as iptables matches links.
    fn veths(&self) -> String {
        format!("{}-+", self.prefix)
    }

    fn address(&self, range: Ipv4Net, name: &str) -> Option<Ipv4Addr> {
        let number = name.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        let number = u32::from_str_radix(number, 16).ok()?;
        let address = u32::from(range.network()).checked_add(number)?;
        Some(Ipv4Addr::from(address)).filter(|address| range::is_usable(range, *address))
    }
}

fn allow_forwarding() -> Result<(), NetworkError> {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(io("turn on forwarding"))
}

/// Only its own address may come out of an instance, and no IPv6 at all: nothing routes it.
fn keep_to_itself(veth: &str) -> Result<(), NetworkError> {
    let action = "restrict a link";
    std::fs::write(format!("/proc/sys/net/ipv4/conf/{veth}/rp_filter"), "1").map_err(io(action))?;
    match std::fs::write(format!("/proc/sys/net/ipv6/conf/{veth}/disable_ipv6"), "1") {
        Ok(()) => Ok(()),
        // A kernel without IPv6.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(action)(error)),
    }
}

fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> NetworkError {
    move |source| NetworkError::Io { action, source }
}

fn netlink(action: &'static str) -> impl FnOnce(rtnetlink::Error) -> NetworkError {
    move |source| NetworkError::Netlink { action, source }
}

/// Runs a netlink connection until its handle is dropped or the supervisor stops.
fn run_connection<F>(supervisor: &Supervisor, connection: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let stop = supervisor.shutdown().clone();
    supervisor.spawn("netlink", OnEnd::Nothing, async move {
        tokio::select! {
            () = connection => {}
            () = stop.requested() => {}
        }
    });
}

#[cfg(test)]
mod tests;
