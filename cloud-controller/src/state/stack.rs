//! A stack: the name of a root file system that cells have.

use cfx_protocol::id::StackGuid;
use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    pub guid: StackGuid,
    pub name: String,
    pub description: String,
    pub default: bool,
    pub meta: Meta,
}

guid_record!(Stack, StackGuid, "stack", self => []);
