//! The words of the language.

/// The cool-down of the rule that acted holds back both directions.
pub const SHARED_COOL_DOWN: &str = "one cool down for both directions";

/// The custom metric that `queue depth` means.
pub const QUEUE_DEPTH: &str = "queue_depth";

pub const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Words that cannot be a metric's bare name.
const WORDS: &[&str] = &["all"];

/// Whether the language uses this word itself; case does not matter.
#[must_use]
pub fn is_word(name: &str) -> bool {
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
}
