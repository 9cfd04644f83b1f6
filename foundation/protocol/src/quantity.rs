//! Amounts of memory and disk as people type them (`256M`, `1G`) and as Cloud Foundry prints them.

/// The text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount: write a whole number with a unit, such as 256M or 1G")]
pub struct InvalidQuantity(pub String);

const KIB: u64 = 1024;

/// Bytes of an amount with its unit: `B`, `K`, `M`, `G` or `T`, each with or without `B` / `iB`.
/// The unit is obligatory, as in a Cloud Foundry manifest.
pub fn parse_bytes(text: &str) -> Result<u64, InvalidQuantity> {
    let invalid = || InvalidQuantity(text.chars().take(64).collect());
    let trimmed = text.trim();
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .ok_or_else(invalid)?;
    let (digits, unit) = trimmed.split_at(split);
    let count: u64 = digits.parse().map_err(|_| invalid())?;
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "B" => 1,
        "K" | "KB" | "KIB" => KIB,
        "M" | "MB" | "MIB" => KIB.pow(2),
        "G" | "GB" | "GIB" => KIB.pow(3),
        "T" | "TB" | "TIB" => KIB.pow(4),
        _ => return Err(invalid()),
    };
    count.checked_mul(factor).ok_or_else(invalid)
}

/// Mebibytes of an amount; the amount must be at least one of them.
pub fn parse_mebibytes(text: &str) -> Result<u32, InvalidQuantity> {
    let invalid = || InvalidQuantity(text.chars().take(64).collect());
    let mebibytes = parse_bytes(text)? / KIB.pow(2);
    match u32::try_from(mebibytes) {
        Ok(0) | Err(_) => Err(invalid()),
        Ok(mebibytes) => Ok(mebibytes),
    }
}

/// The way the cf CLI prints bytes: one decimal at most, a unit of one letter.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    let (unit, factor) = match bytes {
        b if b >= KIB.pow(4) => ("T", KIB.pow(4)),
        b if b >= KIB.pow(3) => ("G", KIB.pow(3)),
        b if b >= KIB.pow(2) => ("M", KIB.pow(2)),
        b if b >= KIB => ("K", KIB),
        b => return format!("{b}B"),
    };
    let tenths = bytes.saturating_mul(10) / factor;
    if tenths.is_multiple_of(10) {
        format!("{}{unit}", tenths / 10)
    } else {
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_and_print_as_in_cloud_foundry() {
        for (text, bytes) in [
            ("1B", 1),
            ("64k", 65_536),
            ("256M", 268_435_456),
            ("1GB", 1 << 30),
            (" 2 GiB ", 2 << 30),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "256",
            "M",
            "-1M",
            "1.5G",
            "99999999999999999999G",
            "18446744073709551615T",
            "1X",
        ] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
        for (bytes, text) in [
            (0, "0B"),
            (1 << 20, "1M"),
            (51_066_000, "48.7M"),
            (1 << 30, "1G"),
        ] {
            assert_eq!(format_bytes(bytes), text);
        }
    }

    #[test]
    fn less_than_a_mebibyte_is_refused_where_mebibytes_are_asked() {
        assert_eq!(parse_mebibytes("1G"), Ok(1024));
        assert!(parse_mebibytes("64K").is_err());
        assert!(parse_mebibytes("9999999999G").is_err());
    }
}
