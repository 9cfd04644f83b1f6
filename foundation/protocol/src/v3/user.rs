//! Users as the v3 API knows them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::{Links, Metadata, MetadataPatch};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Of a client: its id.
    pub guid: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Null for clients.
    pub username: Option<String>,
    pub presentation_name: String,
    pub origin: Option<String>,
    pub metadata: Metadata,
    pub links: Links,
}

/// `POST /v3/users`: either a guid, or a name and its origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    #[serde(default)]
    pub guid: Option<String>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub origin: Option<String>,
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}

/// `PATCH /v3/users/{guid}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserPatch {
    #[serde(default)]
    pub metadata: Option<MetadataPatch>,
}
