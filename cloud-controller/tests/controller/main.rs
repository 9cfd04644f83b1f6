//! A whole controller over real sockets, with scripted cells and a fake router. Time stands still
//! unless a test moves it, so that no test waits for it.

mod cell;
mod ends;
mod identity;
mod metrics;
mod outcomes;
mod restart;
mod rollout;
mod router;
mod runs;
mod world;
