//! `/token_keys`: the public halves of the keys that sign tokens.

use axum::Json;
use axum::response::IntoResponse;
use cfx_protocol::uaa::{TokenKey, TokenKeys};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};

use super::{UaaAnswer, UaaRefusal};
use crate::api::request::Visitor;
use crate::auth::newest;
use crate::state::auth::SigningKey;

pub(in crate::api) async fn list(visitor: Visitor) -> UaaAnswer {
    let state = visitor.context.state.read();
    let keys = state.all::<SigningKey>().map(|key| present(key));
    let keys = keys.collect::<Result<_, _>>()?;
    Ok(Json(TokenKeys { keys }).into_response())
}

/// `/token_key`: the one that signs now.
pub(in crate::api) async fn show(visitor: Visitor) -> UaaAnswer {
    let state = visitor.context.state.read();
    let key = newest(&state).ok_or_else(|| UaaRefusal::not_found("there is no key"))?;
    Ok(Json(present(key)?).into_response())
}

fn present(key: &SigningKey) -> Result<TokenKey, UaaRefusal> {
    let parsed = DecodingKey::from_rsa_pem(key.public_key.as_bytes());
    let jwk = parsed.and_then(|parsed| Jwk::from_decoding_key(&parsed, None));
    let jwk = jwk.map_err(UaaRefusal::internal)?;
    let AlgorithmParameters::RSA(parameters) = jwk.algorithm else {
        return Err(UaaRefusal::internal("a signing key is not RSA"));
    };
    Ok(TokenKey {
        kty: "RSA".to_owned(),
        alg: "RS256".to_owned(),
        usage: "sig".to_owned(),
        kid: key.id.clone(),
        value: key.public_key.clone(),
        n: parameters.n,
        e: parameters.e,
    })
}
