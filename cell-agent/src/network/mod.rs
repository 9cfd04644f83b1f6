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

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use cfx_process::supervisor::{OnEnd, Supervisor};
use ipnet::Ipv4Net;
use parking_lot::Mutex;

pub use address_pool::AddressPool;
pub use range::{RANGE_PREFIX, choose as choose_range};

use link::Links;

/// A folder with an entry for each link of the machine.
const LINKS: &str = "/sys/class/net";
/// Neighbours that the machine and all its instances may know, with room for several thousand
/// instances that speak over their own loopback too: the kernel's default of 1,024 is for all
/// namespaces together. In the order of the kernel's three marks, each at least so high.
const NEIGHBOURS: [(&str, u64); 3] = [
    ("gc_thresh1", 4_096),
    ("gc_thresh2", 16_384),
    ("gc_thresh3", 32_768),
];
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
    /// The namespace that each attached address is in, by its number.
    seats: Mutex<BTreeMap<Ipv4Addr, u64>>,
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
            seats: Mutex::default(),
        };
        allow_forwarding()?;
        raise_neighbour_limits()?;
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
    /// it; a namespace that this network gave it to before keeps it as it is.
    pub async fn attach(&self, pid: u32, address: Ipv4Addr) -> Result<(), NetworkError> {
        let namespace = namespace::of(pid)?;
        let number = namespace::number(&namespace)?;
        let seat = self.seats.lock().get(&address).copied();
        if seat == Some(number) && self.is_attached(address) {
            return Ok(());
        }
        self.attach_to(namespace, address).await
    }

    /// A namespace that nobody sits in, with its address. It lasts as long as it is held, or
    /// somebody has entered it.
    pub async fn make_namespace(&self, address: Ipv4Addr) -> Result<File, NetworkError> {
        let namespace = namespace::make().await?;
        let held = namespace.try_clone().map_err(io("hold a namespace"))?;
        self.attach_to(namespace, address).await?;
        Ok(held)
    }

    async fn attach_to(&self, namespace: File, address: Ipv4Addr) -> Result<(), NetworkError> {
        let name = self.names.veth(self.config.range, address)?;
        let number = namespace::number(&namespace)?;
        let pair = link::Pair {
            name: &name,
            address,
            gateway: self.gateway(),
        };
        if self.is_attached(address) {
            self.links.delete(&name).await?;
        }
        let attached = self.attach_pair(&pair, namespace).await;
        if attached.is_err() {
            self.links.delete(&name).await?;
        } else {
            self.seats.lock().insert(address, number);
        }
        attached
    }

    /// Has any namespace the address now?
    #[must_use]
    pub fn is_attached(&self, address: Ipv4Addr) -> bool {
        let name = self.names.veth(self.config.range, address);
        name.is_ok_and(|name| Path::new(LINKS).join(name).exists())
    }

    async fn attach_pair(
        &self,
        pair: &link::Pair<'_>,
        namespace: File,
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
        self.seats.lock().remove(&address);
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
        let entries = std::fs::read_dir(LINKS).map_err(io("list the links"))?;
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

/// Never lower than they are; from the last, because none may pass the next one.
fn raise_neighbour_limits() -> Result<(), NetworkError> {
    for (name, least) in NEIGHBOURS.into_iter().rev() {
        let path = format!("/proc/sys/net/ipv4/neigh/default/{name}");
        let now = std::fs::read_to_string(&path).map_err(io("read the limits of neighbours"))?;
        if now.trim().parse::<u64>().is_ok_and(|now| now < least) {
            std::fs::write(&path, least.to_string())
                .map_err(io("raise the limits of neighbours"))?;
        }
    }
    Ok(())
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
