//! What log-cache says. Whole numbers of 64 bits travel as text, as protobuf's JSON has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /api/v1/info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    pub version: String,
    /// Seconds.
    pub vm_uptime: String,
}

/// `GET /api/v1/read/{source_id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadReply {
    pub envelopes: Batch,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    #[serde(default)]
    pub batch: Vec<Envelope>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Nanoseconds since 1970.
    pub timestamp: String,
    pub source_id: String,
    pub instance_id: String,
    #[serde(default)]
    pub deprecated_tags: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gauge: Option<Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Base64.
    pub payload: String,
    /// `OUT` or `ERR`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Numbers of one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gauge {
    pub metrics: BTreeMap<String, GaugeValue>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GaugeValue {
    pub unit: String,
    pub value: f64,
}

/// `GET /api/v1/meta`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub meta: BTreeMap<String, SourceMeta>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceMeta {
    pub count: String,
    pub expired: String,
    pub oldest_timestamp: String,
    pub newest_timestamp: String,
}
