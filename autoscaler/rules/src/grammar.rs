//! The language, in one page, and its words. `parse` reads it, `print` writes it.
//!
//! ```text
//! policy     = statement { (newline | ";") statement }          # begins a remark
//! statement  = rule | limits | schedule | "one cool down for both directions"
//!
//! rule       = "scale" ["out" | "in"] amount "if" condition { clause }
//! amount     = N "%" | "by" N ["%"] | "to" N                     a sign may stand for out and in
//! condition  = group { "or" group }
//! group      = part { "and" part }
//! part       = "(" condition ")" [window] | comparison
//! comparison = [over "of"] metric op value [window]
//! window     = "for" duration ["every" duration]                 one window may serve those before it
//! over       = "all" | "any" | "avg" | "min" | "max" | "p50".."p99"
//! metric     = "CPU" | "core CPU" | "memory" | "disk" | "throughput" | [percentile] "response time"
//!            | "in-flight" | "queue depth" | "crashes" | NAME | "metric" NAME
//! op         = ">" | ">=" | "<" | "<=" | "above" | "below" | "at least" | "at most"
//! value      = decimal with the metric's unit: % | MB GB | /s | ms s | none
//!
//! clause     = limits
//!            | "at least" ["+"] N ["each time"] | "at most" ["+"] N ["each time"]
//!            | "cool down" duration | "warm up" duration
//!            | "round" ("up" | "half" | "down")
//!            | "on missing" ("hold" | "assume breach" | "assume ok" | "fallback" N)
//!            | "carry evidence" | "forgive restarts"
//! limits     = "between" N "and" N ["instances"]
//!
//! schedule   = "from" date time "to" [date] time [zone] keep
//!            | "every" days time "-" time [zone] ["from" date] ["until" date] keep
//! days       = "day" | weekday {"," weekday ["-" weekday]} | day-numbers "of the month"
//! keep       = "keep" N ["to" N] ["instances"] ["starting at" N]
//! ```
//!
//! Case does not matter, except in names of metrics and zones. A rule may be said in Chinese too:
//! `parse::chinese`.

/// The cool-down of the rule that acted holds back both directions.
pub const SHARED_COOL_DOWN: &str = "one cool down for both directions";

/// The custom metric that `queue depth` means.
pub const QUEUE_DEPTH: &str = "queue_depth";

pub const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Longest text of a policy, in bytes: a hundred schedules and thirty long rules fit.
pub const TEXT_BYTES_MAX: usize = 32 * 1024;

/// Deepest nesting of parentheses: a person loses count long before.
pub const NESTING_MAX: usize = 16;

/// Words that cannot be the bare name of a metric; `metric NAME` works for all.
const WORDS: &[&str] = &[
    "above",
    "all",
    "and",
    "any",
    "at",
    "average",
    "avg",
    "below",
    "between",
    "carry",
    "cool",
    "core",
    "cpu",
    "crashes",
    "disk",
    "each",
    "every",
    "flight",
    "for",
    "forgive",
    "from",
    "if",
    "in",
    "inflight",
    "instances",
    "keep",
    "latency",
    "least",
    "max",
    "mean",
    "memory",
    "metric",
    "min",
    "missing",
    "most",
    "of",
    "on",
    "or",
    "out",
    "over",
    "queue",
    "response",
    "round",
    "scale",
    "throughput",
    "to",
    "under",
    "warm",
    "when",
];

/// Whether a metric of this name must be written `metric NAME`.
#[must_use]
pub fn is_word(name: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit();
    let percentile = name
        .strip_prefix(['p', 'P'])
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(digit));
    percentile
        || name.starts_with(digit)
        || WORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
}
