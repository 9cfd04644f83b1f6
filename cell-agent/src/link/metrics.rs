//! Ships what instances used, a batch for each second. A second that cannot be delivered soon is
//! let go: the next one says more than it does.

use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::http_client::InternalClient;
use cfx_protocol::link::PREFIX;
use cfx_protocol::metrics::{CellMetrics, MetricsBatch};
use tokio::sync::mpsc;

use super::{CALL_MAX, REDIAL_FIRST};
use crate::hooks::told;

/// Seconds that may wait to be shipped.
pub const SECONDS_KEPT: usize = 5;
/// A second that is older is not sent any more, seconds: controllers do not take it.
const AGE_MAX_S: i64 = 8;

#[derive(Debug)]
pub struct MetricsShipper {
    pub client: InternalClient,
    pub seconds: mpsc::Receiver<CellMetrics>,
    pub clock: Clock,
}

impl MetricsShipper {
    pub async fn run(mut self) {
        while let Some(second) = self.seconds.recv().await {
            let at = second.at;
            let batch = MetricsBatch::Cell(second);
            while self.clock.now().as_second() - at <= AGE_MAX_S && !self.sent(&batch).await {
                self.clock.sleep(REDIAL_FIRST).await;
            }
        }
    }

    /// True: nothing more can be done about it.
    async fn sent(&self, batch: &MetricsBatch) -> bool {
        let path = format!("{PREFIX}/metrics");
        let call = self.client.post::<_, ()>(&path, batch);
        match tokio::time::timeout(CALL_MAX, call).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) if error.is_transient() => false,
            Ok(Err(error)) => {
                tracing::warn!(
                    error = told(&error),
                    "a second of metrics was refused and is lost"
                );
                true
            }
            Err(_) => false,
        }
    }
}

/// A timer may fire this much before the wall clock has come to the second.
pub(crate) const EARLY_MAX: Duration = Duration::from_millis(50);
