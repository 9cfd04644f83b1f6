//! Names of things that an answer names by guid only.

use std::collections::BTreeMap;

use crate::client::resource::NamedResource;
use crate::client::{Api, query};
use crate::failure::Outcome;

/// Guids asked about in one request, so that its URL stays short.
pub(super) const GUIDS_PER_REQUEST: usize = 100;

pub(super) async fn names_of(
    api: &Api,
    path: &str,
    guids: impl Iterator<Item = &str>,
) -> Outcome<BTreeMap<String, String>> {
    let mut guids: Vec<&str> = guids.collect();
    guids.sort_unstable();
    guids.dedup();
    let mut names = BTreeMap::new();
    for some in guids.chunks(GUIDS_PER_REQUEST) {
        let filter = query::any_of(some.iter().copied());
        let found: Vec<NamedResource> = api
            .list(&format!("{path}?guids={filter}&per_page=5000"))
            .await?;
        names.extend(found.into_iter().map(|one| (one.guid, one.name)));
    }
    Ok(names)
}
