//! `autoscale add|remove|rules|enable|disable|pause|resume`.

use http::Method;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{parse, path};
use crate::args::{AddRuleArgs, PauseArgs, RemoveRuleArgs, RulesArgs};
use crate::client::Api;
use crate::client::resource::App;
use crate::context::{Context, InSpace};
use crate::failure::{Failure, Outcome};
use crate::output::{Table, seconds};

/// An app's rules, as the autoscaler has them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rules {
    pub(super) statements: Vec<String>,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    pause: Option<Pause>,
    /// They came as an app-autoscaler policy.
    #[serde(default)]
    is_policy: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pause {
    until: Option<i64>,
    #[serde(default)]
    reason: String,
}

/// None when the app has none.
pub(super) async fn of(api: &Api, app: &App) -> Outcome<Option<Rules>> {
    Ok(api.find(&path(app, "cfx/rules")).await?)
}

pub(super) async fn add(context: &Context, args: &AddRuleArgs) -> Outcome {
    // Before anything is sent, so that an error points into what was typed.
    parse(&args.rules.join("\n"))?;
    let (space, app) = find(context, &args.app).await?;
    let body = json!({ "statements": args.rules });
    let rules: Rules = space.api.post(&path(&app, "cfx/rules"), &body).await?;
    if !args.json {
        context.terminal.say(format!("Rules of app {}:", app.name));
    }
    print(context, &rules, args.json)
}

pub(super) async fn remove(context: &Context, args: &RemoveRuleArgs) -> Outcome {
    let (space, app) = find(context, &args.app).await?;
    let what = match args.number {
        Some(number) => format!("cfx/rules/{number}"),
        None => "cfx/rules".to_owned(),
    };
    let path = path(&app, &what);
    let answer = space.api.send(Method::DELETE, &path, None).await?;
    let rules: Rules = serde_json::from_slice(&answer.body).map_err(|error| {
        Failure::new(format!(
            "the autoscaler's answer cannot be understood: {error}"
        ))
    })?;
    if !args.json && rules.statements.is_empty() {
        context
            .terminal
            .say(format!("App {} has no rules any more.", app.name));
        return Ok(());
    }
    print(context, &rules, args.json)
}

pub(super) async fn rules(context: &Context, args: &RulesArgs) -> Outcome {
    let (space, app) = find(context, &args.app).await?;
    match of(&space.api, &app).await? {
        Some(rules) => print(context, &rules, args.json),
        None if args.json => context.terminal.json(&json!({ "statements": [] })),
        None => {
            context.terminal.say(format!(
                "App {} has no rules. `cfx autoscale add {} \"scale 40% if CPU >90% for 1h\"` adds one.",
                app.name, app.name
            ));
            Ok(())
        }
    }
}

pub(super) async fn switch(context: &Context, app: &str, enabled: bool) -> Outcome {
    let (space, app) = find(context, app).await?;
    let body = json!({ "enabled": enabled }).to_string();
    let path = path(&app, "cfx/enabled");
    space
        .api
        .send(Method::PUT, &path, Some(body.into()))
        .await?;
    context.terminal.ok();
    Ok(())
}

pub(super) async fn pause(context: &Context, args: &PauseArgs) -> Outcome {
    let (space, app) = find(context, &args.app).await?;
    let body = json!({ "seconds": args.length, "reason": args.reason }).to_string();
    let path = path(&app, "cfx/pause");
    space
        .api
        .send(Method::PUT, &path, Some(body.into()))
        .await?;
    context.terminal.ok();
    Ok(())
}

pub(super) async fn resume(context: &Context, app: &str) -> Outcome {
    let (space, app) = find(context, app).await?;
    let path = path(&app, "cfx/pause");
    space.api.send(Method::DELETE, &path, None).await?;
    context.terminal.ok();
    Ok(())
}

async fn find(context: &Context, name: &str) -> Outcome<(InSpace, App)> {
    let space = context.in_space()?;
    let app = space.app(name).await?;
    Ok((space, app))
}

fn print(context: &Context, rules: &Rules, json: bool) -> Outcome {
    let terminal = &context.terminal;
    if json {
        return terminal.json(rules);
    }
    let mut table = Table::new(["", "rule"]);
    for (number, statement) in (1..).zip(&rules.statements) {
        let number: u32 = number;
        table.row([number.to_string(), statement.clone()]);
    }
    terminal.table(&table);
    if rules.is_policy {
        terminal.say("They mean what the app-autoscaler policy says that they were made of.");
    }
    if !rules.enabled {
        terminal.warn("the rules are switched off; `cfx autoscale enable APP` switches them on");
    }
    if let Some(pause) = &rules.pause {
        terminal.warn(paused(pause));
    }
    Ok(())
}

fn paused(pause: &Pause) -> String {
    let until = pause.until.and_then(|at| Timestamp::from_second(at).ok());
    let until = match until {
        Some(at) => format!("until {}", seconds(at)),
        None => "until `cfx autoscale resume APP`".to_owned(),
    };
    match pause.reason.as_str() {
        "" => format!("the rules are paused {until}"),
        reason => format!("the rules are paused {until}: {reason}"),
    }
}
