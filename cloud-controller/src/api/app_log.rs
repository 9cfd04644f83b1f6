//! What the API says in an app's log: `[API/0] Created app with guid ...`.

use cfx_protocol::id::AppGuid;
use cfx_protocol::telemetry::{LogEnvelope, Stream};

use super::request::Call;

const SOURCE_TYPE: &str = "API";

/// Append one line to the app's log.
pub(super) fn tell(call: &Call, app: AppGuid, text: String) {
    call.context.log_cache.append(vec![LogEnvelope {
        timestamp_ns: call.context.clock.now_ns(),
        app,
        stream: Stream::Out,
        source_type: SOURCE_TYPE.to_owned(),
        instance_index: 0,
        process: None,
        instance: None,
        payload: text.into_bytes(),
    }]);
}
