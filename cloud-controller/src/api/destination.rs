//! `/v3/routes/{guid}/destinations`.

use cfx_protocol::id::DestinationGuid;
use cfx_protocol::route::EndpointProtocol;
use cfx_protocol::v3::route::{self as wire, NewDestination, NewDestinations};

use super::error::{Answer, ApiError};
use super::permission::Action;
use super::request::{Body, Call};
use super::response::{self, seconds};
use super::route::{find, find_to};
use crate::actions;
use crate::state::app::App;
use crate::state::route::{Destination, Route};

/// Where a destination leads that names no port.
const PORT_DEFAULT: u16 = 8_080;

pub(super) async fn list(call: Call) -> Answer {
    let route = find(&call, call.guid())?;
    response::ok(present(&call, &route))
}

pub(super) async fn insert(call: Call, Body(new): Body<NewDestinations>) -> Answer {
    let route = find_to(&call, call.guid())?;
    require_apps(&call, &new.destinations)?;
    let route = call
        .write(|draft, act| {
            let new = &new.destinations;
            actions::destination::insert_destinations(draft, act, route.guid, new)
        })
        .await?;
    response::ok(present(&call, &route))
}

pub(super) async fn replace(call: Call, Body(new): Body<NewDestinations>) -> Answer {
    let route = find_to(&call, call.guid())?;
    require_apps(&call, &new.destinations)?;
    let route = call
        .write(|draft, act| {
            let new = &new.destinations;
            actions::destination::replace_destinations(draft, act, route.guid, new)
        })
        .await?;
    response::ok(present(&call, &route))
}

pub(super) async fn delete(call: Call) -> Answer {
    let route = find_to(&call, call.guid())?;
    let destination: DestinationGuid = call.guid_of("destination");
    call.write(|draft, act| {
        actions::destination::delete_destination(draft, act, route.guid, destination)
    })
    .await?;
    response::no_content()
}

/// An app that the caller does not see is as one that does not exist.
fn require_apps(call: &Call, new: &[NewDestination]) -> Result<(), ApiError> {
    let hidden = new.iter().map(|new| new.app.guid).find(|guid| {
        let app = call.state.get::<App>(guid);
        !app.is_some_and(|app| call.sees(Action::AppRead, app.space))
    });
    match hidden {
        None => Ok(()),
        Some(guid) => Err(ApiError::unprocessable(format!(
            "App(s) with guid(s) \"{guid}\" do not exist or you do not have access."
        ))),
    }
}

fn present(call: &Call, route: &Route) -> wire::Destinations {
    let path = format!("/v3/routes/{}", route.guid);
    wire::Destinations {
        destinations: present_all(route),
        links: [
            (
                "self".to_owned(),
                call.base.link(&format!("{path}/destinations")),
            ),
            ("route".to_owned(), call.base.link(&path)),
        ]
        .into(),
    }
}

pub(super) fn present_all(route: &Route) -> Vec<wire::Destination> {
    let one = |to: &Destination| wire::Destination {
        guid: to.guid,
        app: wire::DestinationApp {
            guid: to.app,
            process: wire::DestinationProcess {
                kind: to.process_type.clone(),
            },
        },
        weight: None,
        port: to.port.unwrap_or(PORT_DEFAULT),
        protocol: match to.protocol {
            EndpointProtocol::Http1 => "http1",
            EndpointProtocol::Http2 => "http2",
        }
        .to_owned(),
        created_at: seconds(route.meta.created_at),
        updated_at: seconds(route.meta.updated_at),
    };
    route.destinations.iter().map(one).collect()
}
