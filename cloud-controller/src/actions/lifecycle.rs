//! How packages of an app become droplets: buildpacks and stack, or docker.

use cfx_protocol::v3::app::LifecyclePatch;

use super::Refused;
use crate::state::State;
use crate::state::app::Lifecycle;
use crate::state::buildpack::Buildpack;
use crate::state::feature_flag::FeatureFlag;
use crate::state::stack::Stack;

/// Most buildpacks of one app.
pub const BUILDPACKS_MAX: usize = 16;
/// The stack where nobody named a default: the machine's own read-only root.
const STACK_OF_LAST_RESORT: &str = "host";

/// What an app without a lifecycle of its own has.
#[must_use]
pub fn default(state: &State) -> Lifecycle {
    Lifecycle::Buildpack {
        buildpacks: Vec::new(),
        stack: default_stack(state),
    }
}

#[must_use]
pub fn default_stack(state: &State) -> String {
    let mut stacks = state.all::<Stack>();
    let found = stacks.find(|stack| stack.default);
    found.map_or_else(
        || STACK_OF_LAST_RESORT.to_owned(),
        |stack| stack.name.clone(),
    )
}

/// `old` with what a request changes of it.
pub fn patched(
    state: &State,
    old: &Lifecycle,
    patch: &LifecyclePatch,
    may_change_type: bool,
) -> Result<Lifecycle, Refused> {
    let old_kind = kind(old);
    let new_kind = patch.kind.as_deref().unwrap_or(old_kind);
    if new_kind != old_kind && !may_change_type {
        return Err(Refused::unprocessable(format!(
            "Lifecycle type cannot be changed from {old_kind} to {new_kind}"
        )));
    }
    match new_kind {
        "docker" => docker(state),
        "buildpack" => buildpack(state, old, patch),
        "cnb" => Err(Refused::unprocessable(
            "Lifecycle type \"cnb\" is not supported; use \"buildpack\" or \"docker\"",
        )),
        other => Err(Refused::Unprocessable(format!(
            "Lifecycle type is not included in the list: buildpack, docker (found \"{}\")",
            shortened(other)
        ))),
    }
}

/// Docker, if an operator has not switched it off.
pub fn docker(state: &State) -> Result<Lifecycle, Refused> {
    // Cloud Foundry's default is off; a platform of one's own may run what it is given.
    let flag = state.get::<FeatureFlag>(&"diego_docker".to_owned());
    if flag.is_some_and(|flag| !flag.enabled) {
        return Err(Refused::DockerDisabled);
    }
    Ok(Lifecycle::Docker)
}

fn buildpack(state: &State, old: &Lifecycle, patch: &LifecyclePatch) -> Result<Lifecycle, Refused> {
    let (old_buildpacks, old_stack) = match old {
        Lifecycle::Buildpack { buildpacks, stack } => (buildpacks.clone(), stack.clone()),
        Lifecycle::Docker => (Vec::new(), default_stack(state)),
    };
    let buildpacks = match &patch.data.buildpacks {
        None => old_buildpacks,
        Some(None) => Vec::new(),
        Some(Some(names)) => names.clone(),
    };
    let stack = match &patch.data.stack {
        None => old_stack,
        Some(None) => default_stack(state),
        Some(Some(name)) => name.clone(),
    };
    check_stack(state, &stack)?;
    check_buildpacks(state, &buildpacks)?;
    Ok(Lifecycle::Buildpack { buildpacks, stack })
}

fn check_stack(state: &State, name: &str) -> Result<(), Refused> {
    let mut stacks = state.all::<Stack>();
    if name == STACK_OF_LAST_RESORT || stacks.any(|stack| stack.name == name) {
        return Ok(());
    }
    Err(Refused::Unprocessable(format!(
        "Stack \"{}\" must be an existing stack",
        shortened(name)
    )))
}

/// Buildpacks that a user may name.
pub fn check_buildpacks(state: &State, names: &[String]) -> Result<(), Refused> {
    if names.len() > BUILDPACKS_MAX {
        return Err(Refused::Unprocessable(format!(
            "Buildpacks can only contain {BUILDPACKS_MAX} buildpacks at most"
        )));
    }
    for name in names {
        if name.contains("://") || name.starts_with("git@") {
            return Err(Refused::Unprocessable(format!(
                "Buildpacks from a URL are not supported (\"{}\"): an operator can upload it with \
                 `cf create-buildpack`, then name it",
                shortened(name)
            )));
        }
        if !state.all::<Buildpack>().any(|known| known.name == *name) {
            return Err(Refused::Unprocessable(format!(
                "Specified unknown buildpack name: \"{}\". Buildpack must be an existing admin \
                 buildpack or a valid git URI",
                shortened(name)
            )));
        }
    }
    Ok(())
}

/// The word of the v3 API.
#[must_use]
pub fn kind(lifecycle: &Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Buildpack { .. } => "buildpack",
        Lifecycle::Docker => "docker",
    }
}

/// What a user typed, short enough to print back.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
