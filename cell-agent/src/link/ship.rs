//! Ships log lines in batches, and each batch until it is taken.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::ndjson;
use cfx_process::retry::Backoff;
use cfx_protocol::link::PREFIX;
use cfx_protocol::telemetry::LogEnvelope;

use super::{REDIAL_FIRST, REDIAL_MAX};
use crate::events::Events;
use crate::hooks::told;
use crate::logs::Outbox;
use crate::logs::budget::Budget;

#[derive(Debug)]
pub struct Shipper {
    pub client: InternalClient,
    pub outbox: Outbox,
    /// Shared with the readers: a flood must not cost more here than it costs there.
    pub budget: Arc<Budget>,
    pub events: Events,
    pub clock: Clock,
    pub ids: IdSource,
}

impl Shipper {
    pub async fn run(self) {
        let mut backoff = Backoff::new(REDIAL_FIRST, REDIAL_MAX);
        let mut told_lost = 0;
        loop {
            let batch = self.outbox.batch().await;
            let body = self.body(&batch).await;
            loop {
                let path = format!("{PREFIX}/logs");
                let sent = self
                    .client
                    .post_bytes(&path, "application/x-ndjson", body.clone())
                    .await;
                match sent {
                    Ok(()) => break backoff.reset(),
                    Err(error) if error.is_transient() => {
                        self.clock.sleep(backoff.next(&self.ids)).await;
                    }
                    Err(error) => {
                        tracing::warn!(error = told(&error), "a batch of log lines was refused");
                        self.events.log_lines_lost(batch.len() as u64);
                        break;
                    }
                }
            }
            let lost = self.outbox.dropped();
            self.events.log_lines_lost(lost - told_lost);
            told_lost = lost;
        }
    }

    async fn body(&self, batch: &[LogEnvelope]) -> Bytes {
        let began = self.clock.monotonic();
        let mut body = BytesMut::new();
        for envelope in batch {
            // An envelope has nothing in it that JSON could refuse.
            if let Ok(line) = ndjson::line(envelope) {
                body.extend_from_slice(&line);
            }
        }
        let now = self.clock.monotonic();
        let pause = self.budget.charge(now.saturating_sub(began), now);
        self.clock.sleep(pause).await;
        body.freeze()
    }
}
