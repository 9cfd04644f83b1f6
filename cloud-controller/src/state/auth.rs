//! What tokens are made of: clients, signing keys, refresh tokens, join tokens of cells.

use std::collections::BTreeSet;

use cfx_protocol::id::UserGuid;
use cfx_protocol::link::Role;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Link, Record};

/// An OAuth client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub id: String,
    /// argon2 in PHC form; none means the empty secret, as the `cf` client has.
    pub secret_hash: Option<String>,
    pub grant_types: BTreeSet<String>,
    /// What users' tokens through this client may carry.
    pub scopes: BTreeSet<String>,
    /// What the client's own tokens carry.
    pub authorities: BTreeSet<String>,
    pub created_at: Timestamp,
}

/// A key that signs tokens. It outlives restarts; the newest signs, all verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    pub id: String,
    /// PKCS#8 PEM.
    pub private_key: String,
    /// SubjectPublicKeyInfo PEM.
    pub public_key: String,
    pub created_at: Timestamp,
}

/// A signed-in user: the refresh tokens that descend from one sign-in. It ends as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    /// Of the session; access tokens name it.
    pub guid: uuid::Uuid,
    pub user: UserGuid,
    pub client: String,
    pub scopes: BTreeSet<String>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// Oldest first.
    pub issued: Vec<IssuedSecret>,
}

/// One refresh token of a session. It is exchanged for the next one, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedSecret {
    /// SHA-256 in hexadecimal.
    pub digest: String,
    pub used_at: Option<Timestamp>,
}

/// A token that lets one cell or router join, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// SHA-256 of the secret, hexadecimal.
    pub secret_digest: String,
    pub role: Role,
    pub expires_at: Timestamp,
}

impl Record for Client {
    type Key = String;
    const KIND: &'static str = "client";

    fn key(&self) -> String {
        self.id.clone()
    }
}

impl Record for SigningKey {
    type Key = String;
    const KIND: &'static str = "signing_key";

    fn key(&self) -> String {
        self.id.clone()
    }
}

impl Record for RefreshToken {
    type Key = uuid::Uuid;
    const KIND: &'static str = "refresh_token";

    fn key(&self) -> uuid::Uuid {
        self.guid
    }

    fn links(&self) -> Vec<Link> {
        vec![Link::RefreshTokensOf(self.user.0)]
    }

    fn guid(&self) -> Option<uuid::Uuid> {
        Some(self.guid)
    }
}

impl Record for JoinToken {
    type Key = String;
    const KIND: &'static str = "join_token";

    fn key(&self) -> String {
        self.secret_digest.clone()
    }
}
