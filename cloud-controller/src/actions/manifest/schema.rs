//! What a manifest may say. Every key is known or refused by its name; every amount is judged here,
//! so that applying deals with meanings only.

use std::collections::BTreeMap;

use cfx_protocol::quantity::{parse_bytes, parse_mebibytes};
use cfx_protocol::v3::process::{HealthCheckDataPatch, HealthCheckPatch};
use cfx_protocol::v3::resource::{MetadataPatch, Number};
use serde_yaml::Value;

pub(super) mod raw;

use super::routes::{WantedRoute, wanted_routes};
use crate::actions::environment::check_variable;
use crate::actions::process::{WEB, check_command};
use crate::actions::{Refused, limits, name};
use raw::{RawApp, RawProcess, RawSize};

/// Most processes, routes and services of one app in a manifest.
const LIST_MAX: usize = 100;

/// One app, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct AppManifest {
    pub name: String,
    pub lifecycle: WantedLifecycle,
    /// None removes a variable.
    pub environment: BTreeMap<String, Option<String>>,
    /// The app's own numbers come first, for `web`.
    pub processes: Vec<WantedProcess>,
    pub routes: WantedRoutes,
    pub services: Vec<WantedService>,
    pub metadata: Option<MetadataPatch>,
    pub features: BTreeMap<String, bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedLifecycle {
    Docker,
    Buildpack {
        /// Empty: detect. None: as it is.
        buildpacks: Option<Vec<String>>,
        stack: Option<String>,
    },
}

/// None leaves a thing as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedProcess {
    pub process_type: String,
    /// The inner none goes back to the droplet's.
    pub command: Option<Option<String>>,
    pub instances: Option<u32>,
    pub memory_mb: Option<u32>,
    pub disk_mb: Option<u32>,
    pub log_rate: Option<Option<u64>>,
    pub health: Option<HealthCheckPatch>,
    pub readiness: Option<HealthCheckPatch>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedRoutes {
    /// `no-route`: lead nowhere.
    None,
    /// These first. Then, if the app has no route at all, the automatic one.
    These {
        routes: Vec<WantedRoute>,
        automatic: Option<Automatic>,
    },
}

/// A route that nobody named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Automatic {
    /// The app's name under the default domain.
    Default,
    /// The app's name and some random words.
    Random,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedService {
    pub name: String,
    pub binding_name: Option<String>,
}

/// All apps of a manifest.
pub(super) fn apps(value: Value) -> Result<Vec<AppManifest>, Refused> {
    let Value::Mapping(top) = value else {
        return Err(invalid(
            "Cannot parse manifest with no 'applications' field.",
        ));
    };
    let mut applications = None;
    for (key, value) in top {
        match (key.as_str().unwrap_or_default(), value) {
            ("applications", value) => applications = Some(value),
            ("version", _) => {}
            // A holder of anchors: `defaults: &defaults {...}`.
            (_, Value::Mapping(_)) => {}
            (other, _) => {
                return Err(invalid(&format!(
                    "The manifest has an unknown key '{}': at its top stand 'applications' and \
                     'version'",
                    shortened(other)
                )));
            }
        }
    }
    let Some(Value::Sequence(items)) = applications else {
        return Err(invalid(
            "Cannot parse manifest with no 'applications' field: it must be a list of apps.",
        ));
    };
    if items.is_empty() {
        return Err(invalid("Applications must have at least one app"));
    }
    let (mut apps, mut wrong) = (Vec::<AppManifest>::new(), Vec::new());
    for item in items {
        let label = label(&item, apps.len() + wrong.len());
        match app(item) {
            Ok(app) if apps.iter().any(|other| other.name == app.name) => {
                wrong.push(format!("{label}: the name is given twice"));
            }
            Ok(app) => apps.push(app),
            Err(refused) => wrong.push(format!("{label}: {refused}")),
        }
    }
    if wrong.is_empty() {
        return Ok(apps);
    }
    Err(Refused::AllUnprocessable(wrong))
}

/// `For application 'x'`, or its place when it has no name.
fn label(item: &Value, at: usize) -> String {
    match item.get("name").and_then(Value::as_str) {
        Some(name) => format!("For application '{}'", shortened(name)),
        None => format!("For application at index {at}"),
    }
}

fn app(item: Value) -> Result<AppManifest, Refused> {
    let raw = raw::read::<RawApp>(item)?;
    let app_name = raw.name.clone().unwrap_or_default().0;
    name::check(&app_name)?;
    if raw.sidecars.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(invalid(
            "Sidecars are not supported: run the process as a process of its own",
        ));
    }
    // Where the app's files lie is the client's business.
    refuse_unknown(&raw.process, &["path"])?;
    let own = process(WEB, &raw.process)?;
    let mut processes = vec![own];
    for raw in raw.processes.iter().flatten() {
        let Some(process_type) = raw.kind.as_deref().filter(|it| !it.trim().is_empty()) else {
            return Err(invalid("All Processes must specify a type"));
        };
        if processes
            .iter()
            .skip(1)
            .any(|it| it.process_type == process_type)
        {
            return Err(invalid(&format!(
                "Process \"{}\" may only be present once",
                shortened(process_type)
            )));
        }
        processes.push(of_type(process_type, raw)?);
    }
    let routes = wanted_routes(&raw)?;
    let services = services(&raw)?;
    if processes.len() > LIST_MAX || services.len() > LIST_MAX {
        return Err(Refused::Unprocessable(format!(
            "There may be at most {LIST_MAX} processes and {LIST_MAX} services"
        )));
    }
    Ok(AppManifest {
        name: app_name,
        lifecycle: lifecycle(&raw)?,
        environment: environment(&raw)?,
        processes,
        routes,
        services,
        metadata: raw.metadata.map(raw::RawMetadata::patch),
        features: raw.features.unwrap_or_default(),
    })
}

