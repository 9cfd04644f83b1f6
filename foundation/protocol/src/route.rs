//! The route table as the controller publishes it and routers follow it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::generation::Token;
use crate::id::{AppGuid, InstanceGuid, ProcessGuid, RouteGuid, RouterGuid};

/// One line of the stream `GET /internal/v1/routes`: first a snapshot, then deltas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum RouteFrame {
    Snapshot {
        token: Token,
        routes: Vec<Route>,
    },
    Delta {
        token: Token,
        /// The token of the frame before; anything else means a frame was missed: dial again.
        previous: Token,
        upsert: Vec<Route>,
        remove: Vec<RouteGuid>,
    },
    /// Sent each second when there is nothing to say.
    Keepalive {
        token: Token,
    },
}

impl RouteFrame {
    #[must_use]
    pub fn token(&self) -> Token {
        match self {
            Self::Snapshot { token, .. }
            | Self::Delta { token, .. }
            | Self::Keepalive { token } => *token,
        }
    }
}

/// A host (exact, or `*.` and a suffix that matches any number of labels) and a context path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub guid: RouteGuid,
    /// Lower case, without a port.
    pub host: String,
    /// Empty, or starts with `/` and has no trailing one. The longest match wins.
    pub path: String,
    /// Answered only on listeners that instances reach (`apps.internal`).
    pub internal: bool,
    pub options: RouteOptions,
    /// Empty is legal: 503 `no_endpoints`. A route without apps is not in the table at all.
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteOptions {
    #[serde(default)]
    pub balancing: Balancing,
}

/// How a router chooses among the endpoints of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balancing {
    #[default]
    RoundRobin,
    LeastConnection,
}

/// One instance behind a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub address: SocketAddr,
    pub protocol: EndpointProtocol,
    pub app: AppGuid,
    pub process: ProcessGuid,
    pub instance: InstanceGuid,
    pub index: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointProtocol {
    #[default]
    Http1,
    Http2,
}

/// `POST /internal/v1/routers/{guid}/ack`: every thread of this router serves this table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableAck {
    pub router: RouterGuid,
    pub token: Token,
}
