//! Environment variables of apps: what they may be, and what an instance gets of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cfx_protocol::id::AppGuid;
use serde_json::{Map, Value, json};

use super::limits::check_fits;
use super::{Act, Refused, Target};
use crate::state::app::{App, EnvironmentGroup};
use crate::state::meta::Meta;
use crate::state::{Draft, State};

/// What takes the room when an app's record is too large.
const WHAT: &str = "The environment variables of the app";

/// The groups that are merged under every app's own variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Running,
    Staging,
}

impl Group {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Staging => "staging",
        }
    }
}

/// Variables of a request that sets them all. Values must be text.
pub fn variables(given: &Map<String, Value>) -> Result<BTreeMap<String, String>, Refused> {
    let mut variables = BTreeMap::new();
    for (name, value) in given {
        check_variable(name)?;
        variables.insert(name.clone(), text(name, value)?);
    }
    Ok(variables)
}

/// Change some of an app's variables; null removes one.
pub fn patch_environment(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: AppGuid,
    patch: &Map<String, Value>,
) -> Result<Arc<App>, Refused> {
    let app = draft.get::<App>(&guid).ok_or(Refused::NotFound("App"))?;
    let mut app = App::clone(app);
    for (name, value) in patch {
        check_variable(name)?;
        if value.is_null() {
            app.environment.remove(name);
        } else {
            app.environment.insert(name.clone(), text(name, value)?);
        }
    }
    app.meta.updated_at = act.now;
    check_fits(&app, WHAT)?;
    let target = Target::in_space(draft, app.space, "app", app.guid, &app.name);
    // Values are secrets; names are not.
    let names: Vec<&String> = patch.keys().collect();
    let data =
        json!({"request": {"environment_variables": "[PRIVATE DATA HIDDEN]", "names": names}});
    act.record(draft, "audit.app.update", target, data);
    Ok(draft.put(app))
}

/// The variables that an instance of the app gets from people: the group's under the app's own.
#[must_use]
pub fn merged(state: &State, group: Group, app: &App) -> BTreeMap<String, String> {
    let mut variables = group_variables(state, group);
    variables.extend(app.environment.clone());
    variables
}

/// Variables that an operator gave to all apps.
#[must_use]
pub fn group_variables(state: &State, group: Group) -> BTreeMap<String, String> {
    state
        .get::<EnvironmentGroup>(&group.name().to_owned())
        .map(|group| group.variables.clone())
        .unwrap_or_default()
}

/// Change some variables of a group; null removes one.
pub fn patch_group(
    draft: &mut Draft,
    act: &Act<'_>,
    group: Group,
    patch: &Map<String, Value>,
) -> Result<(), Refused> {
    let name = group.name().to_owned();
    let known = draft.get::<EnvironmentGroup>(&name);
    let mut changed = known.map_or_else(
        || EnvironmentGroup {
            name,
            variables: BTreeMap::new(),
            meta: Meta::new(act.now),
        },
        |known| EnvironmentGroup::clone(known),
    );
    for (name, value) in patch {
        check_variable(name)?;
        if value.is_null() {
            changed.variables.remove(name);
        } else {
            changed.variables.insert(name.clone(), text(name, value)?);
        }
    }
    changed.meta.updated_at = act.now;
    check_fits(&changed, "The variables of the group")?;
    draft.put(changed);
    Ok(())
}

/// May people set it?
pub fn check_variable(name: &str) -> Result<(), Refused> {
    let refuse = |why: &str| {
        Err(Refused::Unprocessable(format!(
            "Environment variables {why}"
        )))
    };
    if name.is_empty() {
        return refuse("cannot have an empty name");
    }
    if name.contains('=') || name.contains('\0') {
        return refuse("cannot have \"=\" or a null character in their name");
    }
    if name == "PORT" {
        return refuse("cannot set PORT");
    }
    let upper = name.to_ascii_uppercase();
    match ["VCAP_", "VMC_"]
        .iter()
        .find(|own| upper.starts_with(**own))
    {
        Some(own) => refuse(&format!("cannot start with {own}")),
        None => Ok(()),
    }
}

fn text(name: &str, value: &Value) -> Result<String, Refused> {
    match value {
        Value::String(text) if text.contains('\0') => Err(Refused::Unprocessable(format!(
            "The environment variable '{name}' cannot hold a null character"
        ))),
        Value::String(text) => Ok(text.clone()),
        other => Err(Refused::Unprocessable(format!(
            "Non-string value in environment variable for key '{name}', value '{other}'"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_platform_and_values_that_are_no_text_are_refused() {
        for name in ["", "PORT", "VCAP_APPLICATION", "vmc_x", "A=B", "A\0"] {
            assert!(check_variable(name).is_err(), "{name}");
        }
        for name in ["PATH", "vcapish", "A.B", "ünïcode"] {
            assert_eq!(check_variable(name), Ok(()), "{name}");
        }
        let given = json!({"N": 1});
        let refused = variables(given.as_object().expect("object")).expect_err("a number");
        assert!(refused.to_string().contains("'N'"), "{refused}");
    }
}
