//! Flags of `push` win over the manifest: on the web process where it has one, else on the app.

use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use super::error::ManifestError;
use super::{AppManifest, Manifest};

/// `--health-check-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HealthCheckFlag {
    Port,
    Http,
    Process,
}

impl HealthCheckFlag {
    fn as_str(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Http => "http",
            Self::Process => "process",
        }
    }
}

/// What flags say about the app. None: the manifest's word counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Overrides {
    pub(crate) name: Option<String>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) instances: Option<u32>,
    pub(crate) memory: Option<String>,
    pub(crate) disk: Option<String>,
    pub(crate) log_rate: Option<String>,
    /// Empty: only the system's own.
    pub(crate) buildpacks: Option<Vec<String>>,
    /// Inner none: back to the default.
    pub(crate) command: Option<Option<String>>,
    pub(crate) stack: Option<String>,
    pub(crate) lifecycle: Option<String>,
    pub(crate) health_check: Option<HealthCheckFlag>,
    pub(crate) endpoint: Option<String>,
    pub(crate) timeout: Option<u32>,
    pub(crate) docker_image: Option<String>,
    pub(crate) docker_username: Option<String>,
    pub(crate) droplet: bool,
    pub(crate) no_route: bool,
    pub(crate) random_route: bool,
    /// Replaces instances one after another: cannot be for several apps.
    pub(crate) strategy: bool,
}

impl Overrides {
    /// Does any flag speak about one app in particular?
    fn is_about_one_app(&self) -> bool {
        let anonymous = Self {
            name: self.name.clone(),
            ..Self::default()
        };
        *self != anonymous
    }
}

/// The manifest with the flags' words in it, paths made absolute or relative to where we are.
pub(crate) fn apply(
    mut manifest: Manifest,
    overrides: &Overrides,
) -> Result<Manifest, ManifestError> {
    choose_apps(&mut manifest, overrides)?;
    if manifest.apps.len() > 1 && overrides.is_about_one_app() {
        return Err(refused(
            "flags (except -f, --var, --vars-file and --no-start) cannot be given for several apps at once",
            "name the app they are for: `cfx push NAME ...`",
        ));
    }
    let folder = manifest.file.as_deref().and_then(Path::parent);
    let folder = folder.unwrap_or_else(|| Path::new("")).to_owned();
    for app in &mut manifest.apps {
        if let Some(path) = &app.path
            && path.is_relative()
        {
            // Component by component: `folder/.` is `folder`.
            app.path = Some(folder.join(path).components().collect());
        }
    }
    if let [app] = manifest.apps.as_mut_slice() {
        override_app(app, overrides)?;
    }
    for app in &mut manifest.apps {
        if !app.flag("no-route") && !app.flag("random-route") {
            app.attributes.insert("default-route".into(), true.into());
        }
    }
    Ok(manifest)
}

fn choose_apps(manifest: &mut Manifest, overrides: &Overrides) -> Result<(), ManifestError> {
    let many = manifest.apps.len() > 1;
    if many && manifest.apps.iter().any(|app| app.name.is_empty()) {
        return Err(refused(
            "an application of the manifest has no name",
            "give each application a `name`",
        ));
    }
    let Some(name) = &overrides.name else {
        if manifest.apps.iter().any(|app| app.name.is_empty()) {
            return Err(refused(
                "the app has no name",
                "name it: `cfx push NAME`, or write `name:` in the manifest",
            ));
        }
        return Ok(());
    };
    if let Some(at) = manifest.apps.iter().position(|app| app.name == *name) {
        manifest.apps = vec![manifest.apps.swap_remove(at)];
        return Ok(());
    }
    if many {
        return Err(refused(
            format!("the manifest has no app `{name}`"),
            format!("it has: {}", manifest.names()),
        ));
    }
    for app in &mut manifest.apps {
        app.name.clone_from(name);
    }
    Ok(())
}

