//! A buildpack: its place in the order of detection, and its blob.

use cfx_protocol::id::BuildpackGuid;
use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::package::BlobFacts;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buildpack {
    pub guid: BuildpackGuid,
    pub name: String,
    /// 1 is asked first.
    pub position: u32,
    pub enabled: bool,
    pub locked: bool,
    pub stack: Option<String>,
    pub filename: Option<String>,
    /// None before the upload.
    pub blob: Option<BlobFacts>,
    pub meta: Meta,
}

guid_record!(Buildpack, BuildpackGuid, "buildpack", self => []);
