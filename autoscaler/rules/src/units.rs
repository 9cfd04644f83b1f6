//! Whole numbers instead of floats: Unix seconds, thousandths of a metric's unit, durations as
//! people type them (`90s`, `1h30m`).

/// Unix time in whole seconds.
pub type Second = i64;

/// A metric's value in thousandths of its unit: 90 % is 90,000; 1.5 s of response time, counted in
/// milliseconds, is 1,500,000. No float decides an instance count.
pub type Milli = i64;

/// Thousandths of one.
pub const ONE: Milli = 1_000;

/// Largest absolute value of a sample or threshold, in units: products with instance counts stay
/// far inside 128 bits and sums of a whole window inside 64.
pub const VALUE_MAX: i64 = 1_000_000_000_000;

/// Digits of a decimal text that are read; a longer one is no measurement.
const DIGITS_MAX: usize = 40;

const UNITS: [(&str, u32); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Thousandths of a decimal number such as `89.25` or `1.5e+09`, the form in which metrics travel.
/// What lies below a thousandth is cut off. `None` for anything that is no such number, and for
/// values beyond [`VALUE_MAX`].
#[must_use]
pub fn milli_from_text(text: &str) -> Option<Milli> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    let count = digits().count();
    if count == 0 || count > DIGITS_MAX || !digits().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The decimal point stands this many digits from the left once thousandths are counted.
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent) + 3;
    let mut value: i64 = 0;
    for place in 0..point.clamp(0, 19) {
        let digit = usize::try_from(place)
            .ok()
            .and_then(|place| digits().nth(place))
            .map_or(0, |b| i64::from(b - b'0'));
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    let zero = digits().all(|b| b == b'0');
    let fits = value <= VALUE_MAX * ONE && (point <= 19 || zero);
    fits.then_some(if negative { -value } else { value })
}

/// The value in units, with only the decimals that it has: `89`, `89.5`.
#[must_use]
pub fn milli_text(value: Milli) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, part) = (
        value.unsigned_abs() / ONE.unsigned_abs(),
        value.unsigned_abs() % ONE.unsigned_abs(),
    );
    if part == 0 {
        return format!("{sign}{whole}");
    }
    let part = format!("{part:03}");
    format!("{sign}{whole}.{}", part.trim_end_matches('0'))
}

/// `1h`, `90s`, `1h30m`: the largest units first, none twice.
#[must_use]
pub fn duration_text(seconds: u32) -> String {
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut rest = seconds;
    let mut text = String::new();
    for (unit, size) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
        }
    }
    text
}

/// Seconds of `90s` or `1h30m`; units in any order, each with its whole number.
#[must_use]
pub fn duration_from_text(text: &str) -> Option<u32> {
    let mut rest = text;
    let mut total: u32 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u32 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        total = total.checked_add(count.checked_mul(unit_seconds(&rest[..end])?)?)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

/// Seconds of one unit, in the spellings people use.
#[must_use]
pub fn unit_seconds(unit: &str) -> Option<u32> {
    Some(match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_thousandths_without_a_float() {
        for (text, milli) in [
            ("90", 90_000),
            ("89.25", 89_250),
            ("0.0009", 0),
            ("-1.5", -1_500),
            ("1.5e+09", 1_500_000_000_000),
            ("1.5e-2", 15),
            ("+7", 7_000),
            ("1000000000000", VALUE_MAX * ONE),
        ] {
            assert_eq!(milli_from_text(text), Some(milli), "{text}");
        }
        for wrong in [
            "",
            ".",
            "NaN",
            "+Inf",
            "1e99",
            "9e18",
            "1000000000001",
            "1,5",
            "1e",
        ] {
            assert_eq!(milli_from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for seconds in [0, 1, 59, 60, 90, 3_600, 5_400, 86_400, 90_061] {
            assert_eq!(duration_from_text(&duration_text(seconds)), Some(seconds));
        }
        for value in [0, 1, 10, 999, 1_000, 89_500, -12_340] {
            assert_eq!(milli_from_text(&milli_text(value)), Some(value));
        }
        assert_eq!(duration_text(5_400), "1h30m");
        assert_eq!(duration_from_text("h"), None);
    }
}