fn override_app(app: &mut AppManifest, overrides: &Overrides) -> Result<(), ManifestError> {
    check_mismatches(app, overrides)?;
    if let Some(path) = &overrides.path {
        app.path = Some(path.clone());
    }
    override_sources(app, overrides);
    let web = web_or_app(&mut app.attributes);
    let texts = [
        ("memory", &overrides.memory),
        ("disk-quota", &overrides.disk),
        ("log-rate-limit-per-second", &overrides.log_rate),
        ("health-check-http-endpoint", &overrides.endpoint),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            web.insert(key.into(), Value::String(text.clone()));
        }
    }
    if let Some(instances) = overrides.instances {
        web.insert("instances".into(), instances.into());
    }
    if let Some(timeout) = overrides.timeout {
        web.insert("timeout".into(), timeout.into());
    }
    if let Some(command) = &overrides.command {
        let value = command.clone().map_or(Value::Null, Value::String);
        web.insert("command".into(), value);
    }
    if let Some(check) = overrides.health_check {
        web.insert("health-check-type".into(), check.as_str().into());
        if check != HealthCheckFlag::Http {
            web.shift_remove("health-check-http-endpoint");
        }
    }
    Ok(())
}

fn override_sources(app: &mut AppManifest, overrides: &Overrides) {
    let attributes = &mut app.attributes;
    if let Some(buildpacks) = &overrides.buildpacks {
        let list = buildpacks.iter().cloned().map(Value::String).collect();
        attributes.insert("buildpacks".into(), Value::Sequence(list));
    }
    for (key, text) in [
        ("stack", &overrides.stack),
        ("lifecycle", &overrides.lifecycle),
    ] {
        if let Some(text) = text {
            attributes.insert(key.into(), Value::String(text.clone()));
        }
    }
    let docker = [
        ("image", &overrides.docker_image),
        ("username", &overrides.docker_username),
    ];
    for (key, text) in docker {
        let Some(text) = text else { continue };
        let entry = attributes
            .entry("docker".into())
            .or_insert_with(|| Value::Mapping(Mapping::new()));
        if let Value::Mapping(docker) = entry {
            docker.insert(key.into(), Value::String(text.clone()));
        }
    }
    for (key, given) in [
        ("no-route", overrides.no_route),
        ("random-route", overrides.random_route),
    ] {
        if given {
            attributes.insert(key.into(), true.into());
        }
    }
}

/// The attributes of the `web` entry of `processes` if there is one, else the app's own.
fn web_or_app(attributes: &mut Mapping) -> &mut Mapping {
    let is_web = |entry: &Value| {
        entry.is_mapping() && entry.get("type").and_then(Value::as_str) == Some("web")
    };
    let processes = attributes.get("processes").and_then(Value::as_sequence);
    let Some(place) = processes.and_then(|list| list.iter().position(is_web)) else {
        return attributes;
    };
    attributes
        .get_mut("processes")
        .and_then(|processes| processes.get_mut(place))
        .and_then(Value::as_mapping_mut)
        .expect("the place was found in this list a moment ago, and it is a map")
}

fn check_mismatches(app: &AppManifest, overrides: &Overrides) -> Result<(), ManifestError> {
    let has = |key: &str| match key {
        "path" => app.path.is_some(),
        key => app.attributes.contains_key(key),
    };
    let clashes: [(bool, &str, &[&str]); 4] = [
        (overrides.path.is_some(), "--path", &["docker"]),
        (overrides.buildpacks.is_some(), "--buildpack", &["docker"]),
        (
            overrides.docker_image.is_some(),
            "--docker-image",
            &["buildpacks", "path"],
        ),
        (
            overrides.droplet,
            "--droplet",
            &["docker", "path", "buildpacks"],
        ),
    ];
    for (given, flag, keys) in clashes {
        if let Some(key) = keys.iter().find(|key| given && has(key)) {
            return Err(refused(
                format!("{flag} does not go with `{key}` of the manifest"),
                "leave out one of the two, or push with --no-manifest",
            ));
        }
    }
    Ok(())
}

fn refused(message: impl Into<String>, next: impl Into<String>) -> ManifestError {
    ManifestError::Flags {
        message: message.into(),
        next: next.into(),
    }
}
