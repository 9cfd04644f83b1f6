//! Packages: uploaded sources, or references to docker images; and resource matching.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::app::AppRelationship;
use super::resource::{Links, Metadata, MetadataPatch};
use crate::id::PackageGuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub guid: PackageGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// `bits` or `docker`.
    #[serde(rename = "type")]
    pub kind: String,
    pub data: PackageData,
    pub state: String,
    pub relationships: AppRelationship,
    pub metadata: Metadata,
    pub links: Links,
}

/// Of bits: `error` and `checksum`; of docker: `image`, `username`, and a password that is never
/// shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// `sha256`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Null before the upload.
    pub value: Option<String>,
}

/// `POST /v3/packages`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPackage {
    /// Absent when copying (`?source_guid=`).
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    pub relationships: AppRelationship,
    #[serde(default)]
    pub data: Option<NewPackageData>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPackageData {
    #[serde(default)]
    pub image: Option<String>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password: Option<String>,
}

/// `POST /v3/resource_matches`: which of these files does the platform have already? The same
/// list, shortened, is the answer and the `resources` field of the upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceMatches {
    pub resources: Vec<Resource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    pub checksum: ResourceChecksum,
    pub size_in_bytes: u64,
    #[serde(default)]
    pub path: String,
    /// Octal permissions.
    #[serde(default)]
    pub mode: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceChecksum {
    /// SHA-1 in hexadecimal.
    pub value: String,
}
