//! Listening sockets: one per thread and address, shared out by the kernel.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::connection::Door;
use crate::config::Config;
use crate::running::{Addresses, Error};
use crate::table::Reach;
use crate::tls::server_config;

/// Connections that wait to be accepted, per thread; a burst of clients fits.
const BACKLOG: i32 = 4_096;

/// Listeners of all threads: `per_thread[n]` are those of thread `n`.
pub(crate) struct Listeners {
    pub(crate) per_thread: Vec<Vec<(StdListener, Door)>>,
    pub(crate) addresses: Addresses,
    pub(crate) admin: Option<TcpListener>,
}

impl Listeners {
    /// Bind everything that the configuration asks for, or nothing.
    pub(crate) async fn bind(config: &Config) -> Result<Self, Error> {
        let mut listeners = Self {
            per_thread: (0..config.threads.get()).map(|_| Vec::new()).collect(),
            addresses: Addresses::default(),
            admin: None,
        };
        let acceptor = TlsAcceptor::from(server_config(config.certificates.clone()));
        let door = |reach, tls| Door { reach, tls };
        let (public, instances) = (Reach::Public, Reach::Instances);
        listeners.addresses = Addresses {
            http: listeners.open(&config.http, &door(public, None))?,
            https: listeners.open(&config.https, &door(public, Some(acceptor)))?,
            internal: listeners.open(&config.internal, &door(instances, None))?,
            admin: None,
        };
        if let Some(address) = config.admin {
            let failed = |source| Error::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            listeners.addresses.admin = Some(listener.local_addr().map_err(failed)?);
            listeners.admin = Some(listener);
        }
        Ok(listeners)
    }

    fn open(&mut self, asked: &[SocketAddr], door: &Door) -> Result<Vec<SocketAddr>, Error> {
        let mut bound = Vec::new();
        for address in asked {
            let failed = |source| Error::Listen {
                address: *address,
                source,
            };
            let listeners = bind(*address, self.per_thread.len()).map_err(failed)?;
            bound.push(listeners[0].local_addr().map_err(failed)?);
            for (thread, listener) in self.per_thread.iter_mut().zip(listeners) {
                thread.push((listener, door.clone()));
            }
        }
        Ok(bound)
    }
}

/// `threads` listeners on one address. Port 0 becomes the same free port for all.
fn bind(address: SocketAddr, threads: usize) -> io::Result<Vec<StdListener>> {
    if address.port() != 0 {
        // With SO_REUSEPORT a second router of the same user would silently share the port.
        drop(socket(address, false)?);
    }
    let first = socket(address, true)?;
    let bound = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < threads {
        listeners.push(socket(bound, true)?);
    }
    Ok(listeners)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_port_and_strangers_do_not() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = bind(any, 3).expect("binds");
        let address = listeners[0].local_addr().expect("bound");
        for listener in &listeners {
            assert_eq!(listener.local_addr().expect("bound"), address);
        }
        let second = bind(address, 1).expect_err("in use");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    }
}
