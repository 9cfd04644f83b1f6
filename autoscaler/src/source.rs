//! Where measurements come from: log-cache, asked for many apps at once.
//!
//! `LogCache` is the real thing; tests script one.

mod log_cache;

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use cfx_protocol::id::AppGuid;
use cfx_rules::units::{Milli, Second};

use crate::public_api::CallError;

pub use log_cache::LogCache;

/// What to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Each with its number of instances, by which large answers are cut into pieces.
    pub apps: Vec<(AppGuid, u32)>,
    /// Names of series, such as `cpu_entitlement`.
    pub metrics: BTreeSet<String>,
    /// Samples after the first and up to the second.
    pub after: Second,
    pub until: Second,
}

/// One metric of one start of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub app: AppGuid,
    pub metric: String,
    pub index: u32,
    /// Oldest first.
    pub points: Vec<(Second, Milli)>,
}

#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    async fn read(&self, question: &Question) -> Result<Vec<Series>, CallError>;
}
