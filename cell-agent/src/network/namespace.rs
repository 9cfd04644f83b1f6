//! The instance's side: what is set inside its network namespace.
//!
//! A thread of its own enters the namespace and ends there: a namespace belongs to a thread, and
//! the agent's other threads must never be in a wrong one.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;

use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use tokio::sync::oneshot;

use super::link::{INSIDE, LOOPBACK, index, outside_hardware, there_or};
use super::{NetworkError, io, netlink};

/// The namespace of a process, which must not be the machine's.
pub(super) fn of(pid: u32) -> Result<File, NetworkError> {
    let action = "open a network namespace";
    let namespace = File::open(format!("/proc/{pid}/ns/net")).map_err(io(action))?;
    let own = std::fs::metadata("/proc/self/ns/net").map_err(io(action))?;
    let theirs = namespace.metadata().map_err(io(action))?;
    if theirs.ino() == own.ino() {
        return Err(NetworkError::NoNamespace(pid));
    }
    Ok(namespace)
}

/// What tells a namespace from all others that there are now.
pub(super) fn number(namespace: &File) -> Result<u64, NetworkError> {
    let about = namespace.metadata();
    Ok(about.map_err(io("look at a network namespace"))?.ino())
}

/// A namespace of nobody, held by this file alone.
pub(super) async fn make() -> Result<File, NetworkError> {
    in_thread(|| {
        let action = "make a network namespace";
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| io(action)(error.into()))?;
        File::open("/proc/thread-self/ns/net").map_err(io(action))
    })
    .await
}

/// Bring up loopback and the instance's end, and let it reach everything by the gateway.
pub(super) async fn furnish(
    namespace: File,
    address: Ipv4Addr,
    gateway: Ipv4Addr,
) -> Result<(), NetworkError> {
    in_thread(move || enter(&namespace, address, gateway)).await
}

/// Do something in a thread that ends with it, and with it whatever namespace it is in.
async fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("cell network".to_owned())
        .spawn(move || {
            // Nobody waits any more when the agent is going down.
            if sender.send(work()).is_err() {
                tracing::debug!("nobody waited for a network");
            }
        })
        .map_err(io("start a thread"))?;
    receiver.await.unwrap_or_else(|_| {
        let ended = std::io::Error::other("the thread ended early");
        Err(io("enter a network namespace")(ended))
    })
}

fn enter(namespace: &File, address: Ipv4Addr, gateway: Ipv4Addr) -> Result<(), NetworkError> {
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .map_err(|error| io("enter a network namespace")(error.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(io("start a runtime"))?;
    runtime.block_on(async {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(io("speak to the kernel"))?;
        tokio::select! {
            biased;
            result = set_up(&handle, address, gateway) => result,
            () = connection => {
                let ended = std::io::Error::other("the connection ended");
                Err(io("speak to the kernel")(ended))
            }
        }
    })
}

async fn set_up(handle: &Handle, address: Ipv4Addr, gateway: Ipv4Addr) -> Result<(), NetworkError> {
    let inside = index(INSIDE)?;
    // Nothing routes IPv6; an address that leads nowhere only slows clients down.
    let no_ipv6 = format!("/proc/sys/net/ipv6/conf/{INSIDE}/disable_ipv6");
    match std::fs::write(no_ipv6, "1") {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(io("turn off IPv6")(error)),
    }
    for link in [index(LOOPBACK)?, inside] {
        let up = LinkUnspec::new_with_index(link).up().build();
        let set = handle.link().set(up).execute().await;
        set.map_err(netlink("bring a link up inside"))?;
    }
    let added = handle.address().add(inside, address.into(), 32);
    there_or(added.execute().await).map_err(netlink("give an instance its address"))?;
    handle
        .neighbours()
        .add(inside, gateway.into())
        .link_layer_address(&outside_hardware(address))
        .replace()
        .execute()
        .await
        .map_err(netlink("name the gateway inside"))?;
    let default = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(gateway)
        .output_interface(inside)
        .onlink()
        .build();
    let added = handle.route().add(default).replace().execute().await;
    added.map_err(netlink("add the default route inside"))
}
