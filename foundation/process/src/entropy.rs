//! Ids, secrets and dice. The only place that draws randomness.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

/// A shared source of ids; cloning it is cheap.
#[derive(Clone)]
pub struct IdSource(Arc<Mutex<StdRng>>);

impl IdSource {
    /// Seeded by the operating system.
    #[must_use]
    pub fn system() -> Self {
        let mut seed = [0_u8; 32];
        let mut words = Uuid::new_v4_words();
        for chunk in seed.chunks_mut(16) {
            chunk.copy_from_slice(&words());
        }
        Self(Arc::new(Mutex::new(StdRng::from_seed(seed))))
    }

    /// The same seed gives the same ids.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A fresh guid of any kind.
    pub fn guid<Guid: From<Uuid>>(&self) -> Guid {
        let mut bytes = [0_u8; 16];
        self.0.lock().fill_bytes(&mut bytes);
        Guid::from(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.lock().next_u64()
    }

    /// A number in `0..bound`; 0 when the bound is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.number() % bound }
    }

    /// A secret of `bytes` random bytes in hexadecimal.
    #[must_use]
    pub fn secret(&self, bytes: usize) -> String {
        let mut buffer = vec![0_u8; bytes];
        self.0.lock().fill_bytes(&mut buffer);
        hex::encode(buffer)
    }
}

impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdSource")
    }
}

/// Sixteen bytes at a time from the operating system, by the way that `uuid` gets them.
trait OperatingSystemWords {
    fn new_v4_words() -> impl FnMut() -> [u8; 16];
}

impl OperatingSystemWords for Uuid {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is where randomness is drawn"
    )]
    fn new_v4_words() -> impl FnMut() -> [u8; 16] {
        || *Uuid::new_v4().as_bytes()
    }
}
