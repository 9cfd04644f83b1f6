//! What is to be done from time to time though nobody asks: builds that ran out of time end, blobs
//! that nothing names go. Each round looks at the whole state.

use std::convert::Infallible;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::shutdown::Shutdown;

use crate::actions::act::platform;
use crate::actions::{Act, build};
use crate::blobs::Blobs;
use crate::state::StateHandle;

/// Time between looks at builds.
const BUILDS_EVERY: Duration = Duration::from_secs(15);
/// Rounds of builds for one of blobs.
const BLOBS_EVERY_ROUNDS: u32 = 20;

/// What it keeps clean.
#[derive(Debug, Clone)]
pub struct Housekeeping {
    pub state: StateHandle,
    pub blobs: Blobs,
    pub clock: Clock,
    pub ids: IdSource,
}

impl Housekeeping {
    /// Until the shutdown. Spawn it under a supervisor.
    pub async fn run(self, shutdown: Shutdown) {
        let mut round = 0_u32;
        while shutdown.or(self.clock.sleep(BUILDS_EVERY)).await.is_some() {
            self.expire_builds().await;
            if round.is_multiple_of(BLOBS_EVERY_ROUNDS) {
                self.collect_blobs().await;
            }
            round = round.wrapping_add(1);
        }
    }

    async fn expire_builds(&self) {
        let act = Act {
            now: self.clock.now(),
            ids: &self.ids,
            actor: platform(),
        };
        let expire = |draft: &mut crate::state::Draft| {
            Ok::<_, Infallible>(build::expire_builds(draft, &act))
        };
        match self.state.write(expire).await {
            Ok(0) => {}
            Ok(builds) => tracing::info!(builds, "builds ran out of time"),
            Err(error) => tracing::warn!(%error, "builds cannot be ended; trying again"),
        }
    }

    async fn collect_blobs(&self) {
        let (blobs, state, now) = (self.blobs.clone(), self.state.read(), self.clock.now());
        let collected = tokio::task::spawn_blocking(move || blobs.collect(&state, now)).await;
        match collected {
            Ok(Ok(done)) if done == crate::blobs::collect::Collected::default() => {}
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
