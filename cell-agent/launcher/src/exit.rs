//! How far an app has come, as its launcher saw it: one short line in the slot. Blank at first,
//! then `ARMED`, then the record of its end.

use std::fmt;
use std::str::FromStr;

/// Bytes of the exit file; the record is padded to it, so that writing it changes no size.
pub const RECORD_BYTES: usize = 128;

/// The line while the app runs: the launcher has taken its command and takes no other.
pub const ARMED: &str = "cfx1 armed";

/// How the app ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitRecord {
    /// Exit status; 128 + n when signal n ended it.
    pub status: u8,
    /// The signal that ended it.
    pub signal: Option<u8>,
    /// The kernel killed a process of the instance at its memory limit.
    pub out_of_memory: bool,
    /// Bytes of log thrown away while no agent read them.
    pub dropped_log_bytes: u64,
}

/// The file does not hold an exit record: the launcher was killed before it wrote one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRecord;

impl fmt::Display for ExitRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cfx1 status={} signal={} oom={} dropped={} end",
            self.status,
            self.signal.unwrap_or(0),
            u8::from(self.out_of_memory),
            self.dropped_log_bytes
        )
    }
}

impl FromStr for ExitRecord {
    type Err = NoRecord;

    fn from_str(text: &str) -> Result<Self, NoRecord> {
        let mut words = text.trim_end_matches(['\0', '\n', ' ']).split(' ');
        if words.next() != Some("cfx1") {
            return Err(NoRecord);
        }
        let mut number = |key: &str| -> Result<u64, NoRecord> {
            let word = words.next().ok_or(NoRecord)?;
            let value = word.strip_prefix(key).ok_or(NoRecord)?;
            value.parse().map_err(|_| NoRecord)
        };
        let status = u8::try_from(number("status=")?).map_err(|_| NoRecord)?;
        let signal = u8::try_from(number("signal=")?).map_err(|_| NoRecord)?;
        let out_of_memory = number("oom=")? == 1;
        let dropped_log_bytes = number("dropped=")?;
        if words.next() != Some("end") || words.next().is_some() {
            return Err(NoRecord);
        }
        Ok(Self {
            status,
            signal: (signal != 0).then_some(signal),
            out_of_memory,
            dropped_log_bytes,
        })
    }
}

impl ExitRecord {
    /// The record as the exit file holds it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; RECORD_BYTES] {
        padded(&self.to_string())
    }
}

/// A line as the exit file holds it.
#[must_use]
pub fn padded(line: &str) -> [u8; RECORD_BYTES] {
    let mut bytes = [b' '; RECORD_BYTES];
    for (to, from) in bytes.iter_mut().zip(line.bytes()) {
        *to = from;
    }
    bytes
}

/// Has the launcher taken a command, as far as the line tells?
#[must_use]
pub fn is_armed(line: &str) -> bool {
    line.trim_end() == ARMED || line.parse::<ExitRecord>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_file_even_with_the_largest_numbers() {
        for record in [
            ExitRecord {
                status: 0,
                signal: None,
                out_of_memory: false,
                dropped_log_bytes: 0,
            },
            ExitRecord {
                status: 255,
                signal: Some(64),
                out_of_memory: true,
                dropped_log_bytes: u64::MAX,
            },
        ] {
            let bytes = record.to_bytes();
            let text = std::str::from_utf8(&bytes).expect("text");
            assert_eq!(text.parse(), Ok(record));
        }
    }

    #[test]
    fn an_empty_or_torn_file_is_no_record() {
        assert!(is_armed(&String::from_utf8_lossy(&padded(ARMED))));
        let torn = "cfx1 status=137 signal=9 oom=1 dropped=12";
        for wrong in [
            "",
            "\0\0\0\0",
            torn,
            "cfx1 status=300 signal=0 oom=0 dropped=0 end",
        ] {
            assert_eq!(wrong.parse::<ExitRecord>(), Err(NoRecord), "{wrong:?}");
        }
    }
}
