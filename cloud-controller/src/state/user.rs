//! A user of the platform, as UAA and the v3 API see it.

use std::collections::BTreeSet;

use cfx_protocol::id::UserGuid;
use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::table::guid_record;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub guid: UserGuid,
    pub username: String,
    /// `uaa` for users whose password is kept here.
    pub origin: String,
    /// argon2 in PHC form; none for users of other origins.
    pub password_hash: Option<String>,
    pub given_name: String,
    pub family_name: String,
    pub email: String,
    pub active: bool,
    /// Scopes beyond the ordinary user's, such as `cloud_controller.admin`.
    pub groups: BTreeSet<String>,
    /// Known to the v3 API (`POST /v3/users`), not only to UAA.
    pub in_cloud_controller: bool,
    pub meta: Meta,
}

guid_record!(User, UserGuid, "user", self => []);
