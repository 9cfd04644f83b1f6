//! How a cfx process runs: clock, ids, config, TLS identity, supervision, shutdown, telemetry.
//!
//! Everything ambient (time, randomness, tasks, sockets) enters the components through here, so
//! that tests and the simulator can own it. No policy of any component belongs here.

pub mod clock;
pub mod config;
pub mod durable_file;
pub mod entropy;
pub mod http_client;
pub mod http_server;
pub mod identity;
pub mod ndjson;
pub mod public_connector;
pub mod retry;
pub mod shutdown;
pub mod supervisor;
pub mod telemetry;
pub mod tls;
