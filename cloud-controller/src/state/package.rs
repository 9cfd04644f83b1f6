//! An uploaded source, or a reference to a docker image.

use cfx_protocol::id::{AppGuid, PackageGuid};
use serde::{Deserialize, Serialize};

use super::Link;
use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub guid: PackageGuid,
    pub app: AppGuid,
    pub content: PackageContent,
    pub state: PackageState,
    pub error: Option<String>,
    pub meta: Meta,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum PackageContent {
    Bits {
        /// Of the zip in the blob store; none before the upload.
        blob: Option<BlobFacts>,
    },
    Docker {
        image: String,
        username: Option<String>,
        password: Option<String>,
    },
}

/// What is known of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobFacts {
    pub sha256: String,
    pub size_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PackageState {
    AwaitingUpload,
    ProcessingUpload,
    Ready,
    Failed,
    Expired,
    Copying,
}

guid_record!(Package, PackageGuid, "package", self => [Link::PackagesOf(self.app.0)]);
