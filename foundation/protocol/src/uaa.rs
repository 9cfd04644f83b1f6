//! What the token endpoints say, in UAA's words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `POST /oauth/token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReply {
    pub access_token: String,
    /// Always `bearer`, in lower case: the CLI cuts that word off.
    pub token_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Seconds.
    pub expires_in: i64,
    /// Separated by blanks.
    pub scope: String,
    pub jti: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UaaError {
    /// `unauthorized`, `invalid_token`, ...
    pub error: String,
    pub error_description: String,
}

/// `GET /login`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginInfo {
    pub app: LoginVersion,
    /// Kind and caption, by name.
    pub prompts: BTreeMap<String, [String; 2]>,
    pub links: BTreeMap<String, String>,
    pub zone_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginVersion {
    pub version: String,
}

/// `GET /token_keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKeys {
    pub keys: Vec<TokenKey>,
}

/// The public half of a signing key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKey {
    pub kty: String,
    pub alg: String,
    #[serde(rename = "use")]
    pub usage: String,
    pub kid: String,
    /// PEM.
    pub value: String,
    /// Modulus and exponent, base64url.
    pub n: String,
    pub e: String,
}

/// `GET /userinfo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserInfo {
    pub user_id: String,
    pub sub: String,
    pub user_name: String,
    pub origin: String,
    pub given_name: String,
    pub family_name: String,
    pub name: String,
    pub email: String,
}

/// `POST /Users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewScimUser {
    #[serde(rename = "userName")]
    pub user_name: String,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub origin: Option<String>,
    #[serde(default)]
    pub name: ScimName,
    #[serde(default)]
    pub emails: Vec<ScimEmail>,
}

/// A user as UAA shows one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScimUser {
    pub id: String,
    #[serde(rename = "userName")]
    pub user_name: String,
    pub origin: String,
    pub name: ScimName,
    pub emails: Vec<ScimEmail>,
    pub groups: Vec<ScimGroup>,
    pub active: bool,
    pub verified: bool,
    #[serde(rename = "zoneId")]
    pub zone_id: String,
    pub meta: ScimMeta,
    pub schemas: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScimName {
    #[serde(default)]
    pub given_name: String,
    #[serde(default)]
    pub family_name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScimEmail {
    pub value: String,
    #[serde(default)]
    pub primary: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScimGroup {
    pub value: String,
    pub display: String,
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScimMeta {
    pub version: u32,
    pub created: jiff::Timestamp,
    pub last_modified: jiff::Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScimList<T> {
    pub resources: Vec<T>,
    pub start_index: usize,
    pub items_per_page: usize,
    pub total_results: usize,
    pub schemas: Vec<String>,
}

/// `PUT /Users/{id}/password`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PasswordChange {
    #[serde(default)]
    pub old_password: Option<String>,
    pub password: String,
}

/// `POST /oauth/clients`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOauthClient {
    pub client_id: String,
    #[serde(default)]
    pub client_secret: Option<String>,
    #[serde(default)]
    pub scope: Vec<String>,
    #[serde(default)]
    pub authorities: Vec<String>,
    #[serde(default)]
    pub authorized_grant_types: Vec<String>,
}

/// A client as UAA shows one; its secret is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OauthClient {
    pub client_id: String,
    pub scope: Vec<String>,
    pub authorities: Vec<String>,
    pub authorized_grant_types: Vec<String>,
}
