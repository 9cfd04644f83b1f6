//! The part of PromQL that rules and people need, over series of anybody's.
//!
//! `parse` -> `Query` -> `evaluate` over a `Source`, which loads each selector once. Everything is
//! bounded: the text, its nesting, what is loaded, what is looked at, what is answered. Nothing
//! here knows what an app is, reads a clock or waits.

mod ast;
mod evaluate;
mod function;
mod lexer;
mod matcher;
mod parser;

pub use ast::{Query, Selector};
pub use evaluate::{Labels, Point, Source, Stream, Value, instant, range};
pub use lexer::duration;
pub use matcher::Matcher;
pub use parser::parse;

/// Longest query, bytes: 1,000 guids in a matcher, and room.
pub const QUERY_MAX_BYTES: usize = 64 * 1024;
/// Deepest nesting: people write five levels.
pub const DEPTH_MAX: usize = 32;
/// Most selectors in one query.
pub const SELECTORS_MAX: usize = 32;
/// Most samples that one query may load.
pub const SAMPLES_MAX: usize = 1_000_000;
/// Most points of one series in an answer: Prometheus's.
pub const STEPS_MAX: i64 = 11_000;
/// Most values in one answer.
pub const VALUES_MAX: usize = 500_000;
/// Most samples that may be looked at over all steps: a second of a core.
pub const WORK_MAX: usize = 50_000_000;
/// An instant has the newest value of this long, milliseconds; of coarser series, two of their widths.
pub const LOOKBACK_MS: i64 = 10_000;
/// Longest range and offset, milliseconds: twice what is kept.
pub const DURATION_MAX_MS: i64 = 14 * 86_400_000;

/// A query that cannot be answered, in words for who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `at` counts characters from 1.
    #[error("at character {at}: {message}")]
    Syntax { at: usize, message: String },
    #[error("{0}")]
    Meaning(String),
    #[error("{what}: {advice}")]
    TooMuch { what: String, advice: &'static str },
}

impl Error {
    pub(crate) fn meaning(message: impl Into<String>) -> Self {
        Self::Meaning(message.into())
    }

    pub(crate) fn too_many_samples() -> Self {
        Self::TooMuch {
            what: format!("the query would read more than {SAMPLES_MAX} samples"),
            advice: "ask for fewer apps, a shorter range, or an older time, which is kept coarser",
        }
    }
}

#[cfg(test)]
mod tests;
