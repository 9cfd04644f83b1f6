//! `routes`, `create-route`, `delete-route`, `map-route`, `unmap-route`, `domains`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::names::names_of;
use super::summary::url_of;
use crate::args::{
    CreateRouteArgs, DeleteRouteArgs, DomainsArgs, MapRouteArgs, RouteName, RoutesArgs,
    UnmapRouteArgs,
};
use crate::client::resource::{Destination, Domain, NamedResource, Route};
use crate::client::{Api, query};
use crate::context::{Context, InSpace};
use crate::failure::{Failure, Outcome};
use crate::output::Table;

pub(crate) async fn routes(context: &Context, args: &RoutesArgs) -> Outcome {
    let space = context.in_space()?;
    let mut pairs = vec![("per_page", "5000")];
    if args.org_level {
        pairs.push(("organization_guids", &space.org.guid));
    } else {
        pairs.push(("space_guids", &space.space.guid));
    }
    pairs.extend(
        args.labels
            .as_deref()
            .map(|selector| ("label_selector", selector)),
    );
    let routes: Vec<Route> = space.api.list(&query::with("/v3/routes", &pairs)).await?;
    let apps = routes.iter().flat_map(|route| &route.destinations);
    let apps = names_of(&space.api, "/v3/apps", apps.map(|to| to.app.guid.as_str())).await?;
    let spaces = routes
        .iter()
        .filter_map(|route| route.relationships.space.data.as_ref());
    let spaces = names_of(&space.api, "/v3/spaces", spaces.map(|to| to.guid.as_str())).await?;
    let lines: Vec<RouteLine> = routes
        .iter()
        .map(|route| RouteLine::new(route, &apps, &spaces, &space.api))
        .collect();
    let terminal = &context.terminal;
    if args.json {
        return terminal.json(&lines);
    }
    terminal.note(format!("Routes in {}:", space.place()));
    if lines.is_empty() {
        terminal.say("No routes. Make one: `cfx map-route APP DOMAIN --hostname HOST`.");
        return Ok(());
    }
    let mut table = Table::new(["space", "host", "domain", "path", "protocol", "apps"]);
    for line in lines {
        table.row([
            line.space,
            line.host,
            line.domain,
            line.path,
            line.protocol,
            line.apps.join(", "),
        ]);
    }
    terminal.table(&table);
    Ok(())
}

#[derive(Debug, serde::Serialize)]
struct RouteLine {
    guid: String,
    space: String,
    host: String,
    domain: String,
    path: String,
    protocol: String,
    url: String,
    apps: Vec<String>,
}

impl RouteLine {
    fn new(
        route: &Route,
        apps: &BTreeMap<String, String>,
        spaces: &BTreeMap<String, String>,
        api: &Api,
    ) -> Self {
        let name = |names: &BTreeMap<String, String>, guid: &str| {
            names.get(guid).cloned().unwrap_or_else(|| guid.to_owned())
        };
        let space = route.relationships.space.data.as_ref();
        let address = route.url.strip_suffix(&route.path).unwrap_or(&route.url);
        let domain = match route.host.as_str() {
            "" => address,
            host => address
                .strip_prefix(host)
                .and_then(|rest| rest.strip_prefix('.'))
                .unwrap_or(address),
        };
        let mut apps: Vec<String> = route
            .destinations
            .iter()
            .map(|to| name(apps, &to.app.guid))
            .collect();
        apps.dedup();
        Self {
            guid: route.guid.clone(),
            space: space
                .map(|space| name(spaces, &space.guid))
                .unwrap_or_default(),
            host: route.host.clone(),
            domain: domain.to_owned(),
            path: route.path.clone(),
            protocol: route.protocol.clone(),
            url: url_of(&route.url, api.target()),
            apps,
        }
    }
}

pub(crate) async fn create_route(context: &Context, args: &CreateRouteArgs) -> Outcome {
    let space = context.in_space()?;
    let domain = find_domain(&space.api, &args.domain).await?;
    let terminal = &context.terminal;
    terminal.say(format!(
        "Creating route {} in {}...",
        shown(&args.route, &domain),
        space.place()
    ));
    match create(&space, &domain, &args.route).await {
        Ok(route) => terminal.say(format!("Route {} is there.", route.url)),
        Err(error) if error.is_unprocessable("already exists") => {
            terminal.warn("the route exists already");
        }
        Err(error) => return Err(error.into()),
    }
    terminal.ok();
    Ok(())
}

pub(crate) async fn delete_route(context: &Context, args: &DeleteRouteArgs) -> Outcome {
    let space = context.in_space()?;
    let domain = find_domain(&space.api, &args.domain).await?;
    let name = shown(&args.route, &domain);
    let terminal = &context.terminal;
    if !args.force && !terminal.confirm(&format!("Really delete the route {name}?")) {
        terminal.say("Nothing was deleted.");
        return Ok(());
    }
    terminal.say(format!("Deleting route {name}..."));
    match find_route(&space.api, &domain, &args.route).await? {
        Some(route) => {
            space
                .api
                .delete(&format!("/v3/routes/{}", route.guid))
                .await?
        }
        None => terminal.warn(format!("route {name} does not exist")),
    }
    terminal.ok();
    Ok(())
}

