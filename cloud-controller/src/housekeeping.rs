//! What is to be done from time to time though nobody asks: blobs that no record names go. Each
//! round looks at the whole state and the whole folder.

use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;

use crate::blobs::Blobs;
use crate::blobs::collect::Collected;
use crate::state::StateHandle;

/// Time between rounds.
const ROUND: Duration = Duration::from_secs(5 * 60);

/// What it keeps clean.
#[derive(Debug, Clone)]
pub struct Housekeeping {
    pub state: StateHandle,
    pub blobs: Blobs,
    pub clock: Clock,
}

impl Housekeeping {
    /// Until the shutdown. Spawn it under a supervisor.
    pub async fn run(self, shutdown: Shutdown) {
        while shutdown.or(self.clock.sleep(ROUND)).await.is_some() {
            self.collect_blobs().await;
        }
    }

    async fn collect_blobs(&self) {
        let (blobs, state, now) = (self.blobs.clone(), self.state.read(), self.clock.now());
        let collected = tokio::task::spawn_blocking(move || blobs.collect(&state, now)).await;
        match collected {
            Ok(Ok(done)) if done == Collected::default() => {}
            Ok(Ok(done)) => tracing::info!(
                blobs = done.blobs,
                matched_files = done.matched_files,
                bytes = done.bytes,
                "blobs that nothing names were deleted"
            ),
            Ok(Err(error)) => tracing::warn!(%error, "blobs cannot be collected; trying again"),
            Err(error) => tracing::error!(%error, "collecting blobs panicked"),
        }
    }
}
