//! Apps, their environment and their features.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::resource::{Links, Metadata, MetadataPatch, ToOne, present};
use crate::id::{AppGuid, DropletGuid, SpaceGuid};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub guid: AppGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub name: String,
    /// `STARTED` or `STOPPED`: what is wanted, not what is.
    pub state: String,
    pub lifecycle: Lifecycle,
    pub relationships: AppRelationships,
    pub metadata: Metadata,
    pub links: Links,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRelationships {
    pub space: ToOne<SpaceGuid>,
    pub current_droplet: ToOne<DropletGuid>,
}

/// How packages become droplets, for an app or a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    #[serde(rename = "type")]
    pub kind: String,
    pub data: LifecycleData,
}

/// Empty for docker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleData {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildpacks: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}

/// `POST /v3/apps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    pub name: String,
    pub relationships: SpaceRelationship,
    #[serde(default)]
    pub environment_variables: Option<Map<String, Value>>,
    #[serde(default)]
    pub lifecycle: Option<LifecyclePatch>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceRelationship {
    pub space: ToOne<SpaceGuid>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRelationship {
    pub app: ToOne<AppGuid>,
}

/// `PATCH /v3/apps/{guid}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPatch {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub lifecycle: Option<LifecyclePatch>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecyclePatch {
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub data: LifecycleDataPatch,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleDataPatch {
    /// Null and the empty list mean: detect.
    #[serde(default, deserialize_with = "present::deserialize")]
    pub buildpacks: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present::deserialize")]
    pub stack: Option<Option<String>>,
}

/// `GET /v3/apps/{guid}/env`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppEnvironment {
    pub environment_variables: BTreeMap<String, String>,
    pub staging_env_json: BTreeMap<String, String>,
    pub running_env_json: BTreeMap<String, String>,
    /// `VCAP_SERVICES`.
    pub system_env_json: Map<String, Value>,
    /// `VCAP_APPLICATION`.
    pub application_env_json: Map<String, Value>,
}

/// `GET /v3/apps/{guid}/environment_variables`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentVariables {
    pub var: BTreeMap<String, String>,
    pub links: Links,
}

/// `PATCH /v3/apps/{guid}/environment_variables`: null removes a variable.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentVariablesPatch {
    #[serde(default)]
    pub var: Map<String, Value>,
}

/// `GET /v3/apps/{guid}/features/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppFeature {
    pub name: String,
    pub description: String,
    pub enabled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppFeaturePatch {
    pub enabled: bool,
}

/// `GET /v3/apps/{guid}/ssh_enabled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshEnabled {
    pub enabled: bool,
    pub reason: String,
}

/// `GET` and `PATCH /v3/apps/{guid}/relationships/current_droplet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentDroplet {
    pub data: Option<super::resource::Reference<DropletGuid>>,
    #[serde(default)]
    pub links: Links,
}
