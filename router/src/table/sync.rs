//! Follows the controller's stream of tables, for as long as the router lives.
//!
//! ```text
//!   load saved -> publish      dial -> frame -> apply -> publish -> (acknowledge, save)
//!                               ^        | silent, missed, refused, ended
//!                               +--------+ back-off with jitter
//! ```
//! Nothing that happens here takes a route away except a newer table: a silent, stale or foreign
//! controller changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cfx_process::retry::Backoff;
use cfx_process::shutdown::Shutdown;
use cfx_protocol::generation::Token;
use cfx_protocol::id::RouterGuid;
use cfx_protocol::link::STREAM_SILENCE_MAX_MS;
use cfx_protocol::route::{RouteFrame, TableAck};
use tokio::sync::watch;

use super::apply::{Applier, ApplyError};
use super::publish::Publisher;
use super::saved;
use crate::edges::{EdgeError, Edges, TableStream};
use crate::events::Events;

/// First wait before dialling again.
const REDIAL_FIRST: Duration = Duration::from_millis(50);
/// Longest wait before dialling again: a new leader is found within a second.
const REDIAL_MAX: Duration = Duration::from_secs(1);
/// Wait before an acknowledgement is sent again.
const ACK_RETRY: Duration = Duration::from_millis(500);
/// Changes within this time are saved together: the file is written whole.
const SAVE_PAUSE: Duration = Duration::from_millis(50);
/// A large table is saved more seldom: writing takes at most one part in this many of the time.
const SAVE_SHARE: u32 = 10;

/// Why a stream was left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamEnd {
    #[error("the controller ended the stream")]
    Ended,
    #[error("the controller was silent for {STREAM_SILENCE_MAX_MS} ms")]
    Silent,
    #[error(transparent)]
    Edge(#[from] EdgeError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// What was published and may be acknowledged: changes with each confirmation by the stream,
/// also when the token does not, because a new leader has to hear it again.
#[derive(Debug, Clone, Copy, Default)]
struct Confirmed {
    token: Option<Token>,
    generation: u64,
}

/// The tasks that keep the table; run them under a supervisor.
#[derive(Debug)]
pub(crate) struct Sync {
    pub(crate) router: RouterGuid,
    pub(crate) edges: Edges,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) events: Arc<Events>,
    pub(crate) shutdown: Shutdown,
    pub(crate) table_file: Option<PathBuf>,
    pub(crate) threads: usize,
}

impl Sync {
    /// Serve from the saved table, if there is a good one, before anybody is dialled.
    pub(crate) fn restore(&self) -> Applier {
        let mut applier = Applier::new(self.threads);
        let Some(path) = &self.table_file else {
            return applier;
        };
        match saved::load(path) {
            Ok(Some((token, routes))) => {
                let snapshot = RouteFrame::Snapshot { token, routes };
                if let Ok(Some(table)) = applier.apply(snapshot) {
                    self.events.table_restored(token, table.counts());
                    self.publisher.publish(table);
                }
            }
            Ok(None) => {}
            Err(error) => self.events.saved_table_unusable(&error),
        }
        applier
    }

    /// Follow, acknowledge and save until the shutdown is requested.
    pub(crate) async fn run(self, applier: Applier) {
        let (confirmed, seen) = watch::channel(Confirmed::default());
        let acknowledging = self.shutdown.or(self.acknowledge(seen.clone()));
        let saving = self.save(self.publisher.generations());
        tokio::join!(self.follow(applier, &confirmed), acknowledging, saving);
    }

    async fn follow(&self, mut applier: Applier, confirmed: &watch::Sender<Confirmed>) {
        let mut backoff = Backoff::new(REDIAL_FIRST, REDIAL_MAX);
        loop {
            let stream = self.follow_stream(&mut applier, confirmed, &mut backoff);
            let Some(Err(end)) = self.shutdown.or(stream).await else {
                return;
            };
            self.events.stream_lost(&end);
            let pause = backoff.next(&self.edges.ids);
            let sleep = self.edges.clock.sleep(pause);
            if self.shutdown.or(sleep).await.is_none() {
                return;
            }
        }
    }

    async fn follow_stream(
        &self,
        applier: &mut Applier,
        confirmed: &watch::Sender<Confirmed>,
        backoff: &mut Backoff,
    ) -> Result<(), StreamEnd> {
        let mut stream = self.edges.table.dial().await?;
        loop {
            let frame = next_frame(stream.as_mut()).await?;
            let token = frame.token();
            if let Some(table) = applier.apply(frame)? {
                self.events.table_applied(token, table.counts());
                self.publisher.publish(table);
            }
            self.events.table_heard(self.edges.clock.monotonic());
            backoff.reset();
            self.confirm(confirmed, token);
        }
    }

    fn confirm(&self, confirmed: &watch::Sender<Confirmed>, token: Token) {
        let generation = *self.publisher.generations().borrow();
        confirmed.send_if_modified(|known| {
            let news = known.token != Some(token) || known.generation != generation;
            *known = Confirmed {
                token: Some(token),
                generation,
            };
            news
        });
    }

    /// Acknowledge what every thread serves. Only the newest matters, so changes may be skipped.
    async fn acknowledge(&self, mut confirmed: watch::Receiver<Confirmed>) {
        while confirmed.changed().await.is_ok() {
            let newest = *confirmed.borrow_and_update();
            let Some(token) = newest.token else { continue };
            self.publisher.served_by_all(newest.generation).await;
            self.publisher.free_retired();
            let ack = TableAck {
                router: self.router,
                token,
            };
            while let Err(error) = self.edges.table.acknowledge(ack.clone()).await {
                self.events.ack_failed(&error);
                self.edges.clock.sleep(ACK_RETRY).await;
                if confirmed.has_changed().unwrap_or(false) {
                    break;
                }
            }
        }
    }

    /// Save the newest table some time after each change, and a last time at the end.
    async fn save(&self, mut generations: watch::Receiver<u64>) {
        let Some(path) = self.table_file.clone() else {
            return;
        };
        // What was restored needs no saving.
        generations.mark_unchanged();
        let mut pause = SAVE_PAUSE;
        loop {
            let going_on = self.shutdown.or(generations.changed()).await.is_some();
            if going_on {
                let pause = self.edges.clock.sleep(pause);
                let _paused_or_stopping = self.shutdown.or(pause).await;
            } else if !generations.has_changed().unwrap_or(false) {
                return;
            }
            generations.mark_unchanged();
            let (table, path) = (self.publisher.newest(), path.clone());
            let began = self.edges.clock.monotonic();
            let written = tokio::task::spawn_blocking(move || saved::save(&path, &table)).await;
            let took = self.edges.clock.monotonic().saturating_sub(began);
            pause = SAVE_PAUSE.max(took * SAVE_SHARE);
            match written {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.events.table_not_saved(&error),
                Err(error) => self.events.table_not_saved(&error),
            }
        }
    }
}

/// Silence is an end too: the controller sends a keepalive each second.
async fn next_frame(stream: &mut dyn TableStream) -> Result<RouteFrame, StreamEnd> {
    let silence = Duration::from_millis(STREAM_SILENCE_MAX_MS);
    match tokio::time::timeout(silence, stream.next()).await {
        Err(_) => Err(StreamEnd::Silent),
        Ok(frame) => frame?.ok_or(StreamEnd::Ended),
    }
}
