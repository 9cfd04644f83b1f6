//! What staging made, or an upload brought: the thing that runs.

use std::collections::BTreeMap;

use cfx_protocol::id::{AppGuid, BuildGuid, DropletGuid, PackageGuid};
use serde::{Deserialize, Serialize};

use super::Link;
use super::meta::Meta;
use super::package::BlobFacts;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Droplet {
    pub guid: DropletGuid,
    pub app: AppGuid,
    pub package: Option<PackageGuid>,
    pub build: Option<BuildGuid>,
    pub state: DropletState,
    pub error: Option<String>,
    pub content: DropletContent,
    pub process_types: BTreeMap<String, String>,
    pub meta: Meta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum DropletContent {
    Buildpack {
        blob: Option<BlobFacts>,
        stack: String,
        buildpacks: Vec<String>,
        detected_buildpack: Option<String>,
    },
    Docker {
        image: String,
        username: Option<String>,
        password: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DropletState {
    AwaitingUpload,
    ProcessingUpload,
    Staged,
    Failed,
    Expired,
    Copying,
}

guid_record!(Droplet, DropletGuid, "droplet", self => [Link::DropletsOf(self.app.0)]);
