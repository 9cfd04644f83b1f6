//! What every API resource carries besides its own fields.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

impl Meta {
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            created_at: now,
            updated_at: now,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }
}
