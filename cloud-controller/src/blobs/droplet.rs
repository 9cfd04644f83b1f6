//! Judging a droplet that a user uploads: a gzipped tar whose entries lie inside, under the same
//! budget as packages; and what its `staging_info.yml` says it runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use serde::Deserialize;
use tar::{Archive, Entry, EntryType};

use super::zip::{ENTRIES_MAX, UNPACKED_MAX_BYTES};

/// Largest `staging_info.yml`, bytes.
const INFO_MAX_BYTES: u64 = 64 * 1024;
const INFO: &str = "staging_info.yml";

/// Why a droplet is refused.
#[derive(Debug, thiserror::Error)]
pub enum DropletError {
    #[error("it is not a gzipped tar, or a damaged one: {0}")]
    Damaged(#[from] io::Error),
    #[error("it has no folder `app`")]
    NoApp,
    #[error("the entry '{0}' would be unpacked outside of it")]
    Outside(String),
    #[error("the entry '{0}' is a device or another thing that a droplet cannot hold")]
    Special(String),
    #[error("it unpacks to more than {} GiB", UNPACKED_MAX_BYTES >> 30)]
    TooLarge,
    #[error("it has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
}

/// What staging leaves beside the app.
#[derive(Debug, Default, Deserialize)]
struct StagingInfo {
    #[serde(default)]
    start_command: Option<String>,
    #[serde(default)]
    process_types: BTreeMap<String, String>,
}

/// Judge a droplet; answers its process types and commands, as far as it tells them.
pub fn judge(path: &Path) -> Result<BTreeMap<String, String>, DropletError> {
    let unpacked = GzDecoder::new(io::BufReader::new(File::open(path)?));
    let mut archive = Archive::new(unpacked.take(UNPACKED_MAX_BYTES + 1));
    let mut types = BTreeMap::new();
    let (mut entries, mut bytes, mut has_app) = (0_usize, 0_u64, false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        entries += 1;
        bytes = bytes.saturating_add(entry.size());
        if entries > ENTRIES_MAX {
            return Err(DropletError::TooManyEntries);
        }
        if bytes > UNPACKED_MAX_BYTES {
            return Err(DropletError::TooLarge);
        }
        let name = entry.path()?.into_owned();
        check(&name, &entry)?;
        let relative = name.strip_prefix(".").unwrap_or(&name);
        has_app |= relative.starts_with("app");
        if relative == Path::new(INFO) {
            types = process_types(&mut entry)?;
        }
    }
    if has_app {
        Ok(types)
    } else {
        Err(DropletError::NoApp)
    }
}

fn check<R: Read>(name: &Path, entry: &Entry<'_, R>) -> Result<(), DropletError> {
    let shortened = || name.display().to_string().chars().take(120).collect();
    if !is_inside(name) {
        return Err(DropletError::Outside(shortened()));
    }
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Directory | EntryType::Continuous => Ok(()),
        // An app may link to what the stack has; the cell unpacks links as links.
        EntryType::Symlink => Ok(()),
        EntryType::Link => match entry.link_name()? {
            Some(target) if is_inside(&target) => Ok(()),
            _ => Err(DropletError::Outside(shortened())),
        },
        EntryType::XGlobalHeader | EntryType::XHeader => Ok(()),
        _ => Err(DropletError::Special(shortened())),
    }
}

fn is_inside(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn process_types<R: Read>(entry: &mut Entry<'_, R>) -> Result<BTreeMap<String, String>, io::Error> {
    let mut text = String::new();
    entry.take(INFO_MAX_BYTES).read_to_string(&mut text)?;
    // A droplet from elsewhere may have anything there; then it says nothing.
    let info: StagingInfo = serde_yaml::from_str(&text).unwrap_or_default();
    let mut types = info.process_types;
    if let Some(command) = info.start_command {
        types.entry("web".to_owned()).or_insert(command);
    }
    Ok(types)
}
