//! A switch of the platform that an operator has set. Flags that nobody set have their default.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureFlag {
    pub name: String,
    pub enabled: bool,
    pub custom_error_message: Option<String>,
    pub updated_at: Timestamp,
}

impl Record for FeatureFlag {
    type Key = String;
    const KIND: &'static str = "feature_flag";

    fn key(&self) -> String {
        self.name.clone()
    }
}
