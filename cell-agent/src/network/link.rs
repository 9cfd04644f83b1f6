//! Links, addresses, routes and neighbours of the machine's side, by netlink.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use cfx_process::supervisor::Supervisor;
use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use nix::errno::Errno;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteScope, RouteType,
};
use rtnetlink::{
    AddressMessageBuilder, Error, Handle, LinkMessageBuilder, LinkUnspec, LinkVeth,
    RouteMessageBuilder,
};

use super::{NetworkError, io, netlink, run_connection};

/// One instance's two ends.
#[derive(Debug)]
pub(super) struct Pair<'a> {
    /// Of the machine's end.
    pub(super) name: &'a str,
    pub(super) address: Ipv4Addr,
    pub(super) gateway: Ipv4Addr,
}

/// The name of the instance's end.
pub(super) const INSIDE: &str = "eth0";
pub(super) const LOOPBACK: &str = "lo";

/// Hardware addresses follow from the address: locally administered, unique on the machine.
pub(super) fn outside_hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0xcf, a, b, c, d]
}

pub(super) fn inside_hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x06, 0xcf, a, b, c, d]
}

#[derive(Debug, Clone)]
pub(super) struct Links {
    handle: Handle,
}

impl Links {
    pub(super) fn connect(supervisor: &Supervisor) -> Result<Self, NetworkError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(io("speak to the kernel"))?;
        run_connection(supervisor, connection);
        Ok(Self { handle })
    }

    /// The gateway's address lies on loopback: it is the machine's whatever instances come and go,
    /// and no kernel lacks loopback, as some lack dummy links.
    pub(super) async fn ensure_gateway(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let added = self
            .handle
            .address()
            .add(index(LOOPBACK)?, address.into(), 32)
            .execute()
            .await;
        there_or(added).map_err(netlink("take the gateway's address"))
    }

    pub(super) async fn remove_gateway(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(index(LOOPBACK)?)
            .address(address, 32)
            .build();
        let removed = self.handle.address().del(message).execute().await;
        gone_or(removed).map_err(netlink("give up the gateway's address"))
    }

    /// Addresses that no instance has must not leave by the machine's default route.
    pub(super) async fn ensure_unreachable(&self, range: Ipv4Net) -> Result<(), NetworkError> {
        let added = self.handle.route().add(unreachable(range)).execute().await;
        there_or(added).map_err(netlink("keep the range on this machine"))
    }

    pub(super) async fn remove_unreachable(&self, range: Ipv4Net) -> Result<(), NetworkError> {
        let removed = self.handle.route().del(unreachable(range)).execute().await;
        gone_or(removed).map_err(netlink("give the range up"))
    }

    /// Both ends at once, the inner one born in its namespace.
    pub(super) async fn add_pair(
        &self,
        pair: &Pair<'_>,
        namespace: &std::fs::File,
    ) -> Result<(), NetworkError> {
        let inside = LinkMessageBuilder::<LinkUnspec>::default()
            .name(INSIDE)
            .address(inside_hardware(pair.address).to_vec())
            .setns_by_fd(namespace.as_raw_fd())
            .build();
        let outside = LinkVeth::new(pair.name, INSIDE)
            .address(outside_hardware(pair.address).to_vec())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(inside)))
            .build();
        let added = self.handle.link().add(outside).execute().await;
        added.map_err(netlink("make a link"))
    }

    /// Lets the machine reach the instance.
    pub(super) async fn route_to(&self, pair: &Pair<'_>) -> Result<(), NetworkError> {
        let index = index(pair.name)?;
        self.handle
            .link()
            .set(LinkUnspec::new_with_index(index).up().build())
            .execute()
            .await
            .map_err(netlink("bring a link up"))?;
        self.handle
            .neighbours()
            .add(index, pair.address.into())
            .link_layer_address(&inside_hardware(pair.address))
            .replace()
            .execute()
            .await
            .map_err(netlink("name a neighbour"))?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(pair.address, 32)
            .output_interface(index)
            .scope(RouteScope::Link)
            .pref_source(pair.gateway)
            .build();
        let added = self.handle.route().add(route).replace().execute().await;
        added.map_err(netlink("add a route"))
    }

    /// Routes and neighbours go with their link.
    pub(super) async fn delete(&self, name: &str) -> Result<(), NetworkError> {
        let link: LinkMessage = LinkUnspec::new_with_name(name).build();
        let deleted = self.handle.link().del_with_message(link).execute().await;
        gone_or(deleted).map_err(netlink("delete a link"))
    }

    /// What the machine has routes to, besides everything.
    pub(super) async fn routed_ranges(&self) -> Result<Vec<Ipv4Net>, NetworkError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes: Vec<RouteMessage> = self
            .handle
            .route()
            .get(all)
            .execute()
            .try_collect()
            .await
            .map_err(netlink("list the routes"))?;
        Ok(routes.iter().filter_map(destination).collect())
    }
}

fn destination(route: &RouteMessage) -> Option<Ipv4Net> {
    let prefix = route.header.destination_prefix_length;
    route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                Ipv4Net::new(*address, prefix).ok()
            }
            _ => None,
        })
}

fn unreachable(range: Ipv4Net) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(range.network(), range.prefix_len())
        .kind(RouteType::Unreachable)
        .build()
}

/// The number of a link in the namespace of this thread.
pub(super) fn index(name: &str) -> Result<u32, NetworkError> {
    nix::net::if_::if_nametoindex(name).map_err(|error| io("find a link")(error.into()))
}

pub(super) fn there_or(result: Result<(), Error>) -> Result<(), Error> {
    forgive(result, &[Errno::EEXIST])
}

fn gone_or(result: Result<(), Error>) -> Result<(), Error> {
    forgive(
        result,
        &[
            Errno::ENODEV,
            Errno::ESRCH,
            Errno::ENOENT,
            Errno::EADDRNOTAVAIL,
        ],
    )
}

fn forgive(result: Result<(), Error>, forgiven: &[Errno]) -> Result<(), Error> {
    match result {
        Err(Error::NetlinkError(message))
            if forgiven.contains(&Errno::from_raw(message.raw_code().saturating_abs())) =>
        {
            Ok(())
        }
        other => other,
    }
}
