//! Routes: which host and path lead to which apps.

use std::sync::Arc;

use cfx_protocol::id::{DomainGuid, RouteGuid, SpaceGuid};
use cfx_protocol::route::{Balancing, RouteOptions};
use cfx_protocol::v3::route::{NewRoute, RoutePatch};
use serde_json::{Map, Value, json};

use super::{Act, Refused, Target, metadata};
use crate::state::domain::Domain;
use crate::state::meta::Meta;
use crate::state::route::Route;
use crate::state::space::Space;
use crate::state::{Draft, Link, State};

/// Longest label of a host name (DNS).
pub const HOST_MAX_CHARS: usize = 63;
/// Longest host name (DNS).
const FQDN_MAX_CHARS: usize = 253;
/// Longest context path (Cloud Foundry's limit).
const PATH_MAX_CHARS: usize = 128;

/// Where a route is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub domain: DomainGuid,
    /// In lower case.
    pub host: String,
    pub path: String,
}

/// Create a route that leads nowhere yet.
pub fn create_route(
    draft: &mut Draft,
    act: &Act<'_>,
    new: &NewRoute,
) -> Result<Arc<Route>, Refused> {
    if new.port.is_some() {
        return Err(Refused::unprocessable(
            "Routes with protocol 'http' do not support ports.",
        ));
    }
    let space = new.relationships.space.data.map(|to| to.guid);
    let space = space
        .filter(|guid| draft.get::<Space>(guid).is_some())
        .ok_or_else(|| {
            Refused::unprocessable(
                "Invalid space. Ensure that the space exists and you have access to it.",
            )
        })?;
    let domain = new.relationships.domain.data.map(|to| to.guid);
    let domain = domain
        .filter(|guid| draft.get::<Domain>(guid).is_some())
        .ok_or_else(|| {
            Refused::unprocessable(
                "Invalid domain. Ensure that the domain exists and you have access to it.",
            )
        })?;
    let place = Place {
        domain,
        host: new.host.as_deref().unwrap_or_default().to_lowercase(),
        path: new.path.clone().unwrap_or_default(),
    };
    let options = match &new.options {
        Some(given) => options(RouteOptions::default(), given)?,
        None => RouteOptions::default(),
    };
    let mut meta = Meta::new(act.now);
    metadata::apply(&mut meta, new.metadata.clone())?;
    place_route(draft, act, space, place, options, meta)
}

/// As `create_route`, for those who have judged the rest already.
pub(super) fn place_route(
    draft: &mut Draft,
    act: &Act<'_>,
    space: SpaceGuid,
    place: Place,
    options: RouteOptions,
    meta: Meta,
) -> Result<Arc<Route>, Refused> {
    check_place(draft, space, &place)?;
    check_free(draft, space, &place)?;
    let route = draft.put(Route {
        guid: act.ids.guid(),
        host: place.host,
        path: place.path,
        domain: place.domain,
        space,
        destinations: Vec::new(),
        options,
        meta,
    });
    record(draft, act, &route, "audit.route.create", json!({}));
    Ok(route)
}

pub fn update_route(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: RouteGuid,
    patch: &RoutePatch,
) -> Result<Arc<Route>, Refused> {
    let mut route = Route::clone(&*find(draft, guid)?);
    if let Some(given) = &patch.options {
        route.options = options(route.options, given)?;
    }
    metadata::apply(&mut route.meta, patch.metadata.clone())?;
    route.meta.updated_at = act.now;
    let route = draft.put(route);
    let data = json!({"request": {"options": patch.options}});
    record(draft, act, &route, "audit.route.update", data);
    Ok(route)
}

/// Give a route to another space. It may lead to apps of the old one no more.
pub fn move_route(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: RouteGuid,
    space: SpaceGuid,
) -> Result<Arc<Route>, Refused> {
    let mut route = Route::clone(&*find(draft, guid)?);
    if route.space == space {
        return Ok(draft.put(route));
    }
    if !route.destinations.is_empty() {
        return Err(Refused::unprocessable(
            "A route that is mapped to apps cannot be moved: unmap it first.",
        ));
    }
    route.space = space;
    let place = place_of(&route);
    check_place(draft, space, &place)?;
    route.meta.updated_at = act.now;
    let route = draft.put(route);
    record(
        draft,
        act,
        &route,
        "audit.route.transfer-owner",
        json!({"target_space_guid": space}),
    );
    Ok(route)
}

pub fn delete_route(draft: &mut Draft, act: &Act<'_>, guid: RouteGuid) -> Result<(), Refused> {
    let route = find(draft, guid)?;
    record(
        draft,
        act,
        &route,
        "audit.route.delete-request",
        json!({"request": {"recursive": true}}),
    );
    draft.delete::<Route>(&guid);
    Ok(())
}

/// `host.domain/path`, as people type it.
#[must_use]
pub fn url(state: &State, route: &Route) -> String {
    let domain = state.get::<Domain>(&route.domain);
    let domain = domain.map(|domain| domain.name.as_str()).unwrap_or("?");
    if route.host.is_empty() {
        return format!("{domain}{}", route.path);
    }
    format!("{}.{domain}{}", route.host, route.path)
}

/// The route that is exactly there, in whichever space.
#[must_use]
pub fn route_at(state: &State, place: &Place) -> Option<Arc<Route>> {
    let mut routes = state.linked::<Route>(Link::RoutesUnder(place.domain.0));
    routes
        .find(|route| route.host == place.host && same_path(&route.path, &place.path))
        .cloned()
}

#[must_use]
pub fn place_of(route: &Route) -> Place {
    Place {
        domain: route.domain,
        host: route.host.clone(),
        path: route.path.clone(),
    }
}