pub(crate) async fn map_route(context: &Context, args: &MapRouteArgs) -> Outcome {
    let space = context.in_space()?;
    let domain = find_domain(&space.api, &args.domain).await?;
    let app = space.app(&args.app).await?;
    let terminal = &context.terminal;
    let name = shown(&args.route, &domain);
    terminal.say(format!(
        "Mapping route {name} to app {} in {}...",
        app.name,
        space.place()
    ));
    let route = match find_route(&space.api, &domain, &args.route).await? {
        Some(route) => route,
        None => create(&space, &domain, &args.route).await?,
    };
    let fits = |to: &Destination| {
        to.app.guid == app.guid
            && args.app_port.is_none_or(|port| to.port == Some(port))
            && (args.app_protocol.is_none() || to.protocol == args.app_protocol)
    };
    if route.destinations.iter().any(fits) {
        terminal.say(format!("App {} is mapped to {name} already.", app.name));
    } else {
        let mut destination = json!({"app": {"guid": app.guid}});
        if let Some(port) = args.app_port {
            destination["port"] = json!(port);
        }
        if let Some(protocol) = &args.app_protocol {
            destination["protocol"] = json!(protocol);
        }
        let path = format!("/v3/routes/{}/destinations", route.guid);
        let body = json!({"destinations": [destination]});
        space.api.post::<Value>(&path, &body).await?;
    }
    terminal.ok();
    terminal.say(url_of(&route.url, space.api.target()));
    Ok(())
}

pub(crate) async fn unmap_route(context: &Context, args: &UnmapRouteArgs) -> Outcome {
    let space = context.in_space()?;
    let domain = find_domain(&space.api, &args.domain).await?;
    let app = space.app(&args.app).await?;
    let terminal = &context.terminal;
    let name = shown(&args.route, &domain);
    terminal.say(format!("Unmapping route {name} from app {}...", app.name));
    let route = find_route(&space.api, &domain, &args.route)
        .await?
        .ok_or_else(|| {
            Failure::new(format!("there is no route {name}")).next("`cfx routes` lists them")
        })?;
    let mapped: Vec<_> = route
        .destinations
        .iter()
        .filter(|to| to.app.guid == app.guid)
        .collect();
    if mapped.is_empty() {
        terminal.say("The route does not lead to this app.");
    }
    for destination in mapped {
        let path = format!(
            "/v3/routes/{}/destinations/{}",
            route.guid, destination.guid
        );
        space.api.delete(&path).await?;
    }
    terminal.ok();
    Ok(())
}

pub(crate) async fn domains(context: &Context, args: &DomainsArgs) -> Outcome {
    let in_org = context.in_org()?;
    let mut path = format!("/v3/organizations/{}/domains", in_org.org.guid);
    if let Some(selector) = &args.labels {
        path = query::with(&path, &[("label_selector", selector)]);
    }
    let domains: Vec<Domain> = in_org.api.list(&path).await?;
    let terminal = &context.terminal;
    let availability = |domain: &Domain| match domain.relationships.organization.data {
        Some(_) => "private",
        None => "shared",
    };
    if args.json {
        let lines = domains.iter().map(|domain| {
            json!({
                "guid": domain.guid,
                "name": domain.name,
                "availability": availability(domain),
                "internal": domain.internal,
                "protocols": domain.supported_protocols,
            })
        });
        return terminal.json(&lines.collect::<Vec<_>>());
    }
    terminal.note(format!(
        "Domains in org {}, as {}:",
        in_org.org.name, in_org.user
    ));
    let mut table = Table::new(["name", "availability", "internal", "protocols"]);
    for domain in &domains {
        table.row([
            terminal.style().name(&domain.name),
            availability(domain).to_owned(),
            if domain.internal {
                "true".to_owned()
            } else {
                String::new()
            },
            domain.supported_protocols.join(", "),
        ]);
    }
    terminal.table(&table);
    Ok(())
}

async fn find_domain(api: &Api, name: &str) -> Outcome<NamedResource> {
    let path = query::with(
        "/v3/domains",
        &[("names", name), ("per_page", "1"), ("page", "1")],
    );
    let found: Vec<NamedResource> = api.list(&path).await?;
    found.into_iter().next().ok_or_else(|| {
        Failure::new(format!("there is no domain `{name}`")).next("`cfx domains` lists them")
    })
}

async fn find_route(api: &Api, domain: &NamedResource, name: &RouteName) -> Outcome<Option<Route>> {
    let path = query::with(
        "/v3/routes",
        &[
            ("domain_guids", &domain.guid),
            ("hosts", name.hostname.as_deref().unwrap_or_default()),
            ("paths", name.path.as_deref().unwrap_or_default()),
            ("per_page", "1"),
            ("page", "1"),
        ],
    );
    Ok(api.list(&path).await?.into_iter().next())
}

async fn create(
    space: &InSpace,
    domain: &NamedResource,
    name: &RouteName,
) -> Result<Route, crate::client::ClientError> {
    let mut body = json!({
        "relationships": {
            "space": {"data": {"guid": space.space.guid}},
            "domain": {"data": {"guid": domain.guid}},
        },
    });
    if let Some(host) = &name.hostname {
        body["host"] = json!(host);
    }
    if let Some(path) = &name.path {
        body["path"] = json!(path);
    }
    space.api.post("/v3/routes", &body).await
}

fn shown(name: &RouteName, domain: &NamedResource) -> String {
    let path = name.path.as_deref().unwrap_or_default();
    match &name.hostname {
        Some(host) => format!("{host}.{}{path}", domain.name),
        None => format!("{}{path}", domain.name),
    }
}
