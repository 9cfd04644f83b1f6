//! The real ground: a network of routed addresses and volumes on loop devices. Needs root.

mod addresses;

use std::net::{IpAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cfx_process::clock::Clock;
use cfx_protocol::actual::Address;
use cfx_protocol::id::{AssignmentGuid, InstanceGuid};
use parking_lot::Mutex;

use super::ground::{Disk, Ground, GroundError, Ready};
use super::told;
use crate::network::{AddressPool, Forward, Network, NetworkError};
use crate::runtime::Container;
use crate::volume::{AheadSpec, Volume, VolumeSpec, Volumes};
use addresses::{Addresses, path, v4};

/// How long a freed address rests: routers that lost their controller may still know it.
const ADDRESS_REST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Machine {
    network: Network,
    volumes: Volumes,
    clock: Clock,
    outside: Option<IpAddr>,
    addresses: Mutex<Addresses>,
    /// Network namespaces to keep ready.
    networks_ready: AtomicUsize,
    /// Held while forwards are changed: the rules must follow the leases in their order.
    forwarding: tokio::sync::Mutex<()>,
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
            addresses: Mutex::new(Addresses::new(pool)),
            networks_ready: AtomicUsize::new(0),
            forwarding: tokio::sync::Mutex::default(),
        }
    }

    /// Take the cell's network off the machine, and the volumes that were made ahead, once nothing
    /// runs on it any more.
    pub async fn close(&self) -> Result<(), NetworkError> {
        self.keep_ready(Ready::default());
        self.addresses.lock().ready.clear();
        let closed = self.blocking("clear volumes away", |volumes| volumes.close());
        if let Err(error) = closed.await {
            tracing::warn!(%error, "volumes that were made ahead stay on the machine");
        }
        self.network.close().await
    }

    /// Make one address more ready, with a namespace around it; false when there are enough.
    async fn stock_networks(&self) -> Result<bool, GroundError> {
        const ACTION: &str = "make a network ahead";
        let most = self.networks_ready.load(Ordering::Relaxed);
        let (ip, surplus) = {
            let now = self.clock.monotonic();
            let mut addresses = self.addresses.lock();
            if addresses.ready.len() > most {
                (None, addresses.ready.pop_back())
            } else if addresses.ready.len() < most {
                (addresses.pool.lease(now), None)
            } else {
                (None, None)
            }
        };
        if let Some((ip, _)) = surplus {
            // Its link goes with the namespace, which goes with what was just dropped.
            self.addresses
                .lock()
                .pool
                .release(ip, self.clock.monotonic());
            return Ok(true);
        }
        let Some(ip) = ip else {
            return Ok(false);
        };
        // Whoever an earlier agent gave it to may still sit there.
        let is_in_use = self.network.is_attached(ip);
        let made = if is_in_use {
            Err(missing(ACTION, "the address is still in use"))
        } else {
            let made = self.network.make_namespace(ip).await;
            made.map_err(|error| failed(ACTION, &error))
        };
        let mut addresses = self.addresses.lock();
        match made {
            Ok(namespace) => addresses.ready.push_back((ip, Arc::new(namespace))),
            Err(error) => {
                addresses.pool.release(ip, self.clock.monotonic());
                return Err(error);
            }
        }
        Ok(true)
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
        let (ip, _entered) = {
            let mut addresses = self.addresses.lock();
            (addresses.ip(assignment), addresses.open.remove(&assignment))
        };
        let ip = ip.ok_or_else(|| missing(ACTION, "it has no address"))?;
        let pid = container
            .pid
            .ok_or_else(|| missing(ACTION, "it has ended"))?;
        self.network
            .attach(pid, ip)
            .await
            .map_err(|error| failed(ACTION, &error))
    }

    async fn free(&self, assignment: AssignmentGuid) -> Result<(), GroundError> {
        let Some(ip) = self.addresses.lock().ip(assignment) else {
            return Ok(());
        };
        let detached = self.network.detach(ip).await;
        detached.map_err(|error| failed("take the address back", &error))?;
        {
            let mut addresses = self.addresses.lock();
            addresses.leases.remove(&assignment);
            addresses.forwards.remove(&assignment);
            addresses.open.remove(&assignment);
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
            let is_known = self.addresses.lock().is_spoken_for(ip);
            if !is_known {
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

    fn keep_ready(&self, ready: Ready) {
        self.volumes.keep_ready(ready.volumes);
        self.networks_ready.store(ready.networks, Ordering::Relaxed);
    }

    async fn stock(&self) -> Result<bool, GroundError> {
        let volumes = self.blocking("make a volume ahead", |volumes| volumes.stock());
        Ok(volumes.await? || self.stock_networks().await?)
    }

    async fn network(&self, assignment: AssignmentGuid) -> Result<Option<PathBuf>, GroundError> {
        const ACTION: &str = "make a network for the instance";
        let (ip, open) = {
            let addresses = self.addresses.lock();
            let open = addresses.open.get(&assignment).cloned();
            (addresses.ip(assignment), open)
        };
        let ip = ip.ok_or_else(|| missing(ACTION, "it has no address"))?;
        let namespace = match open {
            Some(namespace) => namespace,
            None => {
                let made = self.network.make_namespace(ip).await;
                Arc::new(made.map_err(|error| failed(ACTION, &error))?)
            }
        };
        let path = path(&namespace);
        self.addresses.lock().open.insert(assignment, namespace);
        Ok(Some(path))
    }

    async fn make_volume_ahead(&self, spec: AheadSpec) -> Result<Disk, GroundError> {
        let made = self.blocking("make a volume ahead", move |volumes| {
            volumes.make_ahead(spec)
        });
        made.await.map(Disk::from)
    }

    async fn volume_ahead(&self, name: InstanceGuid) -> Result<Option<Disk>, GroundError> {
        let found = self.blocking("find a volume", move |volumes| volumes.adopt_ahead(name));
        Ok(found.await?.map(Disk::from))
    }

    async fn pass_volume(&self, from: InstanceGuid, spec: VolumeSpec) -> Result<Disk, GroundError> {
        let passed = move |volumes: Volumes| volumes.pass_on(from, &spec);
        self.blocking("pass a volume on", passed)
            .await
            .map(Disk::from)
    }

    async fn pass_address(
        &self,
        from: AssignmentGuid,
        to: AssignmentGuid,
        port: u16,
    ) -> Result<Address, GroundError> {
        const ACTION: &str = "pass an address on";
        let passed = self.addresses.lock().pass(from, to, port);
        let address =
            passed.ok_or_else(|| missing(ACTION, "nobody has it, or the other has one"))?;
        match self.outside {
            Some(outside) => {
                // The port of one who never listened.
                self.addresses.lock().forwards.remove(&from);
                self.settle_forwards().await?;
                self.forward(to, outside, address, port).await
            }
            None => Ok(address),
        }
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
