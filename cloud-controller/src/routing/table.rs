//! The route table as a pure function of what is wanted and what cells report.
//!
//! A route whose apps are all stopped, or that leads nowhere, is not in the table: 404. A route
//! to a started app without a ready instance is there, without endpoints: 503.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cfx_protocol::actual::{Address, InstanceReport};
use cfx_protocol::id::RouteGuid;
use cfx_protocol::route::{Endpoint, Route as TableRoute};
use imbl::OrdMap;

use crate::cells::observed::Instances;
use crate::state::app::{App, DesiredState};
use crate::state::domain::Domain;
use crate::state::intent::{Intent, IntentPhase};
use crate::state::process::Process;
use crate::state::route::{Destination, Route};
use crate::state::{Link, State};

/// The port that an instance's address stands for unless its process names others.
const PORT_DEFAULT: u16 = 8_080;

/// All routes by guid; two tables are compared by their shared parts.
pub type Table = OrdMap<RouteGuid, Arc<TableRoute>>;

/// The table as of now. Routes that are as in `before` are taken from there, so that comparing
/// the two is cheap.
#[must_use]
pub fn build(state: &State, instances: &Instances, before: &Table) -> Table {
    let mut table = before.clone();
    let mut present = std::collections::BTreeSet::new();
    for route in state.all::<Route>() {
        let Some(entry) = entry(state, instances, route) else {
            continue;
        };
        present.insert(route.guid);
        if table.get(&route.guid).is_none_or(|old| **old != entry) {
            table.insert(route.guid, Arc::new(entry));
        }
    }
    let gone = before.keys().filter(|guid| !present.contains(guid));
    for guid in gone {
        table.remove(guid);
    }
    table
}

/// The entry of one route, as in `build`.
pub(super) fn entry(state: &State, instances: &Instances, route: &Route) -> Option<TableRoute> {
    let domain = state.get::<Domain>(&route.domain)?;
    let mut leads_somewhere = false;
    let mut endpoints = BTreeMap::new();
    for destination in &route.destinations {
        let app = state.get::<App>(&destination.app);
        if app.is_none_or(|app| app.desired_state != DesiredState::Started) {
            continue;
        }
        let Some(process) = process_of(state, destination) else {
            continue;
        };
        leads_somewhere = true;
        for endpoint in endpoints_of(state, instances, destination, process) {
            endpoints.insert((endpoint.instance, endpoint.address), endpoint);
        }
    }
    leads_somewhere.then(|| TableRoute {
        guid: route.guid,
        host: host(&route.host, &domain.name),
        path: route.path.trim_end_matches('/').to_owned(),
        internal: domain.internal,
        options: route.options.clone(),
        endpoints: endpoints.into_values().collect(),
    })
}

fn process_of<'a>(state: &'a State, destination: &Destination) -> Option<&'a Arc<Process>> {
    let mut processes = state.linked::<Process>(Link::ProcessesOf(destination.app.0));
    processes.find(|process| process.process_type == destination.process_type)
}

fn endpoints_of<'a>(
    state: &'a State,
    instances: &'a Instances,
    destination: &'a Destination,
    process: &'a Process,
) -> impl Iterator<Item = Endpoint> + 'a {
    let running = state
        .intents_of(process.guid)
        .filter(|intent| intent.phase == IntentPhase::Run);
    running.filter_map(move |intent| {
        let report = routable(instances, intent)?;
        Some(Endpoint {
            address: address(report.address?, destination.port)?,
            protocol: destination.protocol,
            app: process.app,
            process: process.guid,
            instance: report.instance,
            index: intent.index,
        })
    })
}

/// What the instance's own cell says of it, if it may receive requests.
fn routable<'a>(instances: &'a Instances, intent: &Intent) -> Option<&'a InstanceReport> {
    let (cell, report) = instances.get(&intent.assignment)?;
    (*cell == intent.cell && report.state.is_routable()).then_some(report)
}

/// Where routers reach a port. Other ports than the instance's own are reached only at an address
/// of its own.
fn address(address: Address, port: Option<u16>) -> Option<SocketAddr> {
    match port {
        None => Some(SocketAddr::new(address.host, address.port)),
        Some(port) if address.host == address.internal_ip => {
            Some(SocketAddr::new(address.host, port))
        }
        Some(PORT_DEFAULT) => Some(SocketAddr::new(address.host, address.port)),
        Some(_) => None,
    }
}

fn host(host: &str, domain: &str) -> String {
    let full = if host.is_empty() {
        domain.to_owned()
    } else {
        format!("{host}.{domain}")
    };
    full.to_ascii_lowercase()
}
