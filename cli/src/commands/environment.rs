//! `env`, `set-env`, `unset-env`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::args::{EnvArgs, SetEnvArgs, UnsetEnvArgs};
use crate::client::resource::AppEnvironment;
use crate::context::Context;
use crate::failure::Outcome;

pub(crate) async fn env(context: &Context, args: &EnvArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let path = format!("/v3/apps/{}/env", app.guid);
    let environment: AppEnvironment = space.api.get(&path).await?;
    let terminal = &context.terminal;
    if args.json {
        return terminal.json(&environment);
    }
    terminal.note(format!(
        "Environment of app {} in {}:",
        app.name,
        space.place()
    ));
    let mut system = environment.system_env_json;
    system.extend(environment.application_env_json);
    for (title, part) in [
        ("System-Provided", &system),
        ("User-Provided", &environment.environment_variables),
        (
            "Running Environment Variable Group",
            &environment.running_env_json,
        ),
        (
            "Staging Environment Variable Group",
            &environment.staging_env_json,
        ),
    ] {
        section(context, title, part);
    }
    Ok(())
}

fn section(context: &Context, title: &str, part: &BTreeMap<String, Value>) {
    let terminal = &context.terminal;
    if part.is_empty() {
        terminal.say(format!("No {title} variables."));
    } else {
        terminal.say(terminal.style().strong(&format!("{title}:")));
        for (name, value) in part {
            terminal.say(format!("{name}: {}", shown(value)));
        }
    }
    terminal.blank();
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

pub(crate) async fn set_env(context: &Context, args: &SetEnvArgs) -> Outcome {
    context
        .terminal
        .say(format!("Setting {} of app {}...", args.name, args.app));
    change(
        context,
        &args.app,
        &args.name,
        Value::String(args.value.clone()),
    )
    .await
}

pub(crate) async fn unset_env(context: &Context, args: &UnsetEnvArgs) -> Outcome {
    context
        .terminal
        .say(format!("Removing {} of app {}...", args.name, args.app));
    change(context, &args.app, &args.name, Value::Null).await
}

async fn change(context: &Context, app: &str, name: &str, value: Value) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(app).await?;
    let path = format!("/v3/apps/{}/environment_variables", app.guid);
    let body = json!({"var": {name: value}});
    space.api.patch::<Value>(&path, &body).await?;
    context.terminal.ok();
    context.terminal.note(format!(
        "Next: the app sees it after `cfx restart {} --strategy rolling`",
        app.name
    ));
    Ok(())
}
