//! What a manifest would change, key by key, in the manifest's own words.

use cfx_protocol::health::Check;
use cfx_protocol::id::{AppGuid, SpaceGuid};
use cfx_protocol::quantity::format_bytes;
use cfx_protocol::v3::manifest::Difference;
use serde_json::{Map, Value, json};

use super::Manifest;
use super::schema::{AppManifest, WantedLifecycle, WantedProcess, WantedRoutes};
use crate::actions::{app, health_check, route, service};
use crate::state::app::{App, Lifecycle};
use crate::state::process::Process;
use crate::state::route::Route;
use crate::state::service::ServiceBinding;
use crate::state::{Link, State};

const MIB: u64 = 1024 * 1024;

/// The differences between what is and what a manifest wants, in the manifest's order.
#[must_use]
pub fn diff(state: &State, space: SpaceGuid, manifest: &Manifest) -> Vec<Difference> {
    let mut all = Vec::new();
    for (at, wanted) in manifest.apps.iter().enumerate() {
        let path = format!("/applications/{at}");
        match app::app_named(state, space, &wanted.name) {
            None => all.push(added(&path, json!({"name": wanted.name}))),
            Some(app) => {
                let mut differences = Differences { path, all };
                differences.app(state, &app, wanted);
                all = differences.all;
            }
        }
    }
    all
}

fn added(path: &str, value: Value) -> Difference {
    Difference {
        op: "add".to_owned(),
        path: path.to_owned(),
        was: None,
        value: Some(value),
    }
}

struct Differences {
    path: String,
    all: Vec<Difference>,
}

impl Differences {
    /// One key: what it is now, and what it is to be.
    fn key(&mut self, key: &str, was: Option<Value>, wanted: Option<Value>) {
        let Some(wanted) = wanted else { return };
        let path = format!("{}/{key}", self.path);
        match was {
            Some(was) if was == wanted => {}
            Some(was) => self.all.push(Difference {
                op: "replace".to_owned(),
                path,
                was: Some(was),
                value: Some(wanted),
            }),
            None => self.all.push(added(&path, wanted)),
        }
    }

    fn app(&mut self, state: &State, app: &App, wanted: &AppManifest) {
        self.lifecycle(app, wanted);
        self.environment(app, wanted);
        self.routes(state, app, wanted);
        self.services(state, app, wanted);
        for (at, process) in wanted.processes.iter().enumerate() {
            let own = self.path.clone();
            // The first is the app's own numbers; the others stand in a list.
            if at > 0 {
                self.path = format!("{own}/processes/{}", at - 1);
            }
            let found = app::process_of(state, app.guid, &process.process_type);
            self.process(found.as_deref(), process);
            self.path = own;
        }
    }

    fn lifecycle(&mut self, app: &App, wanted: &AppManifest) {
        let WantedLifecycle::Buildpack { buildpacks, stack } = &wanted.lifecycle else {
            return;
        };
        let (was_buildpacks, was_stack) = match &app.lifecycle {
            Lifecycle::Buildpack { buildpacks, stack } => {
                let some = Some(buildpacks).filter(|names| !names.is_empty());
                (some.map(|names| json!(names)), Some(json!(stack)))
            }
            Lifecycle::Docker => (None, None),
        };
        let named = buildpacks.as_ref().filter(|names| !names.is_empty());
        self.key(
            "buildpacks",
            was_buildpacks,
            named.map(|names| json!(names)),
        );
        self.key("stack", was_stack, stack.as_ref().map(|name| json!(name)));
    }

    fn environment(&mut self, app: &App, wanted: &AppManifest) {
        for (name, value) in &wanted.environment {
            let was = app.environment.get(name).map(|text| json!(text));
            let key = format!("env/{}", name.replace('~', "~0").replace('/', "~1"));
            match (value, was) {
                (Some(value), was) => self.key(&key, was, Some(json!(value))),
                (None, Some(was)) => self.all.push(Difference {
                    op: "remove".to_owned(),
                    path: format!("{}/{key}", self.path),
                    was: Some(was),
                    value: None,
                }),
                (None, None) => {}
            }
        }
    }

    fn routes(&mut self, state: &State, app: &App, wanted: &AppManifest) {
        let WantedRoutes::These { routes, .. } = &wanted.routes else {
            return;
        };
        let present: Vec<String> = state
            .linked::<Route>(Link::RoutesTo(app.guid.0))
            .map(|route| route::url(state, route))
            .collect();
        for (at, wanted) in routes.iter().enumerate() {
            let url = wanted.url.trim_end_matches('/').to_lowercase();
            if !present.iter().any(|has| has.to_lowercase() == url) {
                let path = format!("{}/routes/{at}", self.path);
                self.all.push(added(&path, json!({"route": wanted.url})));
            }
        }
    }

    fn services(&mut self, state: &State, app: &App, wanted: &AppManifest) {
        for (at, wanted) in wanted.services.iter().enumerate() {
            if !is_bound(state, app.guid, app.space, &wanted.name) {
                let path = format!("{}/services/{at}", self.path);
                self.all.push(added(&path, json!(wanted.name)));
            }
        }
    }

