//! From state and reports to the route tables that routers serve.
//!
//! `table` says what is true, `publisher` tells the routers and hears what they confirm.

mod keeper;
pub mod publisher;
pub mod routers;
pub mod table;

pub use publisher::Publisher;
pub use routers::Routers;

#[cfg(test)]
mod tests;
