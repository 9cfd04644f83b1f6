//! Buildpacks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::{Links, Metadata, MetadataPatch, Number, present};
use crate::id::BuildpackGuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buildpack {
    pub guid: BuildpackGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub name: String,
    /// Null when it runs on any stack.
    pub stack: Option<String>,
    /// `AWAITING_UPLOAD` or `READY`.
    pub state: String,
    pub filename: Option<String>,
    /// Always `buildpack`.
    pub lifecycle: String,
    pub position: u32,
    pub enabled: bool,
    pub locked: bool,
    pub metadata: Metadata,
    pub links: Links,
}

/// `POST /v3/buildpacks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBuildpack {
    pub name: String,
    #[serde(default)]
    pub stack: Option<String>,
    #[serde(default)]
    pub position: Option<Number>,
    #[serde(default)]
    pub enabled: Option<bool>,
    #[serde(default)]
    pub locked: Option<bool>,
    #[serde(default)]
    pub lifecycle: Option<String>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

/// `PATCH /v3/buildpacks/{guid}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildpackPatch {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "present::deserialize")]
    pub stack: Option<Option<String>>,
    #[serde(default)]
    pub position: Option<Number>,
    #[serde(default)]
    pub enabled: Option<bool>,
    #[serde(default)]
    pub locked: Option<bool>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}
