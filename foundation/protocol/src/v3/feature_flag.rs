//! Feature flags.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::{Links, present};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureFlag {
    pub name: String,
    pub enabled: bool,
    /// Null: nobody has set it.
    pub updated_at: Option<Timestamp>,
    pub custom_error_message: Option<String>,
    pub links: Links,
}

/// `PATCH /v3/feature_flags/{name}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureFlagPatch {
    #[serde(default)]
    pub enabled: Option<bool>,
    #[serde(default, deserialize_with = "present::deserialize")]
    pub custom_error_message: Option<Option<String>>,
}
