//! What an app is told to do: start, stop, restart, and which droplet to run.

use std::sync::Arc;

use cfx_protocol::id::DropletGuid;
use cfx_protocol::v3::app::CurrentDroplet;
use cfx_protocol::v3::resource::{Reference, ToOne};

use super::error::{Answer, ApiError};
use super::permission::Action;
use super::request::{Body, Call};
use super::{app, app_log, droplet, response};
use crate::actions::{Act, Refused};
use crate::state::Draft;
use crate::state::app::App;

type Change = fn(&mut Draft, &Act<'_>, cfx_protocol::id::AppGuid) -> Result<Arc<App>, Refused>;

pub(super) async fn start(call: Call) -> Answer {
    change(&call, crate::actions::app::start, "Starting").await
}

pub(super) async fn stop(call: Call) -> Answer {
    change(&call, crate::actions::app::stop, "Stopping").await
}

pub(super) async fn restart(call: Call) -> Answer {
    change(&call, crate::actions::app::restart, "Restarted").await
}

async fn change(call: &Call, change: Change, said: &str) -> Answer {
    let app = app::find_to(call, Action::AppManage, call.guid())?;
    let app = call
        .write(|draft, act| change(draft, act, app.guid))
        .await?;
    app_log::tell(call, app.guid, format!("{said} app with guid {}", app.guid));
    response::ok(app::present(&call.base, &app))
}

/// The droplet that the next start runs.
pub(super) async fn current_droplet(call: Call) -> Answer {
    let app = app::find(&call, call.guid())?;
    let droplet = crate::actions::droplet::current(&call.state, &app);
    let droplet = droplet.ok_or_else(|| ApiError::not_found("Droplet"))?;
    response::ok(droplet::present(
        &call.base,
        &droplet,
        droplet::may_see(&call, &app),
    ))
}

pub(super) async fn current_droplet_relationship(call: Call) -> Answer {
    let app = app::find(&call, call.guid())?;
    if app.current_droplet.is_none() {
        return Err(ApiError::not_found("Droplet"));
    }
    response::ok(relationship(&call, &app))
}

pub(super) async fn set_current_droplet(
    call: Call,
    Body(wanted): Body<ToOne<DropletGuid>>,
) -> Answer {
    let app = app::find_to(&call, Action::AppWrite, call.guid())?;
    let Some(Reference { guid }) = wanted.data else {
        return Err(ApiError::unprocessable(
            "Current droplet cannot be removed. Replace it with another droplet.",
        ));
    };
    let app = call
        .write(|draft, act| crate::actions::app::assign_droplet(draft, act, app.guid, guid))
        .await?;
    app_log::tell(
        &call,
        app.guid,
        format!("Updated app with guid {} (droplet_guid {guid})", app.guid),
    );
    response::ok(relationship(&call, &app))
}

fn relationship(call: &Call, app: &App) -> CurrentDroplet {
    let path = format!("/v3/apps/{}", app.guid);
    let link = |below: &str| call.base.link(&format!("{path}{below}"));
    CurrentDroplet {
        data: app.current_droplet.map(|guid| Reference { guid }),
        links: [
            ("self".to_owned(), link("/relationships/current_droplet")),
            ("related".to_owned(), link("/droplets/current")),
        ]
        .into(),
    }
}
