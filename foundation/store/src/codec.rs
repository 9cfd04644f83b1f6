//! How a value lies on disk: `[schema u16][crc32c u32][payload]`, little endian.
//!
//! The checksum covers the schema and the key too, so a value that turns up under another key is
//! as damaged as one with a flipped bit.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use cfx_protocol::id::ClusterGuid;

use crate::store::Revision;

/// The layout of this file. A change of it raises `FORMAT` too.
const SCHEMA: u16 = 1;
/// The version of the whole store; a store with a greater one is refused.
pub(crate) const FORMAT: u32 = 1;

const SCHEMA_BYTES: usize = 2;
const ENVELOPE_BYTES: usize = SCHEMA_BYTES + 4;
const RECORD_HEAD_BYTES: usize = 24;

/// What is stored under a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) create: Revision,
    pub(crate) modified: Revision,
    /// 0 is none.
    pub(crate) lease: u64,
    pub(crate) value: Bytes,
}

/// What the store knows of itself; written with every commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) format: u32,
    pub(crate) cluster: ClusterGuid,
    pub(crate) epoch: u64,
    pub(crate) revision: Revision,
    pub(crate) keys: u64,
}

/// Why bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("it is cut short")]
    Short,
    #[error("its checksum does not match")]
    Checksum,
    #[error("its schema {0} is unknown")]
    Schema(u16),
    #[error("it does not parse")]
    Content,
}

/// Values may hold credentials.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes)", self.value.len())
    }
}

impl Record {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(RECORD_HEAD_BYTES + self.value.len());
        payload.extend_from_slice(&self.create.to_le_bytes());
        payload.extend_from_slice(&self.modified.to_le_bytes());
        payload.extend_from_slice(&self.lease.to_le_bytes());
        payload.extend_from_slice(&self.value);
        seal(key, &payload)
    }

    pub(crate) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, Damage> {
        let payload = unseal(key, bytes)?;
        let (create, rest) = take_u64(payload)?;
        let (modified, rest) = take_u64(rest)?;
        let (lease, value) = take_u64(rest)?;
        Ok(Self {
            create,
            modified,
            lease,
            value: Bytes::copy_from_slice(value),
        })
    }
}

impl Meta {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let payload = serde_json::to_vec(self).expect("a struct of numbers is always JSON");
        seal(key, &payload)
    }

    pub(crate) fn decode(key: &[u8], bytes: &[u8]) -> Result<Self, Damage> {
        serde_json::from_slice(unseal(key, bytes)?).map_err(|_| Damage::Content)
    }
}

fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let schema = SCHEMA.to_le_bytes();
    let mut bytes = Vec::with_capacity(ENVELOPE_BYTES + payload.len());
    bytes.extend_from_slice(&schema);
    bytes.extend_from_slice(&checksum(schema, key, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn unseal<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
    let (schema, rest) = bytes.split_first_chunk().ok_or(Damage::Short)?;
    let (sum, payload) = rest.split_first_chunk().ok_or(Damage::Short)?;
    if checksum(*schema, key, payload) != u32::from_le_bytes(*sum) {
        return Err(Damage::Checksum);
    }
    match u16::from_le_bytes(*schema) {
        SCHEMA => Ok(payload),
        other => Err(Damage::Schema(other)),
    }
}

fn checksum(schema: [u8; SCHEMA_BYTES], key: &[u8], payload: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&schema);
    let sum = crc32c::crc32c_append(sum, key);
    crc32c::crc32c_append(sum, payload)
}

fn take_u64(bytes: &[u8]) -> Result<(u64, &[u8]), Damage> {
    let (head, rest) = bytes.split_first_chunk().ok_or(Damage::Short)?;
    Ok((u64::from_le_bytes(*head), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            create: 3,
            modified: 9,
            lease: 0,
            value: Bytes::from_static(b"{\"instances\":4}"),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_stored() {
        let bytes = record().encode(b"/cfx/v1/app/a");
        assert!(Record::decode(b"/cfx/v1/app/a", &bytes) == Ok(record()));
    }

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_damage() {
        let bytes = record().encode(b"k");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(b"k", &flipped).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Record::decode(b"k", &bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_record_under_another_key_is_damage() {
        let bytes = record().encode(b"/cfx/v1/app/a");
        assert!(Record::decode(b"/cfx/v1/app/b", &bytes) == Err(Damage::Checksum));
    }
}
