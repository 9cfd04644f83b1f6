//! An app, and the environment groups that all apps share.

use std::collections::BTreeMap;

use cfx_protocol::id::{AppGuid, DropletGuid, SpaceGuid};
use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::package::BlobFacts;
use super::table::guid_record;
use super::{Link, Record};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub guid: AppGuid,
    pub name: String,
    pub space: SpaceGuid,
    pub desired_state: DesiredState,
    pub lifecycle: Lifecycle,
    pub current_droplet: Option<DropletGuid>,
    pub environment: BTreeMap<String, String>,
    pub features: BTreeMap<String, bool>,
    /// The newest build cache of each stack.
    #[serde(default)]
    pub build_caches: BTreeMap<String, BlobFacts>,
    pub meta: Meta,
}

guid_record!(App, AppGuid, "app", self => [Link::AppsOf(self.space.0)]);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum DesiredState {
    Started,
    Stopped,
}

/// How a package becomes a droplet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Lifecycle {
    Buildpack {
        /// Empty: detect.
        buildpacks: Vec<String>,
        stack: String,
    },
    Docker,
}

/// Variables of every app: `running` or `staging`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentGroup {
    pub name: String,
    pub variables: BTreeMap<String, String>,
    pub meta: Meta,
}

impl Record for EnvironmentGroup {
    type Key = String;
    const KIND: &'static str = "environment_group";

    fn key(&self) -> String {
        self.name.clone()
    }
}
