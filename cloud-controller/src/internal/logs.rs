//! Log lines from cells and routers, on their way to the log cache.

use axum::body::Bytes;
use axum::extract::State;
use cfx_process::identity::PeerIdentity;
use cfx_protocol::link::Role;
use cfx_protocol::telemetry::{LOG_BATCH_MAX, LOG_LINE_MAX_BYTES, LogEnvelope};
use http::StatusCode;

use super::Context;
use super::peer::Refused;

/// What only routers say.
const ROUTER_SOURCE: &str = "RTR";
/// What only the controller itself says.
const CONTROLLER_SOURCE: &str = "API";

pub(super) async fn append(
    State(context): State<Context>,
    peer: Option<axum::Extension<PeerIdentity>>,
    body: Bytes,
) -> Result<StatusCode, Refused> {
    let role = peer.map(|axum::Extension(peer)| peer.role);
    let Some(role @ (Role::Cell | Role::Router)) = role else {
        context.events.stranger_refused("logs");
        return Err(Refused::Stranger(Role::Cell));
    };
    let envelopes = parse(&body, role)?;
    context.log_cache.append(envelopes);
    Ok(StatusCode::NO_CONTENT)
}

fn parse(body: &[u8], role: Role) -> Result<Vec<LogEnvelope>, Refused> {
    let mut envelopes = Vec::new();
    let lines = body.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.is_empty()) {
        if envelopes.len() == LOG_BATCH_MAX {
            let most = format!("more than {LOG_BATCH_MAX} lines in one batch");
            return Err(Refused::Malformed(most));
        }
        let mut envelope: LogEnvelope = serde_json::from_slice(line)
            .map_err(|error| Refused::Malformed(format!("not a log envelope: {error}")))?;
        if may_say(role, &envelope.source_type) {
            envelope.payload.truncate(LOG_LINE_MAX_BYTES);
            envelopes.push(envelope);
        }
    }
    Ok(envelopes)
}

/// Nobody puts words into another component's mouth.
fn may_say(role: Role, source: &str) -> bool {
    match role {
        Role::Router => source == ROUTER_SOURCE,
        _ => source != ROUTER_SOURCE && source != CONTROLLER_SOURCE,
    }
}
