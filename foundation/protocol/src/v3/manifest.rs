//! What a manifest would change.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `POST /v3/spaces/{guid}/manifest_diff`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestDiff {
    pub diff: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// `add`, `remove` or `replace`.
    pub op: String,
    /// A JSON pointer into the manifest.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}
