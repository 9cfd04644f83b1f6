//! The program inside the staging container.

use std::collections::BTreeMap;

use cfx_protocol::desired::StagingWork;

use crate::slot::Program;

const SCRIPT: &str = include_str!("builder.sh");

/// Where the buildpacks are inside.
pub(super) const BUILDPACKS: &str = "/.cfx/buildpacks";

/// Statuses of the script, Cloud Foundry's.
pub(super) const STATUS_NOT_DETECTED: i32 = 222;
pub(super) const STATUS_COMPILE: i32 = 223;
pub(super) const STATUS_RELEASE: i32 = 224;
pub(super) const STATUS_SUPPLY: i32 = 225;
pub(super) const STATUS_FINALIZE: i32 = 226;

/// The script and its arguments; names travel as arguments, so none can be taken for code.
#[must_use]
pub fn builder_command(work: &StagingWork) -> Program {
    let mode = if work.detect { "detect" } else { "named" };
    let names = work
        .buildpacks
        .iter()
        .map(|buildpack| buildpack.name.clone());
    let fixed = ["bash", "-c", SCRIPT, "cfx-builder", mode].map(str::to_owned);
    Program::Exec(fixed.into_iter().chain(names).collect())
}

/// What only stagings have in their environment.
#[must_use]
pub fn builder_env(work: &StagingWork) -> BTreeMap<String, String> {
    BTreeMap::from([("CF_STACK".to_owned(), work.stack.clone())])
}
