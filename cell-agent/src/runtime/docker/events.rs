//! Follows the engine's events for containers of this cell that end.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::EventsOptionsBuilder;
use cfx_process::clock::Clock;
use cfx_process::supervisor::{OnEnd, Supervisor};
use cfx_protocol::id::CellGuid;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::spec::{LABEL_CELL, instance_of};
use crate::runtime::ContainerName;

/// Hints waiting for the agent. Past it hints are dropped: the agent looks for itself too.
const HINTS_MAX: usize = 1024;
/// Between the end of one stream and the next, so that a dead daemon costs nothing.
const RECONNECT: Duration = Duration::from_millis(500);

pub(super) fn follow(
    engine: Docker,
    cell: CellGuid,
    supervisor: &Supervisor,
    clock: Clock,
) -> mpsc::Receiver<ContainerName> {
    let (sender, receiver) = mpsc::channel(HINTS_MAX);
    let shutdown = supervisor.shutdown().clone();
    supervisor.spawn("docker events", OnEnd::Nothing, async move {
        tokio::select! {
            () = stream_forever(&engine, cell, &sender, &clock) => {}
            () = shutdown.requested() => {}
        }
    });
    receiver
}

/// Ends when nobody listens any more.
async fn stream_forever(
    engine: &Docker,
    cell: CellGuid,
    sender: &mpsc::Sender<ContainerName>,
    clock: &Clock,
) {
    while !sender.is_closed() {
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("event", vec!["die".to_owned()]),
            ("label", vec![format!("{LABEL_CELL}={cell}")]),
        ]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let mut events = Box::pin(engine.events(Some(options)));
        while let Some(Ok(event)) = events.next().await {
            let attributes = event.actor.and_then(|actor| actor.attributes);
            let name = attributes.and_then(|mut attributes| attributes.remove("name"));
            if let Some(name) = name.as_deref().and_then(instance_of)
                && sender.try_send(name).is_err()
            {
                tracing::debug!(%name, "the hint of a container's end was dropped");
            }
        }
        tracing::debug!("the stream of docker's events ended");
        clock.sleep(RECONNECT).await;
    }
}
