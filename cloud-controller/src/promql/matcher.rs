//! What a label must be. Regular expressions are anchored at both ends, as in Prometheus.

use std::collections::BTreeSet;

use regex_lite::{Regex, RegexBuilder};

/// Largest compiled expression, bytes.
const REGEX_MAX_BYTES: usize = 1024 * 1024;
/// Deepest nesting of an expression.
const REGEX_NEST_MAX: u32 = 20;

/// A condition on one label; a label that is not there is empty.
#[derive(Debug, Clone)]
pub struct Matcher {
    pub label: String,
    test: Test,
    /// `!=` or `!~`.
    negated: bool,
}

#[derive(Debug, Clone)]
enum Test {
    /// One of these: also what `a|b|c` comes to.
    OneOf(BTreeSet<String>),
    Regex(Box<Regex>),
}

impl Matcher {
    pub(super) fn new(label: &str, operator: &str, value: &str) -> Result<Self, String> {
        let test = match operator {
            "=" | "!=" => Test::OneOf(BTreeSet::from([value.to_owned()])),
            _ => expression(value)?,
        };
        Ok(Self {
            label: label.to_owned(),
            test,
            negated: operator.starts_with('!'),
        })
    }

    #[must_use]
    pub fn admits(&self, value: &str) -> bool {
        let fits = match &self.test {
            Test::OneOf(values) => values.contains(value),
            Test::Regex(regex) => regex.is_match(value),
        };
        fits != self.negated
    }

    /// All values that fit, where they can be told.
    #[must_use]
    pub fn values(&self) -> Option<&BTreeSet<String>> {
        match &self.test {
            Test::OneOf(values) if !self.negated => Some(values),
            _ => None,
        }
    }
}

/// An alternative of plain texts needs no automaton: a query may name a thousand apps.
fn expression(pattern: &str) -> Result<Test, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_:/ ".contains(c);
    if pattern.chars().all(|c| is_plain(c) || c == '|') {
        let values = pattern.split('|').map(str::to_owned);
        return Ok(Test::OneOf(values.collect()));
    }
    let regex = RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(REGEX_MAX_BYTES)
        .nest_limit(REGEX_NEST_MAX)
        .dot_matches_new_line(true)
        .build();
    regex
        .map(|regex| Test::Regex(Box::new(regex)))
        .map_err(|error| {
            format!(
                "the expression \"{}\" is not valid: {error}",
                short(pattern)
            )
        })
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
