//! The real ground: a network of routed addresses and volumes on loop devices. Needs root.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use async_trait::async_trait;
use cfx_process::clock::Clock;
use cfx_protocol::actual::Address;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};
use parking_lot::Mutex;

use super::ground::{Disk, Ground, GroundError};
use super::told;
use crate::network::{AddressPool, Forward, Network, NetworkError};
use crate::runtime::Container;
use crate::volume::{Volume, VolumeSpec, Volumes};

/// How long a freed address rests: routers that lost their controller may still know it.
const ADDRESS_REST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Machine {
    network: Network,
    volumes: Volumes,
    clock: Clock,
    outside: Option<IpAddr>,
    addresses: Mutex<Addresses>,
    /// Held while forwards are changed: the rules must follow the leases in their order.
    forwarding: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Addresses {
    pool: AddressPool,
    leases: BTreeMap<AssignmentGuid, Address>,
    /// Ports of the machine that lead to leased addresses.
    forwards: BTreeMap<AssignmentGuid, Forward>,
}

impl Machine {
    #[must_use]
    pub fn new(network: Network, volumes: Volumes, clock: Clock) -> Self {
        let pool = AddressPool::new(network.range(), ADDRESS_REST);
        Self {
            network,
            volumes,
            clock,
            outside: None,
            addresses: Mutex::new(Addresses {
                pool,
                leases: BTreeMap::new(),
                forwards: BTreeMap::new(),
            }),
            forwarding: tokio::sync::Mutex::default(),
        }
    }

    /// Take the cell's network off the machine, once nothing runs on it any more.
    pub async fn close(&self) -> Result<(), NetworkError> {
        self.network.close().await
    }

    /// For a cell whose routers run on other machines: they reach its instances by ports of the
    /// machine at this address of it.
    #[must_use]
    pub fn reached_at(self, outside: IpAddr) -> Self {
        Self {
            outside: Some(outside),
            ..self
        }
    }

    /// Let routers elsewhere reach a leased address.
    async fn forward(
        &self,
        assignment: AssignmentGuid,
        outside: IpAddr,
        mut address: Address,
        port: u16,
    ) -> Result<Address, GroundError> {
        const ACTION: &str = "forward a port to the instance";
        let ip = v4(address).ok_or_else(|| missing(ACTION, "its address is not of version 4"))?;
        let outside_port = self.network.outside_port(ip);
        let outside_port =
            outside_port.ok_or_else(|| missing(ACTION, "the ports do not suffice"))?;
        let forward = Forward {
            port: outside_port,
            to: SocketAddrV4::new(ip, port),
        };
        let _turn = self.forwarding.lock().await;
        self.network
            .forward(forward)
            .await
            .map_err(|error| failed(ACTION, &error))?;
        (address.host, address.port) = (outside, outside_port);
        let mut addresses = self.addresses.lock();
        addresses.leases.insert(assignment, address);
        addresses.forwards.insert(assignment, forward);
        Ok(address)
    }

    /// No port may lead to an address that is nobody's, or somebody else's by then.
    async fn settle_forwards(&self) -> Result<(), GroundError> {
        if self.outside.is_none() {
            return Ok(());
        }
        let _turn = self.forwarding.lock().await;
        let forwards: Vec<Forward> = self.addresses.lock().forwards.values().copied().collect();
        let set = self.network.set_forwards(&forwards).await;
        set.map_err(|error| failed("forward ports to instances", &error))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(Volumes) -> Result<T, crate::volume::VolumeError> + Send + 'static,
    ) -> Result<T, GroundError> {
        let volumes = self.volumes.clone();
        let done = tokio::task::spawn_blocking(move || work(volumes)).await;
        let done = done.map_err(|error| failed(action, &error))?;
        done.map_err(|error| failed(action, &error))
    }
}

impl Addresses {
    fn lease(
        &mut self,
        assignment: AssignmentGuid,
        known: Option<Address>,
        port: u16,
        now: Duration,
    ) -> Option<Address> {
        if let Some(address) = self.leases.get(&assignment) {
            return Some(*address);
        }
        let ip = match known.map(|address| address.internal_ip) {
            Some(IpAddr::V4(ip)) if self.pool.claim(ip) => ip,
            _ => self.pool.lease(now)?,
        };
        let address = Address {
            host: ip.into(),
            port,
            internal_ip: ip.into(),
        };
        self.leases.insert(assignment, address);
        Some(address)
    }
}

#[async_trait]
impl Ground for Machine {
    async fn lease(
        &self,
        assignment: AssignmentGuid,
        known: Option<Address>,
        port: u16,
    ) -> Result<Address, GroundError> {
        let now = self.clock.monotonic();
        let leased = self.addresses.lock().lease(assignment, known, port, now);
        let address = leased.ok_or_else(|| GroundError {
            action: "give an address",
            detail: "all are taken, or were until moments ago".to_owned(),
        })?;
        match self.outside {
            Some(outside) => self.forward(assignment, outside, address, port).await,
            None => Ok(address),
        }
    }

    async fn connect(
        &self,
        assignment: AssignmentGuid,
        container: &Container,
    ) -> Result<(), GroundError> {
        const ACTION: &str = "connect the instance to the network";
        let lease = self.addresses.lock().leases.get(&assignment).copied();
        let ip = lease
            .and_then(v4)
            .ok_or_else(|| missing(ACTION, "it has no address"))?;
        let pid = container
            .pid
            .ok_or_else(|| missing(ACTION, "it has ended"))?;
        self.network
            .attach(pid, ip)
            .await
            .map_err(|error| failed(ACTION, &error))
    }

    async fn free(&self, assignment: AssignmentGuid) -> Result<(), GroundError> {
        let lease = self.addresses.lock().leases.get(&assignment).copied();
        let Some(ip) = lease.and_then(v4) else {
            return Ok(());
        };
        let detached = self.network.detach(ip).await;
        detached.map_err(|error| failed("take the address back", &error))?;
        {
            let mut addresses = self.addresses.lock();
            addresses.leases.remove(&assignment);
            addresses.forwards.remove(&assignment);
            addresses.pool.release(ip, self.clock.monotonic());
        }
        self.settle_forwards().await
    }

    async fn sweep_addresses(&self) -> Result<(), GroundError> {
        const ACTION: &str = "clear addresses of nobody away";
        let attached = self
            .network
            .attached()
            .map_err(|error| failed(ACTION, &error))?;
        for ip in attached {
            let is_leased = {
                let addresses = self.addresses.lock();
                addresses
                    .leases
                    .values()
                    .any(|lease| lease.internal_ip == IpAddr::V4(ip))
            };
            if !is_leased {
                self.network
                    .detach(ip)
                    .await
                    .map_err(|error| failed(ACTION, &error))?;
            }
        }
        self.settle_forwards().await
    }

    async fn make_volume(&self, spec: VolumeSpec) -> Result<Disk, GroundError> {
        let made = self.blocking("make the volume", move |volumes| volumes.make(&spec));
        made.await.map(Disk::from)
    }

    async fn volume(&self, name: InstanceGuid) -> Result<Option<Disk>, GroundError> {
        let found = self.blocking("find the volume", move |volumes| volumes.adopt(name));
        Ok(found.await?.map(Disk::from))
    }

    async fn volume_used(&self, name: InstanceGuid) -> Result<u64, GroundError> {
        let used =
            move |volumes: Volumes| Ok(volumes.usage(name)?.map_or(0, |usage| usage.used_bytes));
        self.blocking("measure the volume", used).await
    }

    async fn release_volume(&self, name: InstanceGuid) -> Result<(), GroundError> {
        self.blocking("release the volume", move |volumes| volumes.release(name))
            .await
    }

    async fn volumes(&self) -> Result<Vec<InstanceGuid>, GroundError> {
        self.blocking("list the volumes", |volumes| volumes.list())
            .await
    }

    fn gateway(&self) -> Option<IpAddr> {
        Some(self.network.gateway().into())
    }
}

impl From<Volume> for Disk {
    fn from(volume: Volume) -> Self {
        Self {
            home: volume.home,
            tmp: volume.tmp,
            slot: volume.slot,
        }
    }
}

fn v4(address: Address) -> Option<Ipv4Addr> {
    match address.internal_ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

fn failed(action: &'static str, error: &dyn std::error::Error) -> GroundError {
    GroundError {
        action,
        detail: told(error),
    }
}

fn missing(action: &'static str, detail: &str) -> GroundError {
    GroundError {
        action,
        detail: detail.to_owned(),
    }
}
