//! What can be done to the platform: pure functions of a `Draft`, an `Act` (time, ids, actor) and
//! what was asked. Each judges the request against the state, changes the draft and leaves its audit
//! event in the same commit. Nothing here does I/O or knows of HTTP.

pub mod act;
pub mod job;
pub mod limits;
pub mod metadata;
pub mod name;
pub mod organization;
pub mod refused;

pub use act::{Act, Target};
pub use refused::Refused;
