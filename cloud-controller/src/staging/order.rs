//! The order for a cell: fixed when a build begins, so that a buildpack that an operator replaces
//! meanwhile changes nothing of it.

use std::sync::Arc;

use cfx_protocol::desired::{BlobRef, BuildpackRef, StagingWork};

use super::TIMEOUT_S;
use crate::actions::Refused;
use crate::state::State;
use crate::state::app::{App, Lifecycle};
use crate::state::build::Build;
use crate::state::buildpack::Buildpack;
use crate::state::package::BlobFacts;

/// The order for a build of bits.
pub fn order(
    state: &State,
    app: &App,
    build: &Build,
    package: &BlobFacts,
) -> Result<StagingWork, Refused> {
    let Lifecycle::Buildpack { buildpacks, stack } = &build.lifecycle else {
        return Err(Refused::Staging(
            "bits cannot be staged with the docker lifecycle".to_owned(),
        ));
    };
    let detect = buildpacks.is_empty();
    let chosen = if detect {
        enabled(state, stack)?
    } else {
        named(state, stack, buildpacks)?
    };
    Ok(StagingWork {
        build: build.guid,
        package: BlobRef {
            guid: build.package,
            sha256: package.sha256.clone(),
            size_bytes: package.size_bytes,
        },
        droplet: build.droplet,
        buildpacks: chosen,
        detect,
        stack: stack.clone(),
        cache: app
            .build_caches
            .get(stack)
            .map(|cache| cache.sha256.clone()),
        timeout_s: TIMEOUT_S,
    })
}

/// All that may detect, in the operator's order.
fn enabled(state: &State, stack: &str) -> Result<Vec<BuildpackRef>, Refused> {
    let mut found: Vec<&Arc<Buildpack>> = state
        .all::<Buildpack>()
        .filter(|buildpack| buildpack.enabled && serves(buildpack, stack))
        .collect();
    found.sort_by_key(|buildpack| (buildpack.position, buildpack.guid));
    let usable: Vec<_> = found.into_iter().filter_map(|it| reference(it)).collect();
    if usable.is_empty() {
        return Err(Refused::Staging(format!(
            "no buildpack is installed and enabled for the stack '{stack}'"
        )));
    }
    Ok(usable)
}

/// Those that the user named, in the user's order.
fn named(state: &State, stack: &str, names: &[String]) -> Result<Vec<BuildpackRef>, Refused> {
    let find = |name: &String| {
        let mut candidates: Vec<&Arc<Buildpack>> = state
            .all::<Buildpack>()
            .filter(|buildpack| buildpack.name == *name && serves(buildpack, stack))
            .collect();
        // One made for the stack before one made for any.
        candidates.sort_by_key(|buildpack| buildpack.stack.is_none());
        let found = candidates.first().ok_or_else(|| {
            Refused::Staging(format!(
                "there is no buildpack '{name}' for the stack '{stack}'"
            ))
        })?;
        if !found.enabled {
            return Err(Refused::Staging(format!(
                "the buildpack '{name}' is disabled"
            )));
        }
        reference(found).ok_or_else(|| {
            Refused::Staging(format!("the buildpack '{name}' has not been uploaded yet"))
        })
    };
    names.iter().map(find).collect()
}

fn serves(buildpack: &Buildpack, stack: &str) -> bool {
    buildpack.stack.as_deref().is_none_or(|own| own == stack)
}

fn reference(buildpack: &Buildpack) -> Option<BuildpackRef> {
    let blob = buildpack.blob.as_ref()?;
    Some(BuildpackRef {
        name: buildpack.name.clone(),
        blob: BlobRef {
            guid: buildpack.guid,
            sha256: blob.sha256.clone(),
            size_bytes: blob.size_bytes,
        },
    })
}