    fn process(&mut self, found: Option<&Process>, wanted: &WantedProcess) {
        let was = |of: &dyn Fn(&Process) -> Option<Value>| found.and_then(of);
        let amount = |mb: u32| json!(format_bytes(u64::from(mb) * MIB));
        if let Some(command) = &wanted.command {
            let present = was(&|it| it.command.as_ref().map(|text| json!(text)));
            self.key("command", present, command.as_ref().map(|text| json!(text)));
        }
        let instances = was(&|it| Some(json!(it.instances)));
        self.key("instances", instances, wanted.instances.map(|it| json!(it)));
        let memory = was(&|it| Some(amount(it.memory_mb)));
        self.key("memory", memory, wanted.memory_mb.map(amount));
        let disk = was(&|it| Some(amount(it.disk_mb)));
        self.key("disk-quota", disk, wanted.disk_mb.map(amount));
        let log_rate = was(&|it| Some(rate(it.log_rate_bytes)));
        let wanted_rate = wanted.log_rate.map(rate);
        self.key("log-rate-limit-per-second", log_rate, wanted_rate);
        self.health(found, wanted);
    }

    fn health(&mut self, found: Option<&Process>, wanted: &WantedProcess) {
        let Some(patch) = &wanted.health else { return };
        let kind = found.map(|it| json!(health_check::kind(&it.health.check)));
        self.key(
            "health-check-type",
            kind,
            patch.kind.as_ref().map(|it| json!(it)),
        );
        let data = patch.data.clone().unwrap_or_default();
        let endpoint = found.and_then(|it| match &it.health.check {
            Check::Http { endpoint } => Some(json!(endpoint)),
            Check::Port | Check::Process => None,
        });
        let wanted_endpoint = data.endpoint.map(|it| json!(it));
        self.key("health-check-http-endpoint", endpoint, wanted_endpoint);
        let timeout = found.map(|it| json!(it.health.start_timeout_s));
        self.key("timeout", timeout, data.timeout.map(|it| json!(it)));
    }
}

fn rate(bytes: Option<u64>) -> Value {
    match bytes {
        None => json!(-1),
        Some(bytes) => json!(format_bytes(bytes)),
    }
}

fn is_bound(state: &State, app: AppGuid, space: SpaceGuid, name: &str) -> bool {
    let Some(instance) = service::instance_named(state, space, name) else {
        return false;
    };
    let mut bindings = state.linked::<ServiceBinding>(Link::BindingsOf(app.0));
    bindings.any(|binding| binding.instance == instance.guid)
}

/// An app as a manifest says it: `GET /v3/apps/{guid}/manifest`.
#[must_use]
pub fn manifest_of(state: &State, app: &App) -> Value {
    let mut shown = Map::new();
    shown.insert("name".to_owned(), json!(app.name));
    if let Lifecycle::Buildpack { buildpacks, stack } = &app.lifecycle {
        if !buildpacks.is_empty() {
            shown.insert("buildpacks".to_owned(), json!(buildpacks));
        }
        shown.insert("stack".to_owned(), json!(stack));
    }
    if !app.environment.is_empty() {
        shown.insert("env".to_owned(), json!(app.environment));
    }
    let urls = state.linked::<Route>(Link::RoutesTo(app.guid.0));
    let urls: Vec<Value> = urls
        .map(|it| json!({"route": route::url(state, it)}))
        .collect();
    if !urls.is_empty() {
        shown.insert("routes".to_owned(), json!(urls));
    }
    let bindings = state.linked::<ServiceBinding>(Link::BindingsOf(app.guid.0));
    let names = bindings.filter_map(|binding| {
        let instance = state.get::<crate::state::service::ServiceInstance>(&binding.instance);
        instance.map(|instance| instance.name.clone())
    });
    let names: Vec<String> = names.collect();
    if !names.is_empty() {
        shown.insert("services".to_owned(), json!(names));
    }
    let processes = state.linked::<Process>(Link::ProcessesOf(app.guid.0));
    let processes: Vec<Value> = processes.map(|it| shown_process(it)).collect();
    shown.insert("processes".to_owned(), json!(processes));
    json!({"applications": [shown]})
}

fn shown_process(process: &Process) -> Value {
    let mut shown = json!({
        "type": process.process_type,
        "instances": process.instances,
        "memory": format_bytes(u64::from(process.memory_mb) * MIB),
        "disk_quota": format_bytes(u64::from(process.disk_mb) * MIB),
        "log-rate-limit-per-second": rate(process.log_rate_bytes),
        "health-check-type": health_check::kind(&process.health.check),
        "timeout": process.health.start_timeout_s,
        "readiness-health-check-type": health_check::kind(&process.readiness.check),
    });
    if let Some(command) = &process.command {
        shown["command"] = json!(command);
    }
    if let Check::Http { endpoint } = &process.health.check {
        shown["health-check-http-endpoint"] = json!(endpoint);
    }
    shown
}
