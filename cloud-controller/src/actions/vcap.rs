//! What an app learns of itself and its services: `VCAP_APPLICATION` and `VCAP_SERVICES`.

use cfx_protocol::desired::FDS_MAX;
use serde_json::{Map, Value, json};

use super::route::url;
use crate::state::app::App;
use crate::state::organization::Organization;
use crate::state::process::Process;
use crate::state::route::Route;
use crate::state::service::{ServiceBinding, ServiceInstance};
use crate::state::space::Space;
use crate::state::{Link, State};

/// Under which a user-provided service appears.
const LABEL: &str = "user-provided";

/// `VCAP_SERVICES` of an app as of now.
#[must_use]
pub fn services(state: &State, app: &App) -> Map<String, Value> {
    let bindings = state.linked::<ServiceBinding>(Link::BindingsOf(app.guid.0));
    let entries: Vec<Value> = bindings
        .filter_map(|binding| {
            let instance = state.get::<ServiceInstance>(&binding.instance)?;
            Some(service(instance, binding))
        })
        .collect();
    let mut services = Map::new();
    if !entries.is_empty() {
        services.insert(LABEL.to_owned(), Value::Array(entries));
    }
    services
}

fn service(instance: &ServiceInstance, binding: &ServiceBinding) -> Value {
    json!({
        "label": LABEL,
        "provider": null,
        "plan": null,
        "name": binding.name.as_ref().unwrap_or(&instance.name),
        "tags": instance.tags,
        "instance_guid": instance.guid,
        "instance_name": instance.name,
        "binding_guid": binding.guid,
        "binding_name": binding.name,
        "credentials": instance.credentials,
        "syslog_drain_url": instance.syslog_drain_url,
        "volume_mounts": [],
    })
}

/// The addresses that lead to a process of an app, as people type them.
#[must_use]
pub fn uris(state: &State, app: &App, process_type: &str) -> Vec<String> {
    let routes = state.linked::<Route>(Link::RoutesTo(app.guid.0));
    let leads_here = |route: &&std::sync::Arc<Route>| {
        let mut destinations = route.destinations.iter();
        destinations.any(|to| to.app == app.guid && to.process_type == process_type)
    };
    routes
        .filter(leads_here)
        .map(|route| url(state, route))
        .collect()
}

/// `VCAP_APPLICATION` as `cf env` shows it: as of now, of the web process. `cf_api` is where the
/// API is.
#[must_use]
pub fn application(state: &State, app: &App, web: &Process, cf_api: &str) -> Map<String, Value> {
    let uris = uris(state, app, &web.process_type);
    let space = state.get::<Space>(&app.space);
    let organization = space.and_then(|space| state.get::<Organization>(&space.organization));
    let application = json!({
        "application_id": app.guid,
        "application_name": app.name,
        "name": app.name,
        "application_uris": uris,
        "uris": uris,
        "application_version": version_guid(web),
        "version": version_guid(web),
        "cf_api": cf_api,
        "limits": {"fds": FDS_MAX, "mem": web.memory_mb, "disk": web.disk_mb},
        "space_id": app.space,
        "space_name": space.map(|space| space.name.as_str()),
        "organization_id": organization.map(|organization| organization.guid),
        "organization_name": organization.map(|organization| organization.name.as_str()),
        "process_id": web.guid,
        "process_type": web.process_type,
        "users": null,
    });
    match application {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A version as a guid, as apps expect `application_version` to be.
#[must_use]
pub fn version_guid(process: &Process) -> uuid::Uuid {
    uuid::Uuid::new_v5(&process.guid.0, &process.version.to_be_bytes())
}
