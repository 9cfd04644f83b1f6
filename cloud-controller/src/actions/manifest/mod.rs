//! Manifests: what several apps are to look like, applied at once.
//!
//! `yaml` reads text under a budget, `schema` judges it, `apply` makes it so, `diff` tells what
//! that would change. A manifest that is wrong anywhere changes nothing.

pub mod apply;
pub mod diff;
pub mod schema;

mod host;
mod routes;
mod yaml;

use super::Refused;
use schema::AppManifest;

/// Largest manifest, bytes.
pub const MANIFEST_MAX_BYTES: usize = 1024 * 1024;
/// Most apps of one manifest.
const APPS_MAX: usize = 100;

/// What a manifest asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub apps: Vec<AppManifest>,
}

/// Read and judge a manifest by itself, without regard to what exists.
pub fn parse(text: &str) -> Result<Manifest, Refused> {
    let value = yaml::parse(text)?;
    let apps = schema::apps(value)?;
    if apps.len() > APPS_MAX {
        return Err(Refused::Unprocessable(format!(
            "A manifest may have at most {APPS_MAX} applications; split it"
        )));
    }
    Ok(Manifest { apps })
}

#[cfg(test)]
mod tests;
