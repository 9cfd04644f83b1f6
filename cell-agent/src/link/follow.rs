//! Registers the cell and follows its desired set.

use std::time::Duration;

use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use cfx_process::http_client::InternalClient;
use cfx_process::retry::Backoff;
use cfx_protocol::cell::CellRegistration;
use cfx_protocol::desired::DesiredFrame;
use cfx_protocol::link::{FRAME_MAX_BYTES, PREFIX, RHYTHM_MS, STREAM_SILENCE_MAX_MS};
use tokio::sync::{mpsc, oneshot};

use super::{CALL_MAX, REDIAL_FIRST, REDIAL_MAX};
use crate::agent::Message;
use crate::events::Events;
use crate::hooks::told;
use crate::plan::Followed;
use crate::runtime::Runtime;

#[derive(Debug)]
pub struct Follower {
    pub client: InternalClient,
    pub runtime: std::sync::Arc<dyn Runtime>,
    pub registration: CellRegistration,
    pub messages: mpsc::Sender<Message>,
    pub events: Events,
    pub clock: Clock,
    pub ids: IdSource,
}

/// Why a stream ended.
enum End {
    /// A fresh snapshot is needed, and nothing is wrong.
    Redial,
    /// The same after a moment: what two snapshots agree on is believed.
    RedialLater,
    Failed(String),
    /// The agent has stopped.
    Stopped,
}

impl Follower {
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(REDIAL_FIRST, REDIAL_MAX);
        loop {
            let pause = match self.connect_and_follow(&mut backoff).await {
                End::Stopped => return,
                End::Redial => Duration::ZERO,
                End::RedialLater => Duration::from_millis(RHYTHM_MS),
                End::Failed(why) => {
                    self.events.redial(&why);
                    Duration::ZERO
                }
            };
            // Never without a pause, and never all cells at once.
            let pause = pause.max(backoff.next(&self.ids));
            self.clock.sleep(pause).await;
        }
    }

    async fn connect_and_follow(&mut self, backoff: &mut Backoff) -> End {
        if let Ok(stacks) = self.runtime.stacks().await {
            self.registration.stacks = stacks;
        }
        let path = format!("{PREFIX}/cells");
        let registered = self
            .client
            .post::<_, serde::de::IgnoredAny>(&path, &self.registration);
        match tokio::time::timeout(CALL_MAX, registered).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return End::Failed(told(&error)),
            Err(_) => return End::Failed("registering took too long".to_owned()),
        }
        let path = format!("{PREFIX}/cells/{}/desired", self.registration.guid);
        let stream = self.client.stream::<DesiredFrame>(&path, FRAME_MAX_BYTES);
        let mut stream = match tokio::time::timeout(CALL_MAX, stream).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return End::Failed(told(&error)),
            Err(_) => return End::Failed("the stream did not begin".to_owned()),
        };
        loop {
            let silence = Duration::from_millis(STREAM_SILENCE_MAX_MS);
            let frame = match tokio::time::timeout(silence, stream.next()).await {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return End::Failed("the stream ended".to_owned()),
                Ok(Err(error)) => return End::Failed(told(&error)),
                Err(_) => return End::Failed(format!("silence for {silence:?}")),
            };
            match self.hand_over(frame).await {
                Ok(Followed::Changed | Followed::Unchanged) => backoff.reset(),
                Ok(Followed::Doubts) => return End::RedialLater,
                Ok(Followed::Gap) => return End::Redial,
                Err(end) => return end,
            }
        }
    }

    async fn hand_over(&self, frame: DesiredFrame) -> Result<Followed, End> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Frame {
            frame: Box::new(frame),
            reply,
        };
        self.messages
            .send(message)
            .await
            .map_err(|_| End::Stopped)?;
        let answer = answer.await.map_err(|_| End::Stopped)?;
        answer.map_err(|refused| {
            self.events.frame_refused(&refused);
            End::Failed(refused.to_string())
        })
    }
}
