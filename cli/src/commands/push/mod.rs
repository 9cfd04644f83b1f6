//! `push`: manifest, bits, staging, start; in the order of calls of the cf CLI.
//!
//! ```text
//! manifest_diff -> apply_manifest -> per app: package -> build -> droplet -> start | roll -> page
//! ```

mod bits;
mod plan;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{deployment, lifecycle, staging, starting, summary};
use crate::args::PushArgs;
use crate::client::resource::{App, DiffLine, ManifestDiff, Package};
use crate::context::{Context, InSpace};
use crate::failure::{Failure, Outcome};
use crate::manifest::{AppManifest, Manifest};

/// Media type of manifests.
const YAML: &str = "application/x-yaml";

pub(crate) async fn push(context: &Context, args: PushArgs) -> Outcome {
    let space = context.in_space()?;
    let manifest = plan::manifest(&args)?;
    let password = plan::docker_password(context, &manifest)?;
    let terminal = &context.terminal;
    terminal.say(format!(
        "Pushing {} to {}...",
        manifest.names(),
        space.place()
    ));
    apply_manifest(context, &space, &manifest, &args).await?;
    for app in &manifest.apps {
        push_app(context, &space, app, &args, password.as_deref()).await?;
    }
    Ok(())
}

/// This creates the apps, their routes, environments and processes.
async fn apply_manifest(
    context: &Context,
    space: &InSpace,
    manifest: &Manifest,
    args: &PushArgs,
) -> Outcome {
    let guid = &space.space.guid;
    let yaml = Bytes::from(manifest.to_yaml());
    if let Some(file) = &manifest.file {
        context
            .terminal
            .say(format!("Applying manifest {}...", file.display()));
        let path = format!("/v3/spaces/{guid}/manifest_diff");
        match space
            .api
            .send_as(Method::POST, &path, YAML, yaml.clone())
            .await
        {
            Ok(answer) => show_diff(context, &answer.body, args.redact_env),
            // The diff is a courtesy.
            Err(error) if error.status() == Some(StatusCode::INTERNAL_SERVER_ERROR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let path = format!("/v3/spaces/{guid}/actions/apply_manifest");
    let answer = space.api.send_as(Method::POST, &path, YAML, yaml).await?;
    space.api.finish(&answer).await?;
    Ok(())
}

fn show_diff(context: &Context, body: &[u8], redact_env: bool) {
    let Ok(ManifestDiff { diff }) = serde_json::from_slice(body) else {
        return;
    };
    let style = context.terminal.style();
    for DiffLine {
        op,
        path,
        value,
        was,
    } in &diff
    {
        let secret = redact_env && path.contains("/env/");
        let shown = |value: &Value| match value {
            _ if secret => "[hidden]".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let path = path.trim_start_matches("/applications/");
        if op != "add" && !was.is_null() {
            let line = format!(" - {path}: {}", shown(was));
            context.terminal.say(style.bad(&line));
        }
        if op != "remove" {
            let line = format!(" + {path}: {}", shown(value));
            context.terminal.say(style.good(&line));
        }
    }
}

async fn push_app(
    context: &Context,
    space: &InSpace,
    manifest: &AppManifest,
    args: &PushArgs,
    password: Option<&str>,
) -> Outcome {
    let app = space.app(&manifest.name).await?;
    let droplet = if let Some(file) = &args.droplet {
        bits::upload_droplet(context, &space.api, &app, file).await?
    } else {
        let package = package(context, space, &app, manifest, password).await?;
        if args.no_start {
            if app.is_started() {
                lifecycle::action(&space.api, &app, "stop").await?;
            }
            return finish(context, space, &app).await;
        }
        staging::stage(context, &space.api, &app, &package.guid).await?
    };
    if args.no_start {
        lifecycle::set_droplet(&space.api, &app, &droplet).await?;
        return finish(context, space, &app).await;
    }
    start(context, space, &app, args, &droplet).await
}

async fn package(
    context: &Context,
    space: &InSpace,
    app: &App,
    manifest: &AppManifest,
    password: Option<&str>,
) -> Outcome<Package> {
    let Some(image) = manifest.docker("image") else {
        let folder = match &manifest.path {
            Some(path) => path.clone(),
            None => plan::current_folder()?,
        };
        return bits::upload_package(context, &space.api, app, &folder).await;
    };
    let mut data = json!({"image": image});
    if let Some(username) = manifest.docker("username") {
        data["username"] = json!(username);
        data["password"] = json!(password);
    }
    let body = json!({
        "type": "docker",
        "data": data,
        "relationships": {"app": {"data": {"guid": app.guid}}},
    });
    Ok(space.api.post("/v3/packages", &body).await?)
}

async fn start(
    context: &Context,
    space: &InSpace,
    app: &App,
    args: &PushArgs,
    droplet: &str,
) -> Outcome {
    if args.task {
        lifecycle::set_droplet(&space.api, app, droplet).await?;
        return finish(context, space, app).await;
    }
    // The first push of an app has nothing to be replaced gently.
    if args.rollout.is_rolling() && app.is_started() {
        deployment::roll(context, &space.api, app, Some(droplet), &args.rollout).await?;
        return finish(context, space, app).await;
    }
    lifecycle::set_droplet(&space.api, app, droplet).await?;
    context
        .terminal
        .say(format!("Starting app {}...", app.name));
    lifecycle::action(&space.api, app, "restart").await?;
    let waited = starting::wait(context, &space.api, app).await;
    match waited {
        Ok(()) => finish(context, space, app).await,
        Err(failure) => {
            summary::show(context, space, &app.name).await?;
            Err(failure)
        }
    }
}

/// The app's page and, last, where it answers.
async fn finish(context: &Context, space: &InSpace, app: &App) -> Outcome {
    let summary = summary::show(context, space, &app.name).await?;
    if summary.state == "started" && !summary.urls.is_empty() {
        context.terminal.blank();
        for url in &summary.urls {
            context.terminal.say(context.terminal.style().name(url));
        }
    }
    Ok(())
}

/// A package that cannot be staged.
fn unusable(package: &Package) -> Failure {
    let detail = package
        .data
        .error
        .clone()
        .unwrap_or_else(|| package.state.to_lowercase());
    Failure::new(format!("the platform cannot use the package: {detail}"))
        .next("correct what it says, and push again")
}
