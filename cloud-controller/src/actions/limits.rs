//! What amounts may be, and in which words they are refused.

use cfx_protocol::v3::resource::Number;
use cfx_store::commit::VALUE_BYTES_MAX;

use super::Refused;
use crate::state::Record;

/// Most instances of one process: what a scale may ask for before it is a slip of the finger.
pub const INSTANCES_MAX: i64 = 20_000;
/// Most memory or disk of one instance, MiB: what the integers of clients hold.
pub const MEGABYTES_MAX: i64 = i32::MAX as i64;
/// Room that a record leaves for fields that grow later (states, errors), bytes.
const RECORD_RESERVE_BYTES: usize = 1_024;

/// How many instances.
pub fn instances(number: Number) -> Result<u32, Refused> {
    if number.0 < 0 {
        return Err(Refused::unprocessable(
            "Instances must be greater than or equal to 0",
        ));
    }
    match u32::try_from(number.0) {
        Ok(instances) if number.0 <= INSTANCES_MAX => Ok(instances),
        _ => Err(Refused::Unprocessable(format!(
            "Instances must be less than or equal to {INSTANCES_MAX}"
        ))),
    }
}

/// `what` is `Memory in mb`, `Disk in mb`, ...
pub fn megabytes(what: &str, number: Number) -> Result<u32, Refused> {
    if number.0 <= 0 {
        return Err(Refused::Unprocessable(format!(
            "{what} must be greater than 0"
        )));
    }
    match u32::try_from(number.0) {
        Ok(megabytes) if number.0 <= MEGABYTES_MAX => Ok(megabytes),
        _ => Err(Refused::Unprocessable(format!(
            "{what} must be less than or equal to {MEGABYTES_MAX}"
        ))),
    }
}

/// Bytes a second; -1 is unlimited.
pub fn log_rate(number: Number) -> Result<Option<u64>, Refused> {
    if number.0 == -1 {
        return Ok(None);
    }
    u64::try_from(number.0).map(Some).map_err(|_| {
        Refused::unprocessable(
            "Log rate limit in bytes per second must be greater than or equal to -1",
        )
    })
}

/// Whole seconds of at least 1.
pub fn seconds(what: &str, number: Number, max: u32) -> Result<u32, Refused> {
    if number.0 <= 0 {
        return Err(Refused::Unprocessable(format!(
            "{what} must be greater than or equal to 1"
        )));
    }
    match u32::try_from(number.0) {
        Ok(seconds) if seconds <= max => Ok(seconds),
        _ => Err(Refused::Unprocessable(format!(
            "{what} must be less than or equal to {max} seconds"
        ))),
    }
}

/// Refuse a record that the store could not take. `what` says what of it is large.
pub fn check_fits<R: Record>(record: &R, what: &str) -> Result<(), Refused> {
    let size = serde_json::to_vec(record).map_or(usize::MAX, |bytes| bytes.len());
    let most = VALUE_BYTES_MAX - RECORD_RESERVE_BYTES;
    if size > most {
        return Err(Refused::Unprocessable(format!(
            "{what} take {size} bytes together; at most {most} can be kept. Make them smaller."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_numbers_are_refused_and_huge_but_possible_ones_are_not() {
        assert_eq!(
            megabytes("Memory in mb", Number(99_999 * 1024)),
            Ok(102_398_976)
        );
        for wrong in [0, -1, i64::MIN, i64::MAX, MEGABYTES_MAX + 1] {
            assert!(megabytes("Memory in mb", Number(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(instances(Number(0)), Ok(0));
        for wrong in [-1, INSTANCES_MAX + 1, i64::MAX] {
            assert!(instances(Number(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(log_rate(Number(-1)), Ok(None));
        assert!(log_rate(Number(-2)).is_err());
    }
}
