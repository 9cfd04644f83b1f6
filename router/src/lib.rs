//! The router: takes requests from clients and gives each to an instance of the right app.
//!
//! One thread per core, each with its own listeners, runtime and upstream connections; the route
//! table is immutable and comes by a stream from the controller. On a request's path nothing is
//! shared between threads and nothing is locked. `proxy::pipeline` lists a request's stages.
//!
//! A router never changes what a route means, starts nothing, and serves the last good table for
//! as long as no controller gives it a newer one.

mod access_log;
mod admin;
mod config;
mod edges;
mod events;
mod metrics;
mod proxy;
mod running;
mod server;
mod table;
mod tls;
mod traffic;

pub use config::*;
pub use edges::{ControllerLink, EdgeError, Edges, LogSink, MetricsSink, TableSource, TableStream};
pub use running::{Addresses, Error, Running, start};
pub use table::replica::{NotApplied, Replica};
pub use tls::{Certificate, Certificates};
