//! The cell's resolver: the only name server its instances know.
//!
//! Names under the platform's domains are answered with the gateway, where the router listens, so
//! that apps reach each other by route; everything else is asked of the machine's own name servers,
//! byte for byte. It keeps no cache and interprets no foreign answer. One instance's questions can
//! never use up what the others need.

mod answer;
mod forward;
mod resolv_conf;
mod serve;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use cfx_process::supervisor::{OnEnd, Supervisor};
use parking_lot::RwLock;
use tokio::net::{TcpListener, UdpSocket};

pub use answer::InvalidDomain;
pub use resolv_conf::{nameservers, nameservers_of_machine};

use answer::Zones;
use forward::Forwarder;

/// The port that `resolv.conf` cannot name and everybody expects.
pub const PORT: u16 = 53;

#[derive(Debug, Clone)]
pub struct ResolverConfig {
    /// Where to listen: the cell's gateway, port 53.
    pub listen: SocketAddr,
    /// What names of the platform are answered with.
    pub answer: Ipv4Addr,
    /// The apps domains; `apps.internal` is always among them.
    pub domains: Vec<String>,
    /// Name servers for everything else, in the order they are asked.
    pub upstreams: Vec<SocketAddr>,
}

#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    #[error("cannot listen for names at {address}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error(transparent)]
    Domain(#[from] InvalidDomain),
}

/// A resolver that runs until its supervisor stops.
#[derive(Debug)]
pub struct Resolver {
    zones: Arc<RwLock<Zones>>,
    address: SocketAddr,
}

impl Resolver {
    pub async fn start(
        config: ResolverConfig,
        supervisor: &Supervisor,
    ) -> Result<Self, ResolverError> {
        let zones = Zones::new(config.answer, &config.domains)?;
        let zones = Arc::new(RwLock::new(zones));
        let listen = |source| ResolverError::Listen {
            address: config.listen,
            source,
        };
        let tcp = TcpListener::bind(config.listen).await.map_err(listen)?;
        // The same port for both, also when the configuration leaves it open.
        let address = tcp.local_addr().map_err(listen)?;
        let udp = UdpSocket::bind(address).await.map_err(listen)?;
        let server = serve::Server {
            zones: zones.clone(),
            forwarder: Arc::new(Forwarder::new(config.upstreams)),
            supervisor: supervisor.clone(),
        };
        let stop = supervisor.shutdown().clone();
        supervisor.spawn("resolver", OnEnd::StopComponent, async move {
            tokio::select! {
                () = server.serve_udp(Arc::new(udp)) => {}
                () = server.serve_tcp(tcp) => {}
                () = stop.requested() => {}
            }
        });
        Ok(Self { zones, address })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answer for these domains from now on.
    pub fn set_domains(&self, domains: &[String]) -> Result<(), InvalidDomain> {
        let answer = self.zones.read().answer();
        *self.zones.write() = Zones::new(answer, domains)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
