//! Manifests: `POST /v3/spaces/{guid}/actions/apply_manifest` and what it would change.

use axum::body::Body as RawBody;
use axum::response::IntoResponse;
use cfx_protocol::v3::manifest::ManifestDiff;
use cfx_store::commit::CommitError;
use http::header::CONTENT_TYPE;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::permission::Action;
use super::request::{Call, read};
use super::{app, app_log, response, space};
use crate::actions::manifest::apply::Applying;
use crate::actions::manifest::{self, MANIFEST_MAX_BYTES, Manifest, diff};
use crate::actions::{self, Refused};
use crate::state::WriteError;

const YAML: &str = "application/x-yaml";

/// Done when it is answered: in one commit, unless the manifest is too large for one.
pub(super) async fn apply(call: Call, body: RawBody) -> Answer {
    let space = space::find(&call, call.guid())?.guid;
    call.require(Action::AppWrite, Scope::Space(space))?;
    let manifest = parse(body).await?;
    let applying = Applying {
        manifest: &manifest,
        space,
    };
    let operation = "space.apply_manifest";
    let act = call.act();
    let at_once = call.context.state.write(|draft| {
        applying.all(draft, &act)?;
        Ok::<_, Refused>(actions::job::completed(draft, &act, operation))
    });
    let job = match at_once.await {
        Ok(job) => job,
        // It has been judged as a whole; only its size forbids one commit.
        Err(WriteError::Store(CommitError::Limit(_))) => {
            for step in applying.steps() {
                call.write(|draft, act| applying.one(draft, act, step))
                    .await?;
            }
            call.write(|draft, act| Ok(actions::job::completed(draft, act, operation)))
                .await?
        }
        Err(error) => return Err(error.into()),
    };
    tell(&call, space, &manifest);
    response::job(&call.base, job)
}

/// What applying it would change. Seeing that is for those who see the apps' secrets: it shows
/// variables.
pub(super) async fn difference(call: Call, body: RawBody) -> Answer {
    let space = space::find(&call, call.guid())?.guid;
    call.require(Action::AppWrite, Scope::Space(space))?;
    let manifest = parse(body).await?;
    response::created(ManifestDiff {
        diff: diff::diff(&call.state, space, &manifest),
    })
}

/// An app as a manifest.
pub(super) async fn show(call: Call) -> Answer {
    let app = app::find_to(&call, Action::AppSecretsRead, call.guid())?;
    let shown = diff::manifest_of(&call.state, &app);
    let text = serde_yaml::to_string(&shown).map_err(ApiError::internal)?;
    Ok(([(CONTENT_TYPE, YAML)], format!("---\n{text}")).into_response())
}

async fn parse(body: RawBody) -> Result<Manifest, ApiError> {
    let bytes = read(body, MANIFEST_MAX_BYTES).await?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| ApiError::unreadable("the manifest is not UTF-8 text"))?;
    Ok(manifest::parse(text)?)
}

/// `[API/0] Created app with guid ...`, as after other changes.
fn tell(call: &Call, space: cfx_protocol::id::SpaceGuid, manifest: &Manifest) {
    let state = call.context.state.read();
    for wanted in &manifest.apps {
        let Some(app) = actions::app::app_named(&state, space, &wanted.name) else {
            continue;
        };
        let is_new = call
            .state
            .get::<crate::state::app::App>(&app.guid)
            .is_none();
        let verb = if is_new { "Created" } else { "Updated" };
        app_log::tell(call, app.guid, format!("{verb} app with guid {}", app.guid));
    }
}
