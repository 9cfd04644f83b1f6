//! Routes of a manifest: `host.domain/path` as people type it.

use std::sync::Arc;

use cfx_protocol::id::OrgGuid;
use cfx_protocol::route::{EndpointProtocol, RouteOptions};

use super::schema::raw::RawApp;
use super::schema::{Automatic, WantedRoutes, invalid, shortened};
use crate::actions::Refused;
use crate::actions::destination::protocol;
use crate::actions::route::{Place, options};
use crate::state::State;
use crate::state::domain::Domain;

/// Most routes of one app in a manifest.
const ROUTES_MAX: usize = 100;

/// A route that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRoute {
    /// As it was typed, without a scheme.
    pub url: String,
    pub protocol: EndpointProtocol,
    pub options: Option<RouteOptions>,
}

pub(super) fn wanted_routes(raw: &RawApp) -> Result<WantedRoutes, Refused> {
    let mut routes = Vec::new();
    for route in raw.routes.iter().flatten() {
        let url = route.route.as_deref().unwrap_or_default();
        let options = match &route.options {
            Some(given) => Some(options(RouteOptions::default(), given)?),
            None => None,
        };
        routes.push(WantedRoute {
            url: checked(url)?,
            protocol: protocol(route.protocol.as_deref())?,
            options,
        });
    }
    if routes.len() > ROUTES_MAX {
        return Err(Refused::Unprocessable(format!(
            "There may be at most {ROUTES_MAX} routes"
        )));
    }
    let (none, random) = (raw.no_route == Some(true), raw.random_route == Some(true));
    if none && (!routes.is_empty() || random) {
        return Err(invalid(
            "Cannot use the combination of properties: no-route with routes or random-route",
        ));
    }
    if none {
        return Ok(WantedRoutes::None);
    }
    let automatic = match (random, raw.default_route == Some(true)) {
        (true, _) => Some(Automatic::Random),
        (false, true) => Some(Automatic::Default),
        (false, false) => None,
    };
    Ok(WantedRoutes::These { routes, automatic })
}

fn checked(url: &str) -> Result<String, Refused> {
    let bare = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
        .unwrap_or(url);
    let host = bare.split('/').next().unwrap_or_default();
    if host.contains(':') {
        return Err(Refused::Unprocessable(format!(
            "The route '{}' has a port: there are no TCP routes",
            shortened(url)
        )));
    }
    let legal = |c: char| !c.is_whitespace() && !c.is_control() && c != '?' && c != '#';
    if !host.contains('.') || !bare.chars().all(legal) {
        return Err(Refused::Unprocessable(format!(
            "The route '{}' is not a properly formed URL",
            shortened(url)
        )));
    }
    Ok(bare.to_owned())
}

/// Where a URL leads among the domains that an organisation may use: the longest one that fits.
pub(super) fn place(state: &State, organization: OrgGuid, url: &str) -> Result<Place, Refused> {
    let (full, path) = match url.find('/') {
        Some(at) => url.split_at(at),
        None => (url, ""),
    };
    let full = full.to_lowercase();
    let usable = |domain: &&Arc<Domain>| {
        domain
            .organization
            .is_none_or(|owner| owner == organization)
            && host_under(&full, &domain.name).is_some()
    };
    let domain = state
        .all::<Domain>()
        .filter(usable)
        .max_by_key(|domain| domain.name.len())
        .ok_or_else(|| {
            Refused::Unprocessable(format!(
                "The route '{}' did not match any existing domains.",
                shortened(url)
            ))
        })?;
    Ok(Place {
        domain: domain.guid,
        host: host_under(&full, &domain.name)
            .unwrap_or_default()
            .to_owned(),
        path: path.trim_end_matches('/').to_owned(),
    })
}

/// The host of `full` under a domain: one label, or nothing for the domain itself.
fn host_under<'a>(full: &'a str, domain: &str) -> Option<&'a str> {
    if full == domain {
        return Some("");
    }
    let host = full.strip_suffix(domain)?.strip_suffix('.')?;
    (!host.is_empty() && !host.contains('.')).then_some(host)
}
