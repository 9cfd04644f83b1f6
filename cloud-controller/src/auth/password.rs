//! Passwords: argon2id, off the async threads, few at a time.

use std::sync::Arc;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use cfx_process::entropy::IdSource;
use tokio::sync::Semaphore;

/// OWASP's second choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
/// Hashes at once: each holds 19 MiB and a core.
const CONCURRENT: usize = 2;
/// Longest wait for a turn: past it the platform is being flooded.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest password, bytes: hashing time grows with it.
pub const PASSWORD_MAX_BYTES: usize = 1_024;
const SALT_BYTES: usize = 16;
/// What is verified when there is no such user, so that both take the same time. It is the hash
/// of no password.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("the password must have 1 to {PASSWORD_MAX_BYTES} bytes")]
    Length,
    #[error("too many people are signing in at once; try again in a moment")]
    Busy,
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// Hashes and verifies passwords.
#[derive(Debug, Clone)]
pub struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CONCURRENT)))
    }
}

impl Passwords {
    /// In PHC form, with a fresh salt.
    pub async fn hash(&self, password: &str, ids: &IdSource) -> Result<String, PasswordError> {
        if password.is_empty() || password.len() > PASSWORD_MAX_BYTES {
            return Err(PasswordError::Length);
        }
        let password = password.to_owned();
        let salt = ids.secret(SALT_BYTES);
        self.in_turn(move || {
            let salt = hex::decode(salt).unwrap_or_default();
            let hash = hasher()?.hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string())
                .map_err(|error| PasswordError::Hash(error.to_string()))
        })
        .await?
    }

    /// Is it the password of this hash? Without a hash the answer is no, after as long.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, PasswordError> {
        if password.len() > PASSWORD_MAX_BYTES {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = hash.unwrap_or(NOBODY).to_owned();
        let password = password.to_owned();
        self.in_turn(move || {
            let verified = hasher()?.verify_password(password.as_bytes(), hash.as_str());
            Ok(known && verified.is_ok())
        })
        .await?
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, self.0.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = turn else {
            return Err(PasswordError::Busy);
        };
        let done = tokio::task::spawn_blocking(move || {
            let answer = work();
            drop(permit);
            answer
        });
        done.await
            .map_err(|error| PasswordError::Hash(error.to_string()))
    }
}

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None)
        .map_err(|error| PasswordError::Hash(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}
