//! App manifests: read as the cf CLI reads them, checked before anything is sent.
//!
//! ```text
//! text -> yaml (budgeted tree with lines) -> variables -> merge keys -> schema -> Manifest
//!      -> overrides (flags) -> text for POST /v3/spaces/:g/actions/apply_manifest
//! ```
//! Errors name file and line. Nothing here talks to the network.

mod error;
mod merge;
mod node;
mod overrides;
mod scalar;
mod schema;
mod suggest;
mod variables;
mod yaml;

use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

pub(crate) use error::ManifestError;
pub(crate) use overrides::{HealthCheckFlag, Overrides, apply};
pub(crate) use variables::{Variables, parse_assignment};

/// Largest manifest or variables file, bytes: a hundred times what large ones have.
pub(crate) const MANIFEST_MAX_BYTES: u64 = 1024 * 1024;
/// Most apps in one manifest: a push of more is a mistake.
pub(crate) const APPS_MAX: usize = 200;
/// Looked for in the current folder, in this order.
const FILE_NAMES: [&str; 2] = ["manifest.yml", "manifest.yaml"];

/// What to push.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manifest {
    /// None when it was made up from flags.
    pub(crate) file: Option<PathBuf>,
    pub(crate) apps: Vec<AppManifest>,
}

/// One entry of `applications`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AppManifest {
    /// Empty until a name is given.
    pub(crate) name: String,
    /// As written; relative to the manifest.
    pub(crate) path: Option<PathBuf>,
    /// All other attributes, in their order.
    pub(crate) attributes: Mapping,
}

impl Manifest {
    /// The one that stands for no file at all.
    pub(crate) fn of_name(name: &str) -> Self {
        let app = AppManifest {
            name: name.to_owned(),
            path: None,
            attributes: Mapping::new(),
        };
        Self {
            file: None,
            apps: vec![app],
        }
    }

    /// The text that the platform is to apply.
    pub(crate) fn to_yaml(&self) -> String {
        let apps = self.apps.iter().map(|app| {
            let mut entry = Mapping::new();
            entry.insert("name".into(), Value::String(app.name.clone()));
            entry.extend(app.attributes.clone());
            Value::Mapping(entry)
        });
        let mut document = Mapping::new();
        document.insert("applications".into(), Value::Sequence(apps.collect()));
        // Strings, numbers, lists and maps with string keys can always be written.
        serde_yaml::to_string(&document).unwrap_or_default()
    }

    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.apps.iter().map(|app| app.name.as_str()).collect();
        names.join(", ")
    }
}

impl AppManifest {
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.attributes.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// `docker: {image, username}`.
    pub(crate) fn docker(&self, key: &str) -> Option<&str> {
        self.attributes.get("docker")?.get(key)?.as_str()
    }
}

/// The manifest in `place` (a file, or a folder that has one); none when the folder has none.
pub(crate) fn locate(place: &Path) -> Result<Option<PathBuf>, ManifestError> {
    if !place.is_dir() {
        return match place.exists() {
            true => Ok(Some(place.to_owned())),
            false => Err(ManifestError::Missing {
                path: place.to_owned(),
            }),
        };
    }
    let mut candidates = FILE_NAMES.iter().map(|name| place.join(name));
    Ok(candidates.find(|path| path.exists()))
}

/// Read, fill in and check a manifest.
pub(crate) fn load(path: &Path, variables: &Variables) -> Result<Manifest, ManifestError> {
    let text = read_bounded(path)?;
    parse(path, &text, variables)
}

pub(crate) fn parse(
    path: &Path,
    text: &str,
    variables: &Variables,
) -> Result<Manifest, ManifestError> {
    let at = |fault: error::Fault| fault.in_file(path);
    let tree = yaml::compose(text).map_err(at)?;
    let tree = variables.fill(tree).map_err(at)?;
    let tree = merge::apply(tree).map_err(at)?;
    let apps = schema::applications(&tree).map_err(at)?;
    Ok(Manifest {
        file: Some(path.to_owned()),
        apps,
    })
}

fn read_bounded(path: &Path) -> Result<String, ManifestError> {
    let unreadable = |error: std::io::Error| ManifestError::Unreadable {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > MANIFEST_MAX_BYTES {
        return Err(ManifestError::Unreadable {
            path: path.to_owned(),
            detail: format!("it has {size} bytes; a manifest may have {MANIFEST_MAX_BYTES}"),
        });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

#[cfg(test)]
mod tests;
