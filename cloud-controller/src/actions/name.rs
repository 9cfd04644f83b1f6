//! What people may call things.

use super::Refused;

/// Longest name of anything, characters: Cloud Foundry's limit.
pub const NAME_MAX_CHARS: usize = 255;

/// Something printable, on one line.
pub fn check(name: &str) -> Result<(), Refused> {
    if name.trim().is_empty() {
        return Err(Refused::unprocessable("Name can't be blank"));
    }
    if name.chars().count() > NAME_MAX_CHARS {
        return Err(Refused::Unprocessable(format!(
            "Name is too long (maximum is {NAME_MAX_CHARS} characters)"
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Refused::unprocessable(
            "Name must contain only printable characters",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_in_characters_and_stay_on_one_line() {
        assert_eq!(check(&"ü".repeat(NAME_MAX_CHARS)), Ok(()));
        for wrong in ["", "  ", "a\nb", "a\u{0}", &"x".repeat(NAME_MAX_CHARS + 1)] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
