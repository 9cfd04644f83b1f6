//! Stacks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::{Links, Metadata};
use crate::id::StackGuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    pub guid: StackGuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub name: String,
    pub description: String,
    /// The one that apps get which name none.
    pub default: bool,
    pub build_rootfs_image: String,
    pub run_rootfs_image: String,
    pub metadata: Metadata,
    pub links: Links,
}