/// Name the first key that means nothing.
fn refuse_unknown(raw: &RawSize, but: &[&str]) -> Result<(), Refused> {
    let mut unknown = raw.unknown.keys();
    match unknown.find(|key| !but.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(invalid(&format!("unknown key '{}'", shortened(key)))),
    }
}

fn of_type(process_type: &str, raw: &RawProcess) -> Result<WantedProcess, Refused> {
    let judged = refuse_unknown(&raw.size, &[]).and_then(|()| process(process_type, &raw.size));
    judged.map_err(|refused| {
        Refused::Unprocessable(format!(
            "Process \"{}\": {refused}",
            shortened(process_type)
        ))
    })
}

fn process(process_type: &str, raw: &RawSize) -> Result<WantedProcess, Refused> {
    let mebibytes = |what: &str, text: &Option<raw::Text>| -> Result<Option<u32>, Refused> {
        let Some(text) = text else { return Ok(None) };
        let amount = parse_mebibytes(&text.0);
        let amount = amount.map_err(|error| invalid(&format!("{what}: {error}")))?;
        limits::megabytes(what, Number(i64::from(amount))).map(Some)
    };
    let command = match &raw.command {
        None => None,
        Some(None) => Some(None),
        // The word of the CLI for the droplet's own.
        Some(Some(text)) if matches!(text.0.as_str(), "null" | "default") => Some(None),
        Some(Some(text)) => Some(check_command(&text.0)?),
    };
    Ok(WantedProcess {
        process_type: process_type.to_owned(),
        command,
        instances: raw.instances.map(limits::instances).transpose()?,
        memory_mb: mebibytes("Memory", &raw.memory)?,
        disk_mb: mebibytes("Disk quota", &raw.disk_quota)?,
        log_rate: raw.log_rate.as_ref().map(log_rate).transpose()?,
        health: health(raw),
        readiness: readiness(raw),
    })
}

/// `-1` is unlimited; 0 needs no unit.
fn log_rate(text: &raw::Text) -> Result<Option<u64>, Refused> {
    match text.0.trim() {
        "-1" => Ok(None),
        "0" => Ok(Some(0)),
        amount => parse_bytes(amount).map(Some).map_err(|error| {
            invalid(&format!(
                "Log rate limit per second: {error}; -1 is unlimited"
            ))
        }),
    }
}

fn health(raw: &RawSize) -> Option<HealthCheckPatch> {
    let data = HealthCheckDataPatch {
        timeout: raw.timeout,
        invocation_timeout: raw.health_check_invocation_timeout,
        interval: raw.health_check_interval,
        endpoint: raw.health_check_http_endpoint.clone(),
    };
    patch(raw.health_check_type.clone(), data)
}

fn readiness(raw: &RawSize) -> Option<HealthCheckPatch> {
    let data = HealthCheckDataPatch {
        timeout: None,
        invocation_timeout: raw.readiness_health_check_invocation_timeout,
        interval: raw.readiness_health_check_interval,
        endpoint: raw.readiness_health_check_http_endpoint.clone(),
    };
    patch(raw.readiness_health_check_type.clone(), data)
}

fn patch(kind: Option<String>, data: HealthCheckDataPatch) -> Option<HealthCheckPatch> {
    let says_something = kind.is_some() || data != HealthCheckDataPatch::default();
    says_something.then_some(HealthCheckPatch {
        kind,
        data: Some(data),
    })
}

fn lifecycle(raw: &RawApp) -> Result<WantedLifecycle, Refused> {
    match raw.lifecycle.as_deref() {
        None | Some("buildpack" | "docker") => {}
        Some(other) => {
            return Err(invalid(&format!(
                "Lifecycle '{}' is not supported; use 'buildpack' or 'docker'",
                shortened(other)
            )));
        }
    }
    let named = raw.buildpacks.is_some() || raw.buildpack.is_some() || raw.stack.is_some();
    if raw.docker.is_some() || raw.lifecycle.as_deref() == Some("docker") {
        if named && raw.docker.is_some() {
            return Err(invalid("Cannot specify both buildpack(s) and docker keys"));
        }
        return Ok(WantedLifecycle::Docker);
    }
    let one = |name: &Option<String>| name.iter().cloned().collect::<Vec<_>>();
    let all = match (&raw.buildpacks, &raw.buildpack) {
        (Some(_), Some(_)) => {
            return Err(invalid(
                "Buildpack and Buildpacks fields cannot be used together",
            ));
        }
        (Some(names), None) => Some(names.clone().unwrap_or_default()),
        (None, Some(name)) => Some(one(name)),
        (None, None) => None,
    };
    // Two words of the CLI for: detect.
    let all = all.map(|names| match names.as_slice() {
        [word] if matches!(word.as_str(), "default" | "null") => Vec::new(),
        _ => names,
    });
    Ok(WantedLifecycle::Buildpack {
        buildpacks: all,
        stack: raw.stack.clone(),
    })
}

fn environment(raw: &RawApp) -> Result<BTreeMap<String, Option<String>>, Refused> {
    let mut variables = BTreeMap::new();
    for (name, value) in raw.env.iter().flatten() {
        check_variable(name)?;
        variables.insert(name.clone(), raw::variable(name, value)?);
    }
    Ok(variables)
}

fn services(raw: &RawApp) -> Result<Vec<WantedService>, Refused> {
    let mut wanted = Vec::new();
    for service in raw.services.iter().flatten() {
        wanted.push(service.wanted()?);
    }
    Ok(wanted)
}

pub(super) fn invalid(message: &str) -> Refused {
    Refused::Unprocessable(message.to_owned())
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}
