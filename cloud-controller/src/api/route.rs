//! `/v3/routes`.

use std::sync::Arc;

use cfx_protocol::id::{DomainGuid, RouteGuid};
use cfx_protocol::route::Balancing;
use cfx_protocol::v3::resource::{Links, ToOne};
use cfx_protocol::v3::route::{self as wire, NewRoute, RouteOwner, RoutePatch};
use serde_json::{Value, json};
use uuid::Uuid;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::pagination::{self, Listed};
use super::permission::Action;
use super::query::Query;
use super::request::{Body, Call};
use super::response::{self, metadata, seconds};
use super::{app, destination, domain, job, space};
use crate::actions::deletion::{Budget, Progress};
use crate::actions::{self, Refused};
use crate::state::Link as Children;
use crate::state::feature_flag::FeatureFlag;
use crate::state::meta::Meta;
use crate::state::route::Route;
use crate::state::space::Space;

pub(super) async fn list(call: Call, query: Query) -> Answer {
    let filters = Filters::of(&query);
    let state = call.state.clone();
    let admitted = state
        .all::<Route>()
        .filter(|route| call.sees(Action::RouteRead, route.space) && filters.admit(&call, route));
    page(&call, &query, admitted.cloned())
}

pub(super) async fn list_of_app(call: Call, query: Query) -> Answer {
    let app = app::find(&call, call.guid())?;
    let filters = Filters::of(&query);
    let routes = call.state.linked::<Route>(Children::RoutesTo(app.guid.0));
    let admitted = routes.filter(|route| filters.admit(&call, route));
    page(&call, &query, admitted.cloned())
}

fn page(call: &Call, query: &Query, routes: impl Iterator<Item = Arc<Route>>) -> Answer {
    let include = |routes: &[Arc<Route>]| included(call, query, routes);
    pagination::page_with(
        &call.base,
        query,
        "created_at",
        routes,
        |route| present(call, route),
        include,
    )
}

/// What a list of routes may ask for.
struct Filters {
    hosts: super::query::Filter,
    paths: super::query::Filter,
    ports: super::query::Filter,
    domains: super::query::Filter,
    spaces: super::query::Filter,
    organizations: super::query::Filter,
    apps: super::query::Filter,
}

impl Filters {
    fn of(query: &Query) -> Self {
        Self {
            hosts: query.filter("hosts"),
            paths: query.filter("paths"),
            ports: query.filter("ports"),
            domains: query.filter("domain_guids"),
            spaces: query.filter("space_guids"),
            organizations: query.filter("organization_guids"),
            apps: query.filter("app_guids"),
        }
    }

    fn admit(&self, call: &Call, route: &Route) -> bool {
        let organization = || {
            let space = call.state.get::<Space>(&route.space);
            self.organizations
                .admits_any(space.map(|space| space.organization))
        };
        let apps = || {
            self.apps
                .admits_any(route.destinations.iter().map(|to| to.app))
        };
        // No route has a port.
        self.ports.admits("")
            && self.domains.admits_guid(route.domain)
            && self.spaces.admits_guid(route.space)
            && self.hosts.admits(&route.host)
            && self.paths.admits(&route.path)
            && organization()
            && apps()
    }
}

pub(super) async fn show(call: Call, query: Query) -> Answer {
    let route = find(&call, call.guid())?;
    let mut shown = serde_json::to_value(present(&call, &route)).map_err(ApiError::internal)?;
    if let Some(included) = included(&call, &query, std::slice::from_ref(&route)) {
        shown["included"] = included;
    }
    response::ok(shown)
}

pub(super) async fn create(call: Call, Body(new): Body<NewRoute>) -> Answer {
    let space = new.relationships.space.data.map(|to| to.guid);
    app::require_space(&call, space, Action::RouteWrite)?;
    require_visible_domain(&call, new.relationships.domain.data.map(|to| to.guid))?;
    require_creation(&call)?;
    let route = call
        .write(|draft, act| actions::route::create_route(draft, act, &new))
        .await?;
    response::created(present(&call, &route))
}

pub(super) async fn update(call: Call, Body(patch): Body<RoutePatch>) -> Answer {
    let route = find_to(&call, call.guid())?;
    let route = call
        .write(|draft, act| actions::route::update_route(draft, act, route.guid, &patch))
        .await?;
    response::ok(present(&call, &route))
}

pub(super) async fn delete(call: Call) -> Answer {
    let route = find_to(&call, call.guid())?;
    job::of(&call, "route.delete", |draft, act| {
        actions::route::delete_route(draft, act, route.guid)
    })
    .await
}

