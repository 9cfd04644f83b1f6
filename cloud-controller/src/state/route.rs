//! A route: host, domain, path, and the app processes it leads to.

use cfx_protocol::id::{AppGuid, DestinationGuid, DomainGuid, RouteGuid, SpaceGuid};
use cfx_protocol::route::{EndpointProtocol, RouteOptions};
use serde::{Deserialize, Serialize};

use super::Link;
use super::meta::Meta;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub guid: RouteGuid,
    /// Empty for the domain itself, `*` for the wildcard.
    pub host: String,
    /// Empty, or `/` and more.
    pub path: String,
    pub domain: DomainGuid,
    pub space: SpaceGuid,
    pub destinations: Vec<Destination>,
    pub options: RouteOptions,
    pub meta: Meta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    pub guid: DestinationGuid,
    pub app: AppGuid,
    pub process_type: String,
    /// None: the process's default port.
    pub port: Option<u16>,
    pub protocol: EndpointProtocol,
}

impl super::Record for Route {
    type Key = RouteGuid;
    const KIND: &'static str = "route";

    fn key(&self) -> RouteGuid {
        self.guid
    }

    fn links(&self) -> Vec<Link> {
        let own = [
            Link::RoutesOf(self.space.0),
            Link::RoutesUnder(self.domain.0),
        ];
        own.into_iter()
            .chain(self.destinations.iter().map(|to| Link::RoutesTo(to.app.0)))
            .collect()
    }

    fn guid(&self) -> Option<uuid::Uuid> {
        Some(self.guid.0)
    }
}
