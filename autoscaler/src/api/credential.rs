//! `credential`: a name and a password with which an app sends measurements of its own, because
//! instances have no token of the platform. Only a digest of the password is kept.

use axum::Json;
use axum::body::Bytes;
use axum::response::IntoResponse;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cfx_store::commit::{Commit, Op};
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::access::Intent;
use super::call::{self, Call};
use super::error::{Answer, ApiError};
use crate::state::{CREDENTIAL, key, put, read};

/// Random bytes of a made name and of a made password.
const NAME_BYTES: usize = 8;
const PASSWORD_BYTES: usize = 24;
/// Longest that one may choose, characters.
const CHOSEN_MAX_CHARS: usize = 128;

/// What is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    username: String,
    /// SHA-256 in hexadecimal: made passwords cannot be guessed.
    digest: String,
}

/// What somebody chooses; what is left out is made.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    username: Option<String>,
    password: Option<String>,
}

/// Make one, in place of the one before.
pub(crate) async fn create(call: Call, body: Bytes) -> Answer {
    call.require(Intent::Write).await?;
    let chosen = match body.is_empty() {
        true => Chosen::default(),
        false => call::json(&body)?,
    };
    for text in [&chosen.username, &chosen.password].into_iter().flatten() {
        let fits = (1..=CHOSEN_MAX_CHARS).contains(&text.chars().count());
        if !fits || text.contains(':') {
            return Err(ApiError::BadRequest(format!(
                "username and password have 1 to {CHOSEN_MAX_CHARS} characters and no colon"
            )));
        }
    }
    let ids = &call.context.edges.ids;
    let username = chosen.username.unwrap_or_else(|| ids.secret(NAME_BYTES));
    let password = chosen
        .password
        .unwrap_or_else(|| ids.secret(PASSWORD_BYTES));
    let kept = Kept {
        digest: digest(&password),
        username: username.clone(),
    };
    let op = put(key(CREDENTIAL, call.app), &kept).map_err(ApiError::Store)?;
    commit(&call, op).await?;
    let shown = json!({ "app_id": call.app, "username": username, "password": password });
    Ok(Json(shown).into_response())
}

pub(crate) async fn delete(call: Call) -> Answer {
    call.require(Intent::Write).await?;
    commit(&call, Op::delete(key(CREDENTIAL, call.app))).await?;
    Ok(Json(json!({})).into_response())
}

async fn commit(call: &Call, op: Op) -> Result<(), ApiError> {
    let commit = Commit {
        compares: Vec::new(),
        ops: vec![op],
    };
    let committed = call.context.edges.store.commit(commit).await;
    committed.map_err(|error| ApiError::Store(error.into()))?;
    Ok(())
}

/// May this caller send measurements of the app: with its credential, or as one who may scale it?
pub(super) async fn admit(call: &Call) -> Result<(), ApiError> {
    let Some((username, password)) = basic(call.authorization()) else {
        return call.require(Intent::Write).await;
    };
    let key = key(CREDENTIAL, call.app);
    let loaded = call.context.edges.store.load(&key).await;
    let loaded = loaded.map_err(|error| ApiError::Store(error.into()))?;
    let entry = loaded.entries.first().ok_or(ApiError::Unauthorized)?;
    let kept: Kept = read(entry).map_err(ApiError::Store)?;
    match kept.username == username && kept.digest == digest(&password) {
        true => Ok(()),
        false => Err(ApiError::Unauthorized),
    }
}

fn basic(authorization: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

fn digest(password: &str) -> String {
    hex::encode(Sha256::digest(password.as_bytes()))
}
