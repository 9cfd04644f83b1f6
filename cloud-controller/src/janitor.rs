//! Once a minute: takes away what is past its time, and makes the next signing key in time.

use std::convert::Infallible;
use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::shutdown::Shutdown;

use crate::actions::deletion::Progress;
use crate::actions::retention;
use crate::auth::generate_signing_key;
use crate::log_cache::LogCache;
use crate::metrics_history::MetricsHistory;
use crate::state::app::App;
use crate::state::{Draft, StateHandle};

const ROUND: Duration = Duration::from_secs(60);
/// Steps of one round; what is left comes in the next.
const STEPS_MAX: usize = 100;

/// What it looks after.
#[derive(Debug, Clone)]
pub struct Janitor {
    pub state: StateHandle,
    pub clock: Clock,
    pub log_cache: LogCache,
    pub metrics: MetricsHistory,
}

impl Janitor {
    /// Runs until the shutdown is requested. Spawn it under a supervisor.
    pub async fn run(self, shutdown: Shutdown) {
        while shutdown.or(self.clock.sleep(ROUND)).await.is_some() {
            round(&self).await;
        }
    }
}

/// One round. What fails is tried again in the next.
async fn round(janitor: &Janitor) {
    for _ in 0..STEPS_MAX {
        let now = janitor.clock.now();
        let step = |draft: &mut Draft| Ok::<_, Infallible>(retention::sweep(draft, now));
        match janitor.state.write(step).await {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break,
            Err(error) => {
                tracing::warn!(%error, "what is past its time could not be taken away");
                break;
            }
        }
    }
    let state = janitor.state.read();
    janitor
        .log_cache
        .retain(|app| state.get::<App>(&app).is_some());
    janitor
        .metrics
        .retain(|app| state.get::<App>(&app).is_some());
    if retention::needs_signing_key(&state, janitor.clock.now()) {
        renew_signing_key(janitor).await;
    }
}

async fn renew_signing_key(janitor: &Janitor) {
    let now = janitor.clock.now();
    let made = tokio::task::spawn_blocking(move || generate_signing_key(now)).await;
    let key = match made {
        Ok(Ok(key)) => key,
        Ok(Err(error)) => return tracing::error!(%error, "no new signing key"),
        Err(error) => return tracing::error!(%error, "no new signing key"),
    };
    let put = janitor.state.write(|draft| {
        draft.put(key);
        Ok::<_, Infallible>(())
    });
    match put.await {
        Ok(()) => tracing::info!("tokens are signed with a new key"),
        Err(error) => tracing::error!(%error, "the new signing key could not be stored"),
    }
}
