//! Logs as they travel from cells and routers to the controller's log cache.

use serde::{Deserialize, Serialize};

use crate::id::{AppGuid, InstanceGuid, ProcessGuid};

/// Longest payload of one log line, bytes; longer ones are split (loggregator's limit).
pub const LOG_LINE_MAX_BYTES: usize = 60 * 1024;
/// Most envelopes in one `POST /internal/v1/logs`.
pub const LOG_BATCH_MAX: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Stream {
    Out,
    Err,
}

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnvelope {
    /// Nanoseconds since 1970.
    pub timestamp_ns: i64,
    pub app: AppGuid,
    pub stream: Stream,
    /// `APP/PROC/WEB`, `APP/TASK/name`, `STG`, `CELL`, `RTR`, `API`, `HEALTH`, ...
    pub source_type: String,
    /// Shown after the slash: the instance index, or 0.
    pub instance_index: u32,
    pub process: Option<ProcessGuid>,
    pub instance: Option<InstanceGuid>,
    /// Without its line end.
    #[serde(with = "text_or_base64")]
    pub payload: Vec<u8>,
}

/// Text travels as it is; other bytes as `{"base64": "..."}`.
mod text_or_base64 {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Payload<'a> {
        Text(std::borrow::Cow<'a, str>),
        Bytes { base64: String },
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Payload::Text(text.into()),
            Err(_) => Payload::Bytes {
                base64: BASE64_STANDARD.encode(bytes),
            },
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        match Payload::deserialize(deserializer)? {
            Payload::Text(text) => Ok(text.into_owned().into_bytes()),
            Payload::Bytes { base64 } => BASE64_STANDARD
                .decode(base64)
                .map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive_the_wire() {
        for payload in [
            b"plain \"text\"".to_vec(),
            vec![0xff, 0x00, 0xfe],
            Vec::new(),
        ] {
            let envelope = LogEnvelope {
                timestamp_ns: 1,
                app: AppGuid::NIL,
                stream: Stream::Out,
                source_type: "APP/PROC/WEB".into(),
                instance_index: 0,
                process: None,
                instance: None,
                payload,
            };
            let line = serde_json::to_string(&envelope).expect("serialises");
            assert_eq!(
                serde_json::from_str::<LogEnvelope>(&line).expect("parses"),
                envelope
            );
        }
    }
}
