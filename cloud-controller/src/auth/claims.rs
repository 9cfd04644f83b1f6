//! What a token says, in UAA's words.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The payload of an access token. The user's fields are absent in a client's own token; with
/// `user_name` there is always an `origin`, which the CLI relies on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub jti: String,
    pub sub: String,
    pub scope: Vec<String>,
    pub client_id: String,
    pub cid: String,
    pub azp: String,
    pub grant_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<String>,
    /// The session it belongs to, which signing out ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Uuid>,
    /// Tells the CLI to revoke it when the user signs out.
    pub revocable: bool,
    pub iat: i64,
    pub exp: i64,
    pub iss: String,
    pub zid: String,
    pub aud: Vec<String>,
}
