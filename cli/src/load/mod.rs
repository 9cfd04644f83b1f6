//! The load generator: an open model. What is sent when is decided before the first answer.
//!
//! ```text
//! rate (curve) -> arrivals (seeded, intended times) -> engine (one thread) -> tally -> summary
//!                              population (what visitors do) ^   ^ wire (connections)      |
//!                                                                          threshold, self-check
//! ```
//! `rate`, `arrivals`, `histogram`, `tally`, `summary` and `threshold` are pure. Nothing here knows
//! of apps or platforms: `cfx load` sends to a URL, `rehearse/` brings shoppers.

mod arrivals;
mod ask;
mod engine;
mod histogram;
mod live;
mod pace;
mod population;
mod rate;
mod shape;
mod summary;
mod tally;
mod target;
mod threads;
mod threshold;
mod wire;

pub(crate) use arrivals::{Spacing, exponential, unit};
pub(crate) use ask::{Answer, Ask, WireError};
pub(crate) use live::{Glance, Live};
pub(crate) use pace::{Pace, Timer};
pub(crate) use population::{After, OneRequest, Population, Template};
pub(crate) use rate::{Curve, Rate, Segment};
pub(crate) use shape::LoadShape;
pub(crate) use summary::{LatencyNumbers, Numbers, Point, SelfCheck, points};
pub(crate) use tally::Worth;
pub(crate) use target::{Rules, Target};
pub(crate) use threads::{Plan, Ran, Running, Scheduling, real_time, start};
pub(crate) use threshold::{Judged, Threshold};
pub(crate) use wire::{HttpWire, Wire};
