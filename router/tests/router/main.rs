//! The router over real loopback sockets: tiny instances behind it, frames fed by hand.

mod support;

mod draining;
mod errors;
mod forwarding;
mod http2;
mod instances;
mod limits;
mod link;
mod smuggling;
mod table;
mod tls;
mod traffic;
mod upgrades;
