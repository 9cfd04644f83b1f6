//! A request's way through the router; `pipeline` lists its stages in order.

pub(crate) mod admit;
pub(crate) mod balance;
pub(crate) mod body;
pub(crate) mod dial;
pub(crate) mod exchange;
pub(crate) mod failure;
pub(crate) mod headers;
pub(crate) mod pipeline;
pub(crate) mod retry;
pub(crate) mod sticky;
pub(crate) mod upgrade;
pub(crate) mod upstream;
