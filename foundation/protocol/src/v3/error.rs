//! How the API says no.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorList {
    pub errors: Vec<V3Error>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct V3Error {
    pub code: u32,
    /// `CF-` and a name.
    pub title: String,
    pub detail: String,
}
