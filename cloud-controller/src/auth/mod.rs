//! Who is who: passwords, tokens and their keys, and the patience with those who guess.
//!
//! Knows nothing of HTTP and decides nothing about rights.

mod caller;
mod claims;
mod keys;
mod password;
mod throttle;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

pub use caller::{Caller, USER_SCOPES, client_guid};
pub use claims::Claims;
pub use keys::{KeyError, generate as generate_signing_key};
pub use password::{PASSWORD_MAX_BYTES, PasswordError, Passwords};
pub use throttle::{Attempt, Throttle};

use crate::state::State;
use crate::state::auth::SigningKey;

/// Life of an access token, seconds.
pub const ACCESS_TOKEN_LIFE_S: i64 = 600;
/// Life of a refresh token, seconds: 30 days.
pub const REFRESH_TOKEN_LIFE_S: i64 = 30 * 24 * 3_600;
/// Clocks of two controllers may differ by this much, seconds.
const SKEW_S: i64 = 30;
/// Longest token that is looked at, bytes: ours have 1.5 KB.
const TOKEN_MAX_BYTES: usize = 16 * 1024;
const ALGORITHM: Algorithm = Algorithm::RS256;
/// Whom tokens must be meant for.
const AUDIENCE: &str = "cloud_controller";

/// A token is not to be believed. Callers are not told why.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("it is not a token of this platform: {0}")]
    Foreign(&'static str),
    #[error("its signature or form is wrong: {0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    #[error("it has expired")]
    Expired,
    #[error("its user, client or session is gone")]
    Revoked,
    #[error("there is no key to sign with")]
    NoKey,
}

/// Signs and verifies; cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    passwords: Passwords,
    throttle: Throttle,
    /// Parsed public keys, by key id.
    verifying: Mutex<HashMap<String, Arc<DecodingKey>>>,
}

impl Default for Auth {
    fn default() -> Self {
        Self(Arc::new(Inner {
            passwords: Passwords::default(),
            throttle: Throttle::default(),
            verifying: Mutex::default(),
        }))
    }
}

impl Auth {
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    #[must_use]
    pub fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// Sign claims with the newest key.
    pub fn sign(&self, state: &State, claims: &Claims) -> Result<String, TokenError> {
        let key = newest(state).ok_or(TokenError::NoKey)?;
        let header = Header {
            kid: Some(key.id.clone()),
            ..Header::new(ALGORITHM)
        };
        let signer = EncodingKey::from_rsa_pem(key.private_key.as_bytes())?;
        Ok(jsonwebtoken::encode(&header, claims, &signer)?)
    }

    /// The claims of an unexpired token of ours, whoever it belongs to.
    pub fn claims(&self, state: &State, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenError::Foreign("too long"));
        }
        let key_id = jsonwebtoken::decode_header(token)?.kid;
        let key_id = key_id.ok_or(TokenError::Foreign("no key id"))?;
        let verifier = self.verifier(state, &key_id)?;
        let mut validation = Validation::new(ALGORITHM);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        // Judged below, against our own clock.
        validation.validate_exp = false;
        let claims: Claims = jsonwebtoken::decode(token, &verifier, &validation)?.claims;
        let now_s = now.as_second();
        if claims.exp <= now_s {
            return Err(TokenError::Expired);
        }
        if claims.iat > now_s + SKEW_S {
            return Err(TokenError::Foreign("issued in the future"));
        }
        Ok(claims)
    }

    /// Who holds this token. Their account, client and session must still be there.
    pub fn verify(&self, state: &State, token: &str, now: Timestamp) -> Result<Caller, TokenError> {
        let claims = self.claims(state, token, now)?;
        Caller::of(state, claims).ok_or(TokenError::Revoked)
    }

    fn verifier(&self, state: &State, key_id: &str) -> Result<Arc<DecodingKey>, TokenError> {
        let key = state.get::<SigningKey>(&key_id.to_owned());
        let key = key.ok_or(TokenError::Foreign("unknown key"))?;
        if let Some(known) = self.0.verifying.lock().get(key_id) {
            return Ok(known.clone());
        }
        let parsed = Arc::new(DecodingKey::from_rsa_pem(key.public_key.as_bytes())?);
        let mut verifying = self.0.verifying.lock();
        // Keys that are gone from the state are gone from here too.
        verifying.retain(|id, _| state.get::<SigningKey>(id).is_some());
        verifying.insert(key_id.to_owned(), parsed.clone());
        Ok(parsed)
    }
}

/// The key that signs.
#[must_use]
pub fn newest(state: &State) -> Option<&Arc<SigningKey>> {
    state
        .all::<SigningKey>()
        .max_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)))
}

/// How secrets of high entropy are kept: SHA-256 in hexadecimal.
#[must_use]
pub fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests;
