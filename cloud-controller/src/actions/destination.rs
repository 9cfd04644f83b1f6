//! Where routes lead: processes of apps of the same space.

use std::sync::Arc;

use cfx_protocol::id::{DestinationGuid, RouteGuid};
use cfx_protocol::route::EndpointProtocol;
use cfx_protocol::v3::route::NewDestination;
use serde_json::json;

use super::process::WEB;
use super::route::find;
use super::{Act, Refused, Target};
use crate::state::Draft;
use crate::state::app::App;
use crate::state::route::{Destination, Route};

/// Most destinations of one route (Cloud Foundry's limit).
const DESTINATIONS_MAX: usize = 100;

/// Add destinations; those that are there already stay as they are.
pub fn insert_destinations(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: RouteGuid,
    new: &[NewDestination],
) -> Result<Arc<Route>, Refused> {
    let route = find(draft, guid)?;
    let mut destinations = route.destinations.clone();
    for new in new {
        let destination = destination(draft, act, &route, new)?;
        if !destinations.iter().any(|old| same(old, &destination)) {
            destinations.push(destination);
        }
    }
    replace(draft, act, &route, destinations)
}

/// Lead to exactly these. What stays keeps its guid.
pub fn replace_destinations(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: RouteGuid,
    new: &[NewDestination],
) -> Result<Arc<Route>, Refused> {
    let route = find(draft, guid)?;
    let mut destinations: Vec<Destination> = Vec::new();
    for new in new {
        let destination = destination(draft, act, &route, new)?;
        if destinations.iter().any(|other| same(other, &destination)) {
            return Err(Refused::unprocessable(
                "Destinations cannot contain duplicate entries",
            ));
        }
        let old = route
            .destinations
            .iter()
            .find(|old| same(old, &destination));
        destinations.push(old.cloned().unwrap_or(destination));
    }
    replace(draft, act, &route, destinations)
}

pub fn delete_destination(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: RouteGuid,
    destination: DestinationGuid,
) -> Result<(), Refused> {
    let route = find(draft, guid)?;
    let mut kept = route.destinations.clone();
    kept.retain(|old| old.guid != destination);
    if kept.len() == route.destinations.len() {
        return Err(Refused::unprocessable(
            "Unable to unmap route from destination. Ensure the route has a destination with this \
             guid.",
        ));
    }
    replace(draft, act, &route, kept).map(drop)
}

/// Put the new list, with one event for each app that is mapped or unmapped.
pub(super) fn replace(
    draft: &mut Draft,
    act: &Act<'_>,
    route: &Arc<Route>,
    destinations: Vec<Destination>,
) -> Result<Arc<Route>, Refused> {
    if destinations.len() > DESTINATIONS_MAX {
        return Err(Refused::Unprocessable(format!(
            "Routes can be mapped to at most {DESTINATIONS_MAX} destinations."
        )));
    }
    if destinations == route.destinations {
        return Ok(route.clone());
    }
    let gone = |to: &&Destination| !destinations.iter().any(|other| other.guid == to.guid);
    let came = |to: &&Destination| !route.destinations.iter().any(|other| other.guid == to.guid);
    let unmapped = route.destinations.iter().filter(gone);
    for to in unmapped.cloned().collect::<Vec<_>>() {
        record(draft, act, route, &to, "audit.app.unmap-route");
    }
    let mapped = destinations.iter().filter(came);
    for to in mapped.cloned().collect::<Vec<_>>() {
        record(draft, act, route, &to, "audit.app.map-route");
    }
    let mut route = Route::clone(route);
    route.destinations = destinations;
    route.meta.updated_at = act.now;
    Ok(draft.put(route))
}

fn record(draft: &mut Draft, act: &Act<'_>, route: &Route, to: &Destination, kind: &str) {
    let Some(app) = draft.get::<App>(&to.app).cloned() else {
        return;
    };
    let target = Target::in_space(draft, app.space, "app", app.guid, &app.name);
    let data = json!({
        "route_guid": route.guid,
        "destination_guid": to.guid,
        "process_type": to.process_type,
        "app_port": to.port,
    });
    act.record(draft, kind, target, data);
}

fn destination(
    draft: &Draft,
    act: &Act<'_>,
    route: &Route,
    new: &NewDestination,
) -> Result<Destination, Refused> {
    let app = draft.get::<App>(&new.app.guid).ok_or_else(|| {
        Refused::Unprocessable(format!(
            "App(s) with guid(s) \"{}\" do not exist or you do not have access.",
            new.app.guid
        ))
    })?;
    if app.space != route.space {
        return Err(Refused::unprocessable(
            "Routes cannot be mapped to destinations in different spaces.",
        ));
    }
    if new.weight.is_some() {
        return Err(Refused::unprocessable(
            "Destination weights are not supported",
        ));
    }
    let process_type = match &new.app.process {
        None => WEB.to_owned(),
        Some(process) if process.kind.trim().is_empty() => {
            return Err(Refused::unprocessable(
                "Process must have a \"type\" that is not empty",
            ));
        }
        Some(process) => process.kind.clone(),
    };
    let port = new.port.map(|number| {
        u16::try_from(number.0)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| Refused::unprocessable("Port must be between 1 and 65535"))
    });
    Ok(Destination {
        guid: act.ids.guid(),
        app: app.guid,
        process_type,
        port: port.transpose()?,
        protocol: protocol(new.protocol.as_deref())?,
    })
}

/// `http1` unless asked otherwise.
pub(super) fn protocol(text: Option<&str>) -> Result<EndpointProtocol, Refused> {
    match text {
        None | Some("http1") => Ok(EndpointProtocol::Http1),
        Some("http2") => Ok(EndpointProtocol::Http2),
        Some(_) => Err(Refused::unprocessable(
            "Destination protocol must be 'http1' or 'http2'.",
        )),
    }
}

/// Do two destinations lead to the same place?
fn same(one: &Destination, other: &Destination) -> bool {
    (one.app, &one.process_type, one.port, one.protocol)
        == (other.app, &other.process_type, other.port, other.protocol)
}
