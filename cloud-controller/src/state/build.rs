//! One attempt to stage a package. While it is `Staging` the convergence keeps a run-once
//! assignment for it; its outcome ends it.

use std::collections::BTreeMap;

use cfx_protocol::desired::StagingWork;
use cfx_protocol::id::{AppGuid, BuildGuid, DropletGuid, PackageGuid, UserGuid};
use serde::{Deserialize, Serialize};

use super::Link;
use super::app::Lifecycle;
use super::intent::Intent;
use super::meta::Meta;
use super::package::BlobFacts;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    pub guid: BuildGuid,
    pub app: AppGuid,
    pub package: PackageGuid,
    pub state: BuildState,
    /// `Id - message`, as the CLI prints it.
    pub error: Option<String>,
    /// Chosen when the build begins; a droplet record exists once it is staged.
    pub droplet: DropletGuid,
    pub lifecycle: Lifecycle,
    /// The order for the cell, fixed when the build began; none for docker, which needs no cell.
    #[serde(default)]
    pub work: Option<StagingWork>,
    /// The user's variables (staging group under app) when the build began.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// VCAP_SERVICES at the time, as JSON text.
    #[serde(default)]
    pub vcap_services: String,
    pub memory_mb: u32,
    pub disk_mb: u32,
    pub created_by: BuildCreator,
    /// The droplet and the build cache that its cell has sent.
    #[serde(default)]
    pub uploaded: Option<BlobFacts>,
    #[serde(default)]
    pub uploaded_cache: Option<BlobFacts>,
    /// Where it is staged; none until it is placed.
    pub intent: Option<Intent>,
    pub meta: Meta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCreator {
    pub guid: UserGuid,
    pub name: String,
    pub email: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BuildState {
    Staging,
    Staged,
    Failed,
}

guid_record!(Build, BuildGuid, "build", self => [Link::BuildsOf(self.app.0)]);
