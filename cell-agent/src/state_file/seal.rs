//! Seals what holds credentials, with a key that lies beside it, readable by root only. That keeps
//! credentials out of backups and copies of single files; it cannot protect against root.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use cfx_process::entropy::IdSource;

const KEY_BYTES: usize = 32;
/// What is sealed with one purpose cannot be opened as another.
const PURPOSE: &[u8] = b"cfx cell spec 1";

#[derive(Debug)]
pub(super) struct Key(LessSafeKey);

impl Key {
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let unbound = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
        Some(Self(LessSafeKey::new(unbound)))
    }

    pub(super) fn generate(ids: &IdSource) -> Option<(Self, Vec<u8>)> {
        let bytes = hex::decode(ids.secret(KEY_BYTES)).ok()?;
        Some((Self::from_bytes(&bytes)?, bytes))
    }

    /// Nonce, then what is sealed. Random nonces are safe for 2^32 messages of one key.
    pub(super) fn seal(&self, mut plain: Vec<u8>, ids: &IdSource) -> Option<Vec<u8>> {
        let nonce = hex::decode(ids.secret(NONCE_LEN)).ok()?;
        let used = Nonce::try_assume_unique_for_key(&nonce).ok()?;
        self.0
            .seal_in_place_append_tag(used, Aad::from(PURPOSE), &mut plain)
            .ok()?;
        Some([nonce, plain].concat())
    }

    /// None when it was not sealed with this key, or has changed since.
    pub(super) fn open(&self, sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(PURPOSE), &mut rest)
            .ok()?;
        Some(plain.to_vec())
    }
}
