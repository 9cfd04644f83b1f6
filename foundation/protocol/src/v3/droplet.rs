//! Droplets: what runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::app::{AppRelationship, Lifecycle};
use super::package::Checksum;
use super::resource::{Links, Metadata, MetadataPatch};
use crate::id::DropletGuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Droplet {
    pub guid: DropletGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub state: String,
    pub error: Option<String>,
    pub lifecycle: Lifecycle,
    pub checksum: Option<Checksum>,
    /// Null for docker.
    pub buildpacks: Option<Vec<DropletBuildpack>>,
    pub stack: Option<String>,
    /// The docker image.
    pub image: Option<String>,
    pub execution_metadata: String,
    pub process_types: BTreeMap<String, String>,
    pub relationships: AppRelationship,
    pub metadata: Metadata,
    pub links: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropletBuildpack {
    pub name: String,
    pub detect_output: Option<String>,
    pub buildpack_name: Option<String>,
    pub version: Option<String>,
}

/// `POST /v3/droplets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDroplet {
    pub relationships: AppRelationship,
    #[serde(default)]
    pub process_types: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}
