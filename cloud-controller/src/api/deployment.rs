//! `/v3/deployments`.

use std::sync::Arc;

use cfx_protocol::id::DeploymentGuid;
use cfx_protocol::v3::app::AppRelationship;
use cfx_protocol::v3::deployment::{self as wire, NewDeployment};
use cfx_protocol::v3::resource::{Link, Links, Reference, ToOne};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Base, Body, Call};
use super::response::{self, metadata, seconds};
use super::{app_log, package};
use crate::actions;
use crate::actions::process::WEB;
use crate::state::app::App;
use crate::state::deployment::{Deployment, DeploymentStatus};
use crate::state::meta::Meta;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let apps = query.filter("app_guids");
    let states = query.filter("states");
    let values = query.filter("status_values");
    let reasons = query.filter("status_reasons");
    let state = call.state.clone();
    let admitted = state.all::<Deployment>().filter(|deployment| {
        let status = deployment.status;
        let app = state.get::<App>(&deployment.app);
        app.is_some_and(|app| call.sees(Action::AppRead, app.space))
            && apps.admits_guid(deployment.app)
            && values.admits(value(status))
            && reasons.admits(actions::deployment::word(status))
            && states.admits(old_word(status))
    });
    pagination::page(&call.base, &query, admitted.cloned(), |deployment| {
        present(&call.base, deployment)
    })
}

pub(super) async fn show(call: Call) -> Answer {
    let (_, deployment) = find(&call, call.guid())?;
    response::ok(present(&call.base, &deployment))
}

pub(super) async fn create(call: Call, Body(new): Body<NewDeployment>) -> Answer {
    if let Some(app) = new.relationships.app.data {
        package::require_app(&call, app.guid, Action::AppManage)?;
    }
    let deployment = call
        .write(|draft, act| actions::deployment::create_deployment(draft, act, &new))
        .await?;
    app_log::tell(
        &call,
        deployment.app,
        format!("Creating deployment for app with guid {}", deployment.app),
    );
    response::created(present(&call.base, &deployment))
}

pub(super) async fn cancel(call: Call) -> Answer {
    let (app, deployment) = find(&call, call.guid())?;
    call.require(Action::AppManage, Scope::Space(app.space))?;
    let deployment = call
        .write(|draft, act| actions::deployment::cancel_deployment(draft, act, deployment.guid))
        .await?;
    response::ok(present(&call.base, &deployment))
}

/// Only a paused deployment goes on by command, and a rolling one never pauses.
pub(super) async fn continue_(call: Call) -> Answer {
    let (app, deployment) = find(&call, call.guid())?;
    call.require(Action::AppManage, Scope::Space(app.space))?;
    Err(ApiError::unprocessable(format!(
        "Cannot continue a deployment with status: {} and reason: {}",
        value(deployment.status),
        actions::deployment::word(deployment.status)
    )))
}

fn find(call: &Call, guid: DeploymentGuid) -> Result<(Arc<App>, Arc<Deployment>), ApiError> {
    let not_found = || ApiError::not_found("Deployment");
    let deployment = call.state.get::<Deployment>(&guid).cloned();
    let deployment = deployment.ok_or_else(not_found)?;
    let app = call.state.get::<App>(&deployment.app).cloned();
    let app = app.filter(|app| call.sees(Action::AppRead, app.space));
    Ok((app.ok_or_else(not_found)?, deployment))
}

fn present(base: &Base, deployment: &Deployment) -> wire::Deployment {
    let status = deployment.status;
    wire::Deployment {
        guid: deployment.guid,
        created_at: seconds(deployment.meta.created_at),
        updated_at: seconds(deployment.meta.updated_at),
        state: old_word(status).to_owned(),
        status: wire::DeploymentStatus {
            value: value(status).to_owned(),
            reason: actions::deployment::word(status).to_owned(),
            details: wire::DeploymentDetails {
                last_successful_healthcheck: deployment.last_healthy_at.map(seconds),
                last_status_change: seconds(deployment.last_status_change),
            },
        },
        strategy: "rolling".to_owned(),
        options: wire::DeploymentOptions {
            max_in_flight: deployment.max_in_flight,
        },
        droplet: deployment.droplet.map(|guid| Reference { guid }),
        previous_droplet: deployment.previous_droplet.map(|guid| Reference { guid }),
        new_processes: vec![wire::NewProcess {
            guid: deployment.process,
            kind: WEB.to_owned(),
        }],
        relationships: AppRelationship {
            app: ToOne::to(deployment.app),
        },
        metadata: metadata(&deployment.meta),
        links: links(base, deployment),
    }
}

fn links(base: &Base, deployment: &Deployment) -> Links {
    let path = format!("/v3/deployments/{}", deployment.guid);
    let mut links = Links::from([
        ("self".to_owned(), base.link(&path)),
        (
            "app".to_owned(),
            base.link(&format!("/v3/apps/{}", deployment.app)),
        ),
    ]);
    if deployment.status == DeploymentStatus::Deploying {
        let cancel = Link::post(base.href(&format!("{path}/actions/cancel")));
        links.insert("cancel".to_owned(), cancel);
    }
    links
}

fn value(status: DeploymentStatus) -> &'static str {
    if status.is_active() {
        "ACTIVE"
    } else {
        "FINALIZED"
    }
}

/// What clients knew before there was `status`.
fn old_word(status: DeploymentStatus) -> &'static str {
    match status {
        DeploymentStatus::Superseded => "DEPLOYED",
        other => actions::deployment::word(other),
    }
}

impl Listed for Deployment {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
