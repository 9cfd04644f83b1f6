//! Builds: attempts to stage a package.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::app::{AppRelationship, Lifecycle, LifecyclePatch};
use super::resource::{Links, Metadata, MetadataPatch, Number, Reference};
use crate::id::{BuildGuid, DropletGuid, PackageGuid, UserGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub guid: BuildGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// `STAGING`, `STAGED` or `FAILED`.
    pub state: String,
    pub error: Option<String>,
    pub staging_memory_in_mb: u32,
    pub staging_disk_in_mb: u32,
    pub staging_log_rate_limit_bytes_per_second: i64,
    pub lifecycle: Lifecycle,
    pub package: Reference<PackageGuid>,
    /// Null until it is staged.
    pub droplet: Option<Reference<DropletGuid>>,
    pub created_by: CreatedBy,
    pub relationships: AppRelationship,
    pub metadata: Metadata,
    pub links: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedBy {
    pub guid: UserGuid,
    pub name: String,
    pub email: String,
}

/// `POST /v3/builds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBuild {
    pub package: Reference<PackageGuid>,
    #[serde(default)]
    pub lifecycle: Option<LifecyclePatch>,
    #[serde(default)]
    pub staging_memory_in_mb: Option<Number>,
    #[serde(default)]
    pub staging_disk_in_mb: Option<Number>,
    #[serde(default)]
    pub staging_log_rate_limit_bytes_per_second: Option<Number>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}
