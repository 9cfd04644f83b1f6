//! `/cfx/v1`: what the platform tells about itself beyond Cloud Foundry's API.

use cfx_protocol::id::AppGuid;
use cfx_protocol::v3::platform::{JoinToken, NewJoinToken, PlatformStatus};

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::permission::Action;
use super::query::Query;
use super::request::{Body, Call};
use super::response;
use crate::actions;
use crate::auth::digest;
use crate::state::app::App;

/// Random bytes of a join token.
const JOIN_SECRET_BYTES: usize = 32;

pub(super) async fn status(call: Call) -> Answer {
    call.require(Action::PlatformRead, Scope::Platform)?;
    let (platform, settings) = (&call.context.platform, &call.context.settings);
    let token = call.context.state.token();
    let (apps, instances) = platform.counts(&call.state);
    response::ok(PlatformStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: token.cluster,
        started_at: platform.started_at,
        token,
        apps_domain: settings.apps_domain.clone(),
        http_port: settings.http_port,
        https_port: settings.https_port,
        cells: platform.cell_counts(&call.context.clock),
        routers: platform.routers(),
        apps,
        instances,
        problems: platform.problems(&call.context.clock),
    })
}

pub(super) async fn cells(call: Call) -> Answer {
    call.require(Action::PlatformRead, Scope::Platform)?;
    let cells = call
        .context
        .platform
        .cells(&call.state, &call.context.clock);
    response::ok(cells)
}

/// Whoever sees the app may know why it is where it is.
pub(super) async fn why(call: Call, query: Query) -> Answer {
    let guid: AppGuid = call.guid();
    let app = call.state.get::<App>(&guid);
    let app = app.filter(|app| call.sees(Action::AppRead, app.space));
    let app = app.ok_or_else(|| ApiError::not_found("App"))?;
    let index = query.get("index").map(str::parse::<u32>).transpose();
    let index = index.map_err(|_| ApiError::bad_query("index must be a whole number"))?;
    response::ok(call.context.platform.why(&call.state, app, index))
}

pub(super) async fn create_join_token(call: Call, Body(new): Body<NewJoinToken>) -> Answer {
    call.require(Action::PlatformWrite, Scope::Platform)?;
    let token = call.context.ids.secret(JOIN_SECRET_BYTES);
    let digest = digest(&token);
    let expires_at = call
        .write(|draft, act| actions::join_token::create(draft, act, new.role, new.ttl_s, digest))
        .await?;
    let settings = &call.context.settings;
    response::created(JoinToken {
        token,
        role: new.role,
        expires_at,
        authority: settings.authority.clone(),
        controllers: settings.controllers.clone(),
    })
}
