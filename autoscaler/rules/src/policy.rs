//! A checked policy: what `decide` works with. It is made by [`Policy::parse`] or
//! [`crate::check::check`], never changed afterwards, and stored as its canonical text.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::ast::{Comparison, Document, Range, Rule, Schedule};
use crate::check::{self, CheckError};
use crate::parse::{self, ParseError};
use crate::window::{Mark, Need};

/// The rules, limits and schedules of one app.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Policy {
    pub(crate) document: Document,
    pub(crate) rules: Vec<CheckedRule>,
    pub(crate) limits: Range,
    pub(crate) schedules: Vec<CheckedSchedule>,
    pub(crate) needs: Vec<Need>,
    /// For each need the comparison that tracks keep the answer to: the first one that looks at it.
    /// None for means, which are compared together and not one by one.
    pub(crate) marks: Vec<Option<Mark>>,
    pub(crate) fingerprint: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CheckedRule {
    pub(crate) rule: Rule,
    /// The canonical sentence, shared by all records that quote it.
    pub(crate) text: Arc<str>,
    pub(crate) asked: Asked,
}

/// A condition whose comparisons know where their samples are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    Is(Leaf),
    And(Vec<Asked>),
    Or(Vec<Asked>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) comparison: Comparison,
    /// Place within the rule, from the left.
    pub(crate) position: usize,
    /// Place in `Policy::needs` of what it looks at.
    pub(crate) need: usize,
    /// Place of the mean that the projection test multiplies, where shrinking could make this
    /// comparison true.
    pub(crate) projected: Option<usize>,
}

/// A schedule with its zone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CheckedSchedule {
    pub(crate) schedule: Schedule,
    pub(crate) text: Arc<str>,
    pub(crate) zone: TimeZone,
    /// A digest of the text.
    pub(crate) key: u64,
}

/// The text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl Policy {
    /// One statement a line, or several with `;` between them. `#` begins a remark.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Ok(check::check(parse::document(text)?)?)
    }

    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.document.rules
    }

    #[must_use]
    pub fn schedules(&self) -> &[Schedule] {
        &self.document.schedules
    }

    /// The limits while no schedule is active.
    #[must_use]
    pub fn limits(&self) -> Range {
        self.limits
    }

    /// What must be kept of each instance: see [`crate::Window`].
    #[must_use]
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }

    /// The canonical sentence of each rule.
    pub fn rule_texts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rules.iter().map(|rule| &rule.text)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)
    }
}

impl TryFrom<String> for Policy {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Policy> for String {
    fn from(policy: Policy) -> Self {
        policy.to_string()
    }
}
