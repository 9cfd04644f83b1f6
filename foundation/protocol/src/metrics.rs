//! Metrics as they travel from cells and routers to the controller: one batch a second each.
//!
//! A second is named by its end, in whole seconds since 1970. What did not happen is not sent: an
//! instance without a request is in no router's batch, and the controller knows that it is routable.
//! Field names are short because there are very many.

use serde::{Deserialize, Serialize};

use crate::id::{AssignmentGuid, CellGuid, InstanceGuid, RouterGuid};
use crate::latency::Latencies;

/// Most instances in one cell's batch: more than a machine can hold.
pub const CELL_SAMPLES_MAX: usize = 20_000;
/// Most instances in one router's batch: twice what a platform is measured with.
pub const ROUTER_SAMPLES_MAX: usize = 50_000;
/// Largest batch, bytes: the most instances, each with a hundred different latencies.
pub const METRICS_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Seconds that a router keeps to send again, when no controller answers.
pub const ROUTER_SECONDS_KEPT: usize = 5;

/// `POST /internal/v1/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum MetricsBatch {
    Cell(CellMetrics),
    Router(RouterMetrics),
}

/// What the instances of a cell used in one second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellMetrics {
    pub cell: CellGuid,
    /// The end of the second.
    pub at: i64,
    pub samples: Vec<InstanceSample>,
}

/// What one instance used. Quotas and entitlement are the controller's own knowledge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InstanceSample {
    #[serde(rename = "a")]
    pub assignment: AssignmentGuid,
    /// How often the assignment was started before: it names the start that was measured.
    #[serde(rename = "n")]
    pub start: u32,
    /// Thousandths of a percent of a core. None: the first sample of a start has no rate yet.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub cpu_millipercent: Option<u32>,
    #[serde(rename = "m")]
    pub memory_bytes: u64,
    #[serde(rename = "d")]
    pub disk_bytes: u64,
    #[serde(rename = "p")]
    pub pids: u32,
    /// Bytes of log per second.
    #[serde(rename = "l")]
    pub log_rate_bytes: u64,
}

/// What one router saw in one second. Sent without instances too: it says that there was nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterMetrics {
    pub router: RouterGuid,
    /// One run of the router.
    pub boot: uuid::Uuid,
    /// 1 for the first batch of a boot. A batch that arrives twice counts once.
    pub sequence: u64,
    /// The end of the second.
    pub at: i64,
    pub instances: Vec<InstanceTraffic>,
}

/// The requests of one instance through one router in one second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTraffic {
    #[serde(rename = "i")]
    pub instance: InstanceGuid,
    /// Requests that ended.
    #[serde(rename = "r")]
    pub requests: u32,
    /// Of those, answered with 5xx.
    #[serde(rename = "e", default, skip_serializing_if = "is_zero")]
    pub errors: u32,
    /// In flight at the end of the second.
    #[serde(rename = "f", default, skip_serializing_if = "is_zero")]
    pub in_flight: u32,
    /// Of the requests that ended; upgraded connections are in none.
    #[serde(rename = "l", default, skip_serializing_if = "Latencies::is_empty")]
    pub latencies: Latencies,
}

impl InstanceTraffic {
    /// Add another thread's or router's numbers.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.latencies.merge(&other.latencies);
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde wants"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_takes_a_short_line() {
        let traffic = InstanceTraffic {
            instance: InstanceGuid::NIL,
            requests: 3,
            errors: 0,
            in_flight: 0,
            latencies: Latencies(vec![(150, 3)]),
        };
        let line = serde_json::to_string(&traffic).expect("serialises");
        assert_eq!(
            line,
            r#"{"i":"00000000-0000-0000-0000-000000000000","r":3,"l":[[150,3]]}"#
        );
        let back: InstanceTraffic = serde_json::from_str(&line).expect("parses");
        assert_eq!(back, traffic);
    }

    #[test]
    fn a_batch_says_whose_it_is() {
        let batch = MetricsBatch::Router(RouterMetrics {
            router: RouterGuid::NIL,
            boot: uuid::Uuid::nil(),
            sequence: 1,
            at: 7,
            instances: Vec::new(),
        });
        let text = serde_json::to_string(&batch).expect("serialises");
        assert!(text.starts_with(r#"{"from":"router","router""#), "{text}");
        let back: MetricsBatch = serde_json::from_str(&text).expect("parses");
        assert_eq!(back, batch);
    }
}
