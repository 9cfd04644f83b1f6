//! The cell's side of its link to the controllers: it dials, follows the desired set, reports, and
//! ships logs and metrics. When nobody answers the cell goes on alone; nothing here may hold it up.

mod follow;
mod metrics;
mod report;
mod ship;

pub use follow::Follower;
pub(crate) use metrics::EARLY_MAX;
pub use metrics::{MetricsShipper, SECONDS_KEPT};
pub use report::{Acknowledged, Reporter};
pub use ship::Shipper;

use std::time::Duration;

/// First pause before dialling again, and the longest.
pub(crate) const REDIAL_FIRST: Duration = Duration::from_millis(100);
pub(crate) const REDIAL_MAX: Duration = Duration::from_secs(2);
/// A small call that takes longer goes to the next controller.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(3);