/// Change options by what a request says; null removes one.
pub fn options(
    mut options: RouteOptions,
    given: &Map<String, Value>,
) -> Result<RouteOptions, Refused> {
    for (name, value) in given {
        match (name.as_str(), value) {
            ("loadbalancing", Value::Null) => options.balancing = Balancing::default(),
            ("loadbalancing", Value::String(text)) if text == "round-robin" => {
                options.balancing = Balancing::RoundRobin;
            }
            ("loadbalancing", Value::String(text)) if text == "least-connection" => {
                options.balancing = Balancing::LeastConnection;
            }
            ("loadbalancing", other) => {
                return Err(Refused::Unprocessable(format!(
                    "Options Loadbalancing must be one of 'round-robin, least-connection' if \
                     present (found {other})"
                )));
            }
            (other, _) => {
                return Err(Refused::Unprocessable(format!(
                    "Options unknown option '{other}': valid options are: 'loadbalancing'"
                )));
            }
        }
    }
    Ok(options)
}

/// The routes of a space that lead nowhere.
#[must_use]
pub fn unmapped(state: &State, space: SpaceGuid) -> Vec<RouteGuid> {
    let routes = state.linked::<Route>(Link::RoutesOf(space.0));
    routes
        .filter(|route| route.destinations.is_empty())
        .map(|route| route.guid)
        .collect()
}

pub(super) fn find(draft: &Draft, guid: RouteGuid) -> Result<Arc<Route>, Refused> {
    draft
        .get::<Route>(&guid)
        .cloned()
        .ok_or(Refused::NotFound("Route"))
}

pub(super) fn record(draft: &mut Draft, act: &Act<'_>, route: &Route, kind: &str, data: Value) {
    let name = url(draft, route);
    let target = Target::in_space(draft, route.space, "route", route.guid, &name);
    act.record(draft, kind, target, data);
}

/// May there be a route here at all?
pub(super) fn check_place(state: &State, space: SpaceGuid, place: &Place) -> Result<(), Refused> {
    let domain = state
        .get::<Domain>(&place.domain)
        .ok_or(Refused::NotFound("Domain"))?;
    let organization = state.get::<Space>(&space).map(|space| space.organization);
    if domain.organization.is_some() && domain.organization != organization {
        return Err(Refused::Unprocessable(format!(
            "Invalid domain. Domain '{}' is not available in the organization of the space.",
            domain.name
        )));
    }
    check_host(domain, &place.host)?;
    check_path(domain, &place.path)
}

fn check_host(domain: &Domain, host: &str) -> Result<(), Refused> {
    if host.is_empty() && domain.organization.is_none() {
        return Err(Refused::unprocessable(
            "Missing host. Routes in shared domains must have a host defined.",
        ));
    }
    if host == "*" && domain.internal {
        return Err(Refused::unprocessable(
            "Wildcard hosts are not supported for internal domains.",
        ));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if host != "*" && !host.chars().all(legal) {
        return Err(Refused::unprocessable(
            "Host must be either \"*\" or contain only alphanumeric characters, \"_\", or \"-\"",
        ));
    }
    if host.len() > HOST_MAX_CHARS {
        return Err(Refused::Unprocessable(format!(
            "Host is too long (maximum is {HOST_MAX_CHARS} characters)"
        )));
    }
    if host.len() + 1 + domain.name.len() > FQDN_MAX_CHARS {
        return Err(Refused::Unprocessable(format!(
            "Host combined with domain name must be no more than {FQDN_MAX_CHARS} characters"
        )));
    }
    Ok(())
}

fn check_path(domain: &Domain, path: &str) -> Result<(), Refused> {
    let refuse = |why: &str| Err(Refused::Unprocessable(format!("Path {why}")));
    if path.is_empty() {
        return Ok(());
    }
    if domain.internal {
        return Err(Refused::unprocessable(
            "Paths are not supported for internal domains.",
        ));
    }
    if !path.starts_with('/') {
        return refuse("must begin with a slash");
    }
    if path.chars().all(|c| c == '/') {
        return refuse("cannot be a single slash");
    }
    if path.contains(['?', '#']) {
        return refuse("cannot contain a question mark or a number sign");
    }
    if path.chars().count() > PATH_MAX_CHARS {
        return refuse(&format!("cannot exceed {PATH_MAX_CHARS} characters"));
    }
    if path.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("cannot contain spaces");
    }
    Ok(())
}

/// Is it nobody's, and does no other space own its host?
fn check_free(state: &State, space: SpaceGuid, place: &Place) -> Result<(), Refused> {
    let domain = state.get::<Domain>(&place.domain);
    let domain = domain.map(|domain| domain.name.as_str()).unwrap_or("?");
    for route in state.linked::<Route>(Link::RoutesUnder(place.domain.0)) {
        if route.host != place.host {
            continue;
        }
        if same_path(&route.path, &place.path) {
            return Err(Refused::Unprocessable(already_exists(place, domain)));
        }
        if route.space != space {
            return Err(Refused::unprocessable(
                "Routes for this host and domain have been reserved for another space.",
            ));
        }
    }
    Ok(())
}

fn already_exists(place: &Place, domain: &str) -> String {
    let Place { host, path, .. } = place;
    match (host.is_empty(), path.is_empty()) {
        (true, true) => format!("Route already exists for domain '{domain}'."),
        (true, false) => format!("Route already exists with path '{path}' for domain '{domain}'."),
        (false, true) => format!("Route already exists with host '{host}' for domain '{domain}'."),
        (false, false) => format!(
            "Route already exists with host '{host}' and path '{path}' for domain '{domain}'."
        ),
    }
}

/// Routers match paths without regard to case and without a trailing slash.
fn same_path(one: &str, other: &str) -> bool {
    one.trim_end_matches('/')
        .eq_ignore_ascii_case(other.trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
