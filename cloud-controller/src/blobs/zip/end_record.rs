//! How many entries an archive says it has, before anything is allocated for them. An archive of
//! a gigabyte can list twenty million.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// The end record with the longest comment, and the 64-bit record and locator before it.
const TAIL_BYTES: u64 = 22 + 65_535 + 20 + 56;
const END: &[u8; 4] = b"PK\x05\x06";
const END_64: &[u8; 4] = b"PK\x06\x06";
/// Where the total stands in each record.
const END_TOTAL_AT: usize = 10;
const END_64_TOTAL_AT: usize = 32;

/// The largest number that any end record in the file's tail names; whichever of them a reader
/// believes, it is no more than this.
pub(super) fn entries_declared(mut file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    file.rewind()?;
    Ok(largest(&tail))
}

fn largest(tail: &[u8]) -> u64 {
    let mut most = 0;
    for at in 0..tail.len().saturating_sub(4) {
        let record = &tail[at..];
        let total = if record.starts_with(END) {
            record
                .get(END_TOTAL_AT..END_TOTAL_AT + 2)
                .and_then(|bytes| bytes.try_into().ok())
                .map(|bytes| u64::from(u16::from_le_bytes(bytes)))
        } else if record.starts_with(END_64) {
            record
                .get(END_64_TOTAL_AT..END_64_TOTAL_AT + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_le_bytes)
        } else {
            None
        };
        most = most.max(total.unwrap_or(0));
    }
    most
}
