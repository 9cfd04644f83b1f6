//! What a buildpack said about running the app, and what the app's Procfile says over it. Pure but
//! for reading two small files, which are the app's word: bounded, and never through a link.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

/// Largest release file or Procfile, bytes.
const FILE_MAX_BYTES: u64 = 256 * 1024;
/// Most process types of an app.
const TYPES_MAX: usize = 256;
/// Longest name of a process type, characters.
const TYPE_MAX_CHARS: usize = 255;

/// Beside the app in its droplet.
pub(super) const INFO_FILE: &str = "staging_info.yml";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StagingInfo {
    pub(super) detected_buildpack: String,
    pub(super) start_command: String,
}

#[derive(Debug, Default, Deserialize)]
struct Release {
    #[serde(default)]
    default_process_types: Option<BTreeMap<String, String>>,
}

/// Process types and their commands: the buildpack's under the Procfile's.
pub(super) fn process_types(
    release: Option<&str>,
    procfile: Option<&str>,
) -> Result<BTreeMap<String, String>, String> {
    let release = release.map(str::trim).filter(|text| !text.is_empty());
    let release: Option<Release> = match release {
        Some(text) => serde_yaml::from_str(text).map_err(|error| {
            format!("the buildpack's release is not what it should be: {error}")
        })?,
        None => None,
    };
    let mut types = release
        .and_then(|release| release.default_process_types)
        .unwrap_or_default();
    if let Some(procfile) = procfile {
        types.extend(parse_procfile(procfile));
    }
    if types.len() > TYPES_MAX {
        return Err(format!("the app has more than {TYPES_MAX} process types"));
    }
    Ok(types)
}

/// `name: command` lines; whatever else there is means nothing.
fn parse_procfile(text: &str) -> BTreeMap<String, String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.len() <= TYPE_MAX_CHARS
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, command)| (name.trim(), command.trim()))
        .filter(|(name, command)| is_name(name) && !command.is_empty())
        .map(|(name, command)| (name.to_owned(), command.to_owned()))
        .collect()
}

/// The start command that staging left in a droplet.
#[must_use]
pub fn start_command(droplet: &Path) -> Option<String> {
    let text = read_small(&droplet.join(INFO_FILE)).ok()??;
    let info: StagingInfo = serde_yaml::from_str(&text).ok()?;
    Some(info.start_command).filter(|command| !command.is_empty())
}

/// A small text of the app's; none when it is not there, or is not a plain file.
pub(super) fn read_small(path: &Path) -> Result<Option<String>, String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !file.metadata().is_ok_and(|about| about.is_file()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let read = file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(format!("it has more than {FILE_MAX_BYTES} bytes"));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_procfile_comes_over_the_buildpack() {
        let release = "---\ndefault_process_types:\n  web: python3 app.py\n  clock: tick\n";
        let procfile =
            "# no: comment\nweb: gunicorn app:main --bind :$PORT\nworker:   run\nnot a line\n: x\n";
        let types = process_types(Some(release), Some(procfile)).expect("valid");
        let expected = [
            ("clock", "tick"),
            ("web", "gunicorn app:main --bind :$PORT"),
            ("worker", "run"),
        ];
        let types: Vec<_> = types
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(types, expected);
    }

    #[test]
    fn a_release_may_be_empty_and_must_not_be_nonsense() {
        for empty in [
            None,
            Some(""),
            Some("---\n"),
            Some("--- {}\n"),
            Some("config_vars: {}\n"),
        ] {
            assert_eq!(process_types(empty, None), Ok(BTreeMap::new()), "{empty:?}");
        }
        assert!(process_types(Some("default_process_types: 7"), None).is_err());
    }
}
