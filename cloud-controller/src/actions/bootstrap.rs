//! What a new platform begins with, and what a newer version adds to an old one.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Act, Refused, buildpack, domain, retention, stack, user};
use crate::state::Draft;
use crate::state::auth::{Client, SigningKey};
use crate::state::meta::Meta;
use crate::state::package::BlobFacts;
use crate::state::user::User;

/// The administrator's name.
pub const ADMIN: &str = "admin";
/// The UAA client of the autoscaler.
pub const AUTOSCALER: &str = "autoscaler";
/// What makes a user an administrator of everything.
pub const ADMIN_GROUPS: [&str; 8] = [
    "clients.read",
    "clients.write",
    "cloud_controller.admin",
    "doppler.firehose",
    "scim.read",
    "scim.write",
    "uaa.admin",
    "network.admin",
];
/// What users' tokens through the `cf` client may carry.
const CF_SCOPES: [&str; 15] = [
    "clients.read",
    "clients.write",
    "cloud_controller.admin",
    "cloud_controller.admin_read_only",
    "cloud_controller.global_auditor",
    "cloud_controller.read",
    "cloud_controller.write",
    "doppler.firehose",
    "network.admin",
    "openid",
    "password.write",
    "scim.read",
    "scim.write",
    "uaa.admin",
    "uaa.user",
];

/// All that needs more than the state: made before, used where it is missing.
#[derive(Debug, Clone)]
pub struct Means {
    /// A hash of the admin's password: on a new platform, or to set it anew.
    pub admin_password_hash: Option<String>,
    /// A hash of the secret of the autoscaler's client: to make it, or to set it anew.
    pub autoscaler_secret_hash: Option<String>,
    pub signing_key: Option<SigningKey>,
    pub apps_domain: String,
    /// Name and blob, in the order of detection.
    pub buildpacks: Vec<(String, BlobFacts)>,
}

/// Bring the state up to what every platform has. What is there is left alone.
pub fn bootstrap(draft: &mut Draft, act: &Act<'_>, means: Means) -> Result<(), Refused> {
    if let Some(key) = means
        .signing_key
        .filter(|_| retention::needs_signing_key(draft, act.now))
    {
        draft.put(key);
    }
    ensure_cf_client(draft, act);
    if let Some(hash) = means.autoscaler_secret_hash {
        ensure_autoscaler_client(draft, act, hash);
    }
    if let Some(hash) = means.admin_password_hash {
        ensure_admin(draft, act, hash)?;
    }
    stack::ensure_default(draft, act);
    domain::ensure_platform_domains(draft, act.now, act.ids, &means.apps_domain);
    for (name, blob) in means.buildpacks {
        buildpack::ensure_system(draft, act, &name, blob);
    }
    Ok(())
}

/// The client that the CLIs sign in through; its secret is empty, as everywhere.
fn ensure_cf_client(draft: &mut Draft, act: &Act<'_>) {
    let owned = |list: &[&str]| list.iter().map(|item| (*item).to_owned()).collect();
    let known = draft.get::<Client>(&"cf".to_owned());
    let client = Client {
        id: "cf".to_owned(),
        secret_hash: None,
        grant_types: owned(&["password", "refresh_token"]),
        scopes: owned(&CF_SCOPES),
        authorities: BTreeSet::new(),
        created_at: known.map_or(act.now, |known| known.created_at),
    };
    if known.is_none_or(|known| **known != client) {
        draft.put(client);
    }
}

/// The client by which the autoscaler reads metrics and scales apps of every space.
fn ensure_autoscaler_client(draft: &mut Draft, act: &Act<'_>, hash: String) {
    let known = draft.get::<Client>(&AUTOSCALER.to_owned());
    let created_at = known.map_or(act.now, |known| known.created_at);
    let authorities = ["cloud_controller.admin", "doppler.firehose"];
    draft.put(Client {
        id: AUTOSCALER.to_owned(),
        secret_hash: Some(hash),
        grant_types: ["client_credentials".to_owned()].into(),
        scopes: BTreeSet::new(),
        authorities: authorities.map(str::to_owned).into(),
        created_at,
    });
}

fn ensure_admin(draft: &mut Draft, act: &Act<'_>, hash: String) -> Result<(), Refused> {
    if let Some(admin) = user::named(draft, ADMIN, "uaa") {
        return user::set_password(draft, act, admin.guid, hash);
    }
    let admin = draft.put(User {
        guid: act.ids.guid(),
        username: ADMIN.to_owned(),
        origin: "uaa".to_owned(),
        password_hash: Some(hash),
        given_name: String::new(),
        family_name: String::new(),
        email: String::new(),
        active: true,
        groups: ADMIN_GROUPS
            .iter()
            .map(|group| (*group).to_owned())
            .collect(),
        in_cloud_controller: true,
        meta: Meta::new(act.now),
    });
    user::record(
        draft,
        act,
        admin.guid,
        "create",
        json!({ "username": ADMIN }),
    );
    Ok(())
}
