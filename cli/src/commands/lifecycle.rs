//! `start`, `stop`, `restart`, `restage`, `restart-app-instance`.

use serde_json::{Value, json};

use super::{deployment, staging, starting, summary};
use crate::args::{
    RestageArgs, RestartAppInstanceArgs, RestartArgs, RolloutFlags, StartArgs, StopArgs,
};
use crate::client::resource::{App, Droplet, Package};
use crate::client::{Api, query};
use crate::context::{Context, InSpace};
use crate::failure::{Failure, Outcome};

pub(crate) async fn start(context: &Context, args: &StartArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let terminal = &context.terminal;
    terminal.say(format!("Starting app {} in {}...", app.name, space.place()));
    if app.is_started() {
        terminal.say(format!("App {} is started already.", app.name));
        return Ok(());
    }
    stage_if_newer(context, &space.api, &app).await?;
    start_and_wait(context, &space, &app).await
}

pub(crate) async fn stop(context: &Context, args: &StopArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let terminal = &context.terminal;
    terminal.say(format!("Stopping app {} in {}...", app.name, space.place()));
    if app.is_started() {
        action(&space.api, &app, "stop").await?;
    } else {
        terminal.say(format!("App {} is stopped already.", app.name));
    }
    terminal.ok();
    Ok(())
}

pub(crate) async fn restart(context: &Context, args: &RestartArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    context.terminal.say(format!(
        "Restarting app {} in {}...",
        app.name,
        space.place()
    ));
    let staged = stage_if_newer(context, &space.api, &app).await?;
    replace(context, &space, &app, staged.as_deref(), &args.rollout).await
}

pub(crate) async fn restage(context: &Context, args: &RestageArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    context.terminal.say(format!(
        "Restaging app {} in {}...",
        app.name,
        space.place()
    ));
    let newest = newest_package(&space.api, &app, &[("states", "READY")]).await?;
    let package = newest.ok_or_else(|| {
        Failure::new(format!("{} has no package to stage", app.name))
            .next(format!("push it: `cfx push {} -p FOLDER`", app.name))
    })?;
    let droplet = staging::stage(context, &space.api, &app, &package.guid).await?;
    if !args.rollout.is_rolling() {
        if app.is_started() {
            action(&space.api, &app, "stop").await?;
        }
        set_droplet(&space.api, &app, &droplet).await?;
        return start_and_wait(context, &space, &app).await;
    }
    replace(context, &space, &app, Some(&droplet), &args.rollout).await
}

pub(crate) async fn restart_instance(context: &Context, args: &RestartAppInstanceArgs) -> Outcome {
    let space = context.in_space()?;
    let app = space.app(&args.app).await?;
    let (kind, index) = (query::encode(&args.process), args.index);
    context.terminal.say(format!(
        "Restarting instance {index} of process {} of app {} in {}...",
        args.process,
        app.name,
        space.place()
    ));
    let path = format!("/v3/apps/{}/processes/{kind}/instances/{index}", app.guid);
    space.api.delete(&path).await.map_err(|error| {
        if error.is_not_found() {
            Failure::new(format!(
                "{} has no instance {}/{index}",
                app.name, args.process
            ))
            .next(format!("`cfx app {}` lists its instances", app.name))
        } else {
            error.into()
        }
    })?;
    context.terminal.ok();
    Ok(())
}

/// Rolling or with a stop in between, by the flags; then the app's page.
async fn replace(
    context: &Context,
    space: &InSpace,
    app: &App,
    droplet: Option<&str>,
    flags: &RolloutFlags,
) -> Outcome {
    if flags.is_rolling() {
        deployment::roll(context, &space.api, app, droplet, flags).await?;
        return summary::show(context, space, &app.name).await.map(drop);
    }
    if app.is_started() {
        action(&space.api, app, "stop").await?;
    }
    start_and_wait(context, space, app).await
}

pub(crate) async fn start_and_wait(context: &Context, space: &InSpace, app: &App) -> Outcome {
    action(&space.api, app, "start").await?;
    let waited = starting::wait(context, &space.api, app).await;
    summary::show(context, space, &app.name).await?;
    waited
}

/// `POST /v3/apps/:g/actions/...`.
pub(crate) async fn action(api: &Api, app: &App, verb: &str) -> Outcome {
    let path = format!("/v3/apps/{}/actions/{verb}", app.guid);
    api.post::<Value>(&path, &json!({}))
        .await
        .map_err(|error| {
            if error.is_unprocessable("Assign a droplet") {
                Failure::new(format!("{} has nothing to run yet", app.name))
                    .next(format!("push it: `cfx push {} -p FOLDER`", app.name))
            } else {
                error.into()
            }
        })?;
    Ok(())
}

pub(crate) async fn set_droplet(api: &Api, app: &App, droplet: &str) -> Outcome {
    let path = format!("/v3/apps/{}/relationships/current_droplet", app.guid);
    let body = json!({"data": {"guid": droplet}});
    api.patch::<Value>(&path, &body).await?;
    Ok(())
}

/// Stage the newest package if it has no droplet yet; the droplet if one was made.
async fn stage_if_newer(context: &Context, api: &Api, app: &App) -> Outcome<Option<String>> {
    let Some(package) = newest_package(api, app, &[]).await? else {
        return Ok(None);
    };
    let path = query::with(
        &format!("/v3/packages/{}/droplets", package.guid),
        &[("states", "STAGED"), ("per_page", "1"), ("page", "1")],
    );
    let staged: Vec<Droplet> = api.list(&path).await?;
    if !staged.is_empty() || package.state != "READY" {
        return Ok(None);
    }
    let droplet = staging::stage(context, api, app, &package.guid).await?;
    if app.is_started() {
        action(api, app, "stop").await?;
    }
    set_droplet(api, app, &droplet).await?;
    Ok(Some(droplet))
}

async fn newest_package(api: &Api, app: &App, more: &[(&str, &str)]) -> Outcome<Option<Package>> {
    let mut pairs = vec![
        ("app_guids", app.guid.as_str()),
        ("order_by", "-created_at"),
        ("per_page", "1"),
        ("page", "1"),
    ];
    pairs.extend(more);
    // One page is asked for, so the list is not followed.
    let path = query::with("/v3/packages", &pairs);
    let page: crate::client::resource::Page<Package> = api.get(&path).await?;
    Ok(page.resources.into_iter().next())
}
