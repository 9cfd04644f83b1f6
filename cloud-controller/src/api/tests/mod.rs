//! The API as its clients meet it: each test sends real requests to the real endpoints over a
//! state in memory.

mod autoscaler;
mod harness;
mod instances;
mod lists;
mod logs;
mod matrix;
mod metrics;
mod push;
mod refusals;
mod resources;
mod sign_in;
mod socket;
mod world;
