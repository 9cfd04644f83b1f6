//! Makes what a platform begins with and has the actions put it into the state: the admin's
//! password, a signing key, the system buildpacks as blobs.

use std::io::{self, Cursor, Write};

use cfx_process::clock::Clock;
use cfx_process::entropy::IdSource;
use rust_embed::RustEmbed;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::actions::bootstrap::{self, Means};
use crate::actions::{Act, Refused, act, retention, user};
use crate::auth::{Auth, KeyError, PasswordError, generate_signing_key};
use crate::blobs::Blobs;
use crate::state::auth::Client;
use crate::state::package::BlobFacts;
use crate::state::{State, StateHandle, WriteError};

/// Random bytes of a generated password: 32 hexadecimal digits.
const PASSWORD_BYTES: usize = 16;
/// In the order of detection.
const SYSTEM_BUILDPACKS: [&str; 5] = ["nodejs", "python", "staticfile", "procfile", "binary"];
/// All files of system buildpacks may be executed.
const FILE_MODE: u32 = 0o755;

/// The system buildpacks, inside the binary.
#[derive(RustEmbed)]
#[folder = "../cell-agent/buildpacks"]
#[allow(
    missing_debug_implementations,
    reason = "only a name for embedded files"
)]
struct Embedded;

#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the password of admin cannot be used: {0}")]
    Password(#[from] PasswordError),
    #[error("the system buildpacks cannot be kept: {0}")]
    Buildpacks(#[from] io::Error),
    #[error("{0}")]
    Write(#[from] WriteError<Refused>),
}

/// What an operator decides about the first start.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Set this password, also on a platform that has one.
    pub admin_password: Option<String>,
    pub apps_domain: String,
    /// Of the autoscaler's client; none makes no such client.
    pub autoscaler_secret: Option<String>,
}

/// What was made.
#[derive(Clone, Default)]
pub struct Bootstrapped {
    /// The admin's password, when it was made or set now: nobody can learn it later.
    pub admin_password: Option<String>,
}

impl std::fmt::Debug for Bootstrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_new = self.admin_password.is_some();
        f.debug_struct("Bootstrapped")
            .field("new_password", &is_new)
            .finish()
    }
}

/// Bring the platform to what every platform has. Safe at every start.
pub async fn run(
    state: &StateHandle,
    clock: &Clock,
    ids: &IdSource,
    auth: &Auth,
    blobs: &Blobs,
    wishes: Wishes,
) -> Result<Bootstrapped, BootstrapError> {
    let now = clock.now();
    let snapshot = state.read();
    let admin_password = new_password(&snapshot, ids, auth, wishes.admin_password).await?;
    let admin_password_hash = match &admin_password {
        Some(password) => Some(auth.passwords().hash(password, ids).await?),
        None => None,
    };
    let autoscaler_secret_hash = match wishes.autoscaler_secret {
        Some(secret) => new_secret(&snapshot, ids, auth, &secret).await?,
        None => None,
    };
    let signing_key = match retention::needs_signing_key(&snapshot, now) {
        true => Some(generate_signing_key(now)?),
        false => None,
    };
    let means = Means {
        admin_password_hash,
        autoscaler_secret_hash,
        signing_key,
        apps_domain: wishes.apps_domain,
        buildpacks: keep_buildpacks(blobs)?,
    };
    let act = Act {
        now,
        ids,
        actor: act::platform(),
    };
    state
        .write(|draft| bootstrap::bootstrap(draft, &act, means))
        .await?;
    Ok(Bootstrapped { admin_password })
}

/// The password to set: none when there is nothing to change.
async fn new_password(
    state: &State,
    ids: &IdSource,
    auth: &Auth,
    wished: Option<String>,
) -> Result<Option<String>, PasswordError> {
    let admin = user::named(state, bootstrap::ADMIN, "uaa");
    Ok(match (admin, wished) {
        (None, None) => Some(ids.secret(PASSWORD_BYTES)),
        (None, wished) => wished,
        (Some(_), None) => None,
        // Setting it anew would sign everybody out.
        (Some(admin), Some(wished)) => {
            let hash = admin.password_hash.as_deref();
            let is_set = auth.passwords().verify(&wished, hash).await?;
            (!is_set).then_some(wished)
        }
    })
}

/// The hash to keep for the autoscaler's client: none when it has this secret already.
async fn new_secret(
    state: &State,
    ids: &IdSource,
    auth: &Auth,
    secret: &str,
) -> Result<Option<String>, PasswordError> {
    let client = state.get::<Client>(&bootstrap::AUTOSCALER.to_owned());
    if let Some(hash) = client.and_then(|client| client.secret_hash.as_deref())
        && auth.passwords().verify(secret, Some(hash)).await?
    {
        return Ok(None);
    }
    auth.passwords().hash(secret, ids).await.map(Some)
}

fn keep_buildpacks(blobs: &Blobs) -> io::Result<Vec<(String, BlobFacts)>> {
    let keep = |name: &&str| {
        let facts = blobs.keep_bytes(&archive(name)?)?;
        Ok((format!("{name}_buildpack"), facts))
    };
    SYSTEM_BUILDPACKS.iter().map(keep).collect()
}

/// The same files give the same bytes: names in order, no times.
fn archive(buildpack: &str) -> io::Result<Vec<u8>> {
    let prefix = format!("{buildpack}/");
    let mut names: Vec<_> = Embedded::iter()
        .filter(|name| name.starts_with(&prefix))
        .collect();
    names.sort();
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(FILE_MODE);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for name in names {
        let Some(file) = Embedded::get(&name) else {
            continue;
        };
        let inside = name.strip_prefix(&prefix).unwrap_or(&name);
        writer
            .start_file(inside, options)
            .map_err(io::Error::other)?;
        writer.write_all(&file.data)?;
    }
    let cursor = writer.finish().map_err(io::Error::other)?;
    Ok(cursor.into_inner())
}

#[cfg(test)]
mod tests;
