//! One record of the journal: what is known of one start of an instance, packed.
//!
//! ```text
//!   [length u32][crc32c u32][payload]            little endian
//!   payload: version, app, process, instance, index, type, facts, kind of body, columns
//! ```
//! The checksum is over the payload. A record that cannot be read is the end of what is believed.

use std::sync::Arc;

use uuid::Uuid;

use super::codec::{put, take, unzigzag, zigzag};
use super::column::PackedMinute;
use super::instance::Identity;
use super::series::{Facts, Kind};

const VERSION: u64 = 1;
const MINUTES: u64 = 1;
const BLOCKS: u64 = 2;
/// Most blocks of one column: a week of hours and a few more.
const BLOCKS_MAX: u64 = 1_000;
/// Longest block, bytes: sixty buckets of the largest numbers.
const BLOCK_MAX_BYTES: u64 = 4_096;

/// Start, number of buckets, bytes.
pub(super) type Block = (i64, usize, Vec<u8>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) identity: Identity,
    pub(super) facts: Facts,
    pub(super) body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    /// Minutes that were sealed.
    Minutes(Vec<(Kind, PackedMinute)>),
    /// All buckets: of ten seconds, of a minute.
    Blocks(Vec<(Kind, Vec<Block>, Vec<Block>)>),
}

/// Append a record with its length and checksum.
pub(super) fn append(out: &mut Vec<u8>, record: &Record) {
    let payload = write(record);
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    out.extend_from_slice(&payload);
}

fn write(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, VERSION);
    let it = &record.identity;
    for guid in [it.app.0, it.process.0, it.instance.0] {
        out.extend_from_slice(guid.as_bytes());
    }
    put(&mut out, it.index.into());
    put_bytes(&mut out, it.process_type.as_bytes());
    let facts = &record.facts;
    for fact in [facts.memory_mb, facts.disk_mb, facts.entitlement_millicores] {
        put(&mut out, fact.into());
    }
    // 0 is "never": nothing runs since 1970.
    put(&mut out, zigzag(facts.running_since.unwrap_or(0)));
    match &record.body {
        Body::Minutes(minutes) => {
            put(&mut out, MINUTES);
            put(&mut out, minutes.len() as u64);
            for (kind, minute) in minutes {
                put(&mut out, *kind as u64);
                put(&mut out, zigzag(minute.start));
                put_bytes(&mut out, &minute.bytes);
            }
        }
        Body::Blocks(columns) => {
            put(&mut out, BLOCKS);
            put(&mut out, columns.len() as u64);
            for (kind, tens, minutes) in columns {
                put(&mut out, *kind as u64);
                put_blocks(&mut out, tens);
                put_blocks(&mut out, minutes);
            }
        }
    }
    out
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_blocks(out: &mut Vec<u8>, blocks: &[Block]) {
    put(out, blocks.len() as u64);
    for (start, len, bytes) in blocks {
        put(out, zigzag(*start));
        put(out, *len as u64);
        put_bytes(out, bytes);
    }
}

/// A payload whose checksum was right; none when it is of another version, or makes no sense.
pub(super) fn read(mut payload: &[u8]) -> Option<Record> {
    let from = &mut payload;
    if take(from)? != VERSION {
        return None;
    }
    let [app, process, instance] = [take_guid(from)?, take_guid(from)?, take_guid(from)?];
    let index = small(take(from)?)?;
    let process_type: Arc<str> = std::str::from_utf8(take_bytes(from)?).ok()?.into();
    let facts = Facts {
        memory_mb: small(take(from)?)?,
        disk_mb: small(take(from)?)?,
        entitlement_millicores: small(take(from)?)?,
        running_since: Some(unzigzag(take(from)?)).filter(|since| *since != 0),
    };
    let (body, columns) = (take(from)?, take(from)?);
    let columns = 0..columns.min(BLOCKS_MAX * Kind::ALL.len() as u64);
    let body = match body {
        MINUTES => Body::Minutes(columns.map(|_| minute(from)).collect::<Option<_>>()?),
        BLOCKS => Body::Blocks(columns.map(|_| column(from)).collect::<Option<_>>()?),
        _ => return None,
    };
    let identity = Identity {
        app: app.into(),
        process: process.into(),
        process_type,
        instance: instance.into(),
        index,
    };
    Some(Record {
        identity,
        facts,
        body,
    })
}

fn minute(from: &mut &[u8]) -> Option<(Kind, PackedMinute)> {
    let kind = kind(take(from)?)?;
    let start = unzigzag(take(from)?);
    let bytes = take_bytes(from)?.into();
    Some((kind, PackedMinute { start, bytes }))
}

fn column(from: &mut &[u8]) -> Option<(Kind, Vec<Block>, Vec<Block>)> {
    Some((kind(take(from)?)?, take_blocks(from)?, take_blocks(from)?))
}

fn take_blocks(from: &mut &[u8]) -> Option<Vec<Block>> {
    let count = take(from)?.min(BLOCKS_MAX);
    let block = |_| {
        let start = unzigzag(take(from)?);
        let len = usize::try_from(take(from)?).ok()?;
        Some((start, len, take_bytes(from)?.to_vec()))
    };
    (0..count).map(block).collect()
}

fn take_bytes<'b>(from: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(take(from)?.min(BLOCK_MAX_BYTES)).ok()?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

fn take_guid(from: &mut &[u8]) -> Option<Uuid> {
    let (bytes, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(Uuid::from_bytes(*bytes))
}

fn small(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn kind(number: u64) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| *kind as u64 == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let guid = Uuid::from_u128;
        Record {
            identity: Identity {
                app: guid(1).into(),
                process: guid(2).into(),
                process_type: "web".into(),
                instance: guid(3).into(),
                index: 7,
            },
            facts: Facts {
                memory_mb: 64,
                disk_mb: 128,
                entitlement_millicores: 50,
                running_since: Some(1_800_000_000),
            },
            body: Body::Blocks(vec![(Kind::P99, vec![(-60, 2, vec![1, 2])], Vec::new())]),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let minutes = Body::Minutes(vec![(
            Kind::Cpu,
            PackedMinute {
                start: 120,
                bytes: vec![9].into(),
            },
        )]);
        for record in [
            record(),
            Record {
                body: minutes,
                ..record()
            },
        ] {
            let payload = write(&record);
            assert_eq!(read(&payload), Some(record));
        }
    }

    #[test]
    fn a_record_that_was_cut_anywhere_is_no_record() {
        let payload = write(&record());
        for length in 0..payload.len() {
            assert_eq!(read(&payload[..length]), None, "{length}");
        }
    }
}