/// `DELETE /v3/spaces/{guid}/routes?unmapped=true`.
pub(super) async fn delete_unmapped(call: Call, query: Query) -> Answer {
    let space = space::find(&call, call.guid())?;
    call.require(Action::RouteWrite, Scope::Space(space.guid))?;
    if query.flag("unmapped")? != Some(true) {
        return Err(ApiError::unprocessable(
            "Mass delete not supported for routes. Use 'unmapped=true' parameter to delete all \
             unmapped routes.",
        ));
    }
    job::of_steps(&call, "space.delete_unmapped_routes", |draft, act| {
        let mut budget = Budget::of_one_commit();
        for guid in actions::route::unmapped(draft, space.guid) {
            if !budget.take() {
                return Ok(Progress::More);
            }
            actions::route::delete_route(draft, act, guid)?;
        }
        Ok(Progress::Done)
    })
    .await
}

/// Give a route to another space.
pub(super) async fn transfer(call: Call, Body(owner): Body<RouteOwner>) -> Answer {
    let route = find_to(&call, call.guid())?;
    let space = app::require_space(&call, Some(owner.data.guid), Action::RouteWrite)?;
    let route = call
        .write(|draft, act| actions::route::move_route(draft, act, route.guid, space))
        .await?;
    response::ok(json!({"data": {"guid": route.space}}))
}

/// The route, if the caller sees it.
pub(super) fn find(call: &Call, guid: RouteGuid) -> Result<Arc<Route>, ApiError> {
    let route = call.state.get::<Route>(&guid).cloned();
    route
        .filter(|route| call.sees(Action::RouteRead, route.space))
        .ok_or_else(|| ApiError::not_found("Route"))
}

/// The route, if the caller sees it and may change it.
pub(super) fn find_to(call: &Call, guid: RouteGuid) -> Result<Arc<Route>, ApiError> {
    let route = find(call, guid)?;
    call.require(Action::RouteWrite, Scope::Space(route.space))?;
    Ok(route)
}

fn require_visible_domain(call: &Call, guid: Option<DomainGuid>) -> Result<(), ApiError> {
    let visible = guid.is_some_and(|guid| domain::find(call, guid).is_ok());
    if visible {
        return Ok(());
    }
    Err(ApiError::unprocessable(
        "Invalid domain. Ensure that the domain exists and you have access to it.",
    ))
}

fn require_creation(call: &Call) -> Result<(), ApiError> {
    let flag = call.state.get::<FeatureFlag>(&"route_creation".to_owned());
    match flag.filter(|flag| !flag.enabled && !call.access.is_admin()) {
        None => Ok(()),
        Some(flag) => {
            let text = flag.custom_error_message.clone();
            let text = text.unwrap_or_else(|| "route_creation".to_owned());
            Err(Refused::FeatureDisabled(text).into())
        }
    }
}

pub(super) fn present(call: &Call, route: &Route) -> wire::Route {
    wire::Route {
        guid: route.guid,
        created_at: seconds(route.meta.created_at),
        updated_at: seconds(route.meta.updated_at),
        protocol: "http".to_owned(),
        host: route.host.clone(),
        path: route.path.clone(),
        port: None,
        url: actions::route::url(&call.state, route),
        destinations: destination::present_all(route),
        options: match route.options.balancing {
            Balancing::RoundRobin => std::collections::BTreeMap::new(),
            Balancing::LeastConnection => {
                [("loadbalancing".to_owned(), "least-connection".to_owned())].into()
            }
        },
        relationships: wire::RouteRelationships {
            space: ToOne::to(route.space),
            domain: ToOne::to(route.domain),
        },
        metadata: metadata(&route.meta),
        links: links(call, route),
    }
}

fn links(call: &Call, route: &Route) -> Links {
    let path = format!("/v3/routes/{}", route.guid);
    let link = |name: &str, path: &str| (name.to_owned(), call.base.link(path));
    [
        link("self", &path),
        link("space", &format!("/v3/spaces/{}", route.space)),
        link("destinations", &format!("{path}/destinations")),
        link("domain", &format!("/v3/domains/{}", route.domain)),
    ]
    .into()
}

/// `include=domain,space,space.organization`.
fn included(call: &Call, query: &Query, routes: &[Arc<Route>]) -> Option<Value> {
    let mut included = serde_json::Map::new();
    if query.names("include", "domain") {
        let mut guids: Vec<DomainGuid> = routes.iter().map(|route| route.domain).collect();
        guids.sort();
        guids.dedup();
        let domains = guids
            .into_iter()
            .filter_map(|guid| domain::find(call, guid).ok());
        let shown: Vec<_> = domains.map(|it| domain::present(&call.base, &it)).collect();
        included.insert("domains".to_owned(), json!(shown));
    }
    if query.names("include", "space") || query.names("include", "space.organization") {
        let spaces = routes.iter().map(|route| route.space);
        let shown = space::present_all(call, spaces);
        included.insert("spaces".to_owned(), json!(shown));
    }
    if query.names("include", "space.organization") {
        let spaces = routes
            .iter()
            .filter_map(|it| call.state.get::<Space>(&it.space));
        let owners = spaces.map(|space| space.organization);
        let shown = super::organization::present_all(call, owners);
        included.insert("organizations".to_owned(), json!(shown));
    }
    (!included.is_empty()).then_some(Value::Object(included))
}

impl Listed for Route {
    fn guid(&self) -> Uuid {
        self.guid.0
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
