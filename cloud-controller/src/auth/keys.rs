//! Making the keys that sign tokens.

use jiff::Timestamp;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use super::digest;
use crate::state::auth::SigningKey;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("a signing key cannot be made: {0}")]
    Generate(#[from] rcgen::Error),
}

/// A fresh RSA key of 2048 bits; its id follows from its public half. Takes some 100 ms of CPU.
pub fn generate(now: Timestamp) -> Result<SigningKey, KeyError> {
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let public_key = pair.public_key_pem();
    let id = digest(&public_key);
    Ok(SigningKey {
        id: id.get(..16).unwrap_or(&id).to_owned(),
        private_key: pair.serialize_pem(),
        public_key,
        created_at: now,
    })
}
