//! Stacks: the one that every platform has, and those that cells bring.

use super::{Act, name};
use crate::state::meta::Meta;
use crate::state::stack::Stack;
use crate::state::{Draft, State};

/// The stack that every cell has: the machine's own root, read only.
pub const HOST_STACK: &str = "host";
/// Stacks of a platform: a cell that brings more than that is misconfigured.
const STACKS_MAX: usize = 200;

/// The default one, on a platform that has none.
pub fn ensure_default(draft: &mut Draft, act: &Act<'_>) {
    if draft.all::<Stack>().next().is_none() {
        let description = "The machine's own programs and libraries, read only";
        put(draft, act, HOST_STACK, description, true);
    }
}

/// Does a cell bring one that apps cannot name yet?
#[must_use]
pub fn is_news(state: &State, brought: &[String]) -> bool {
    brought.iter().any(|name| is_new(state, name))
}

/// Let apps name what a cell brings. A stack stays when its last cell goes: apps may ask for it,
/// and `cfx why` says that no cell has it.
pub fn learn(draft: &mut Draft, act: &Act<'_>, brought: &[String]) {
    for name in brought {
        if is_new(draft, name) && draft.all::<Stack>().count() < STACKS_MAX {
            put(
                draft,
                act,
                name,
                "A root file system that cells bring",
                false,
            );
        }
    }
}

fn is_new(state: &State, name: &str) -> bool {
    name::check(name).is_ok() && state.all::<Stack>().all(|stack| stack.name != name)
}

fn put(draft: &mut Draft, act: &Act<'_>, name: &str, description: &str, default: bool) {
    draft.put(Stack {
        guid: act.ids.guid(),
        name: name.to_owned(),
        description: description.to_owned(),
        default,
        meta: Meta::new(act.now),
    });
}
