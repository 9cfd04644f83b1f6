//! Rolling replacement of an app's instances.

use serde_json::{Value, json};

use super::starting::STATS_POLL;
use super::summary::running;
use crate::args::RolloutFlags;
use crate::client::Api;
use crate::client::resource::{App, Deployment, Stats};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Replace the app's instances one after another, by those of a droplet if one is given, and wait.
pub(crate) async fn roll(
    context: &Context,
    api: &Api,
    app: &App,
    droplet: Option<&str>,
    flags: &RolloutFlags,
) -> Outcome {
    let mut body = json!({
        "strategy": "rolling",
        "relationships": {"app": {"data": {"guid": app.guid}}},
    });
    if let Some(guid) = droplet {
        body["droplet"] = json!({"guid": guid});
    }
    if let Some(count) = flags.max_in_flight {
        body["options"] = json!({"max_in_flight": count});
    }
    context.terminal.say(format!("Rolling {} out...", app.name));
    let deployment: Deployment = api.post("/v3/deployments", &body).await?;
    let path = format!("/v3/deployments/{}", deployment.guid);
    let progress = context.terminal.progress("replacing instances");
    let started = context.clock.monotonic();
    loop {
        let now: Deployment = api.get(&path).await?;
        progress.message(&format!(
            "replacing instances: {}",
            now.status.reason.to_lowercase()
        ));
        if flags.no_wait && one_runs(api, &now).await? {
            return Ok(());
        }
        if now.status.value == "FINALIZED" {
            return match now.status.reason.as_str() {
                "DEPLOYED" => Ok(()),
                reason => Err(stopped(app, reason)),
            };
        }
        let timeout = context.environment.startup_timeout;
        if context.clock.monotonic().saturating_sub(started) > timeout {
            let cancelled: Result<Value, _> = api
                .post(&format!("{path}/actions/cancel"), &json!({}))
                .await;
            if let Err(error) = cancelled {
                context
                    .terminal
                    .warn(format!("the deployment could not be cancelled: {error}"));
            }
            return Err(
                Failure::new(format!("the deployment took longer than {timeout:?}")).next(format!(
                    "the old instances stay; `cfx why {}` tells what it waited for",
                    app.name
                )),
            );
        }
        context.clock.sleep(STATS_POLL).await;
    }
}

async fn one_runs(api: &Api, deployment: &Deployment) -> Outcome<bool> {
    for process in &deployment.new_processes {
        let path = format!("/v3/processes/{}/stats", process.guid);
        if running(&api.list::<Stats>(&path).await?) > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn stopped(app: &App, reason: &str) -> Failure {
    let message = match reason {
        "SUPERSEDED" => "another deployment of the app took over".to_owned(),
        "CANCELED" => "the deployment was cancelled".to_owned(),
        other => format!("the deployment ended as {other}"),
    };
    Failure::new(message).next(format!("see how the app is: `cfx app {}`", app.name))
}
