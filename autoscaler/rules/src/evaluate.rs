//! What a rule says about the samples: it holds, it does not, or nobody can tell.
//!
//! A comparison looks at the last whole buckets that its `for` asks for. "All above 90 % for 1h"
//! means: every eligible instance, in every bucket of the hour, lowest sample above 90. Three
//! things keep that honest:
//!
//! - **Eligible** is an instance that had run for its warm-up when the bucket began. One that
//!   started again has evidence only of its new life; one that was added is no witness of the time
//!   before it existed.
//! - **Coverage**: nine buckets of ten must be there, and no hole may be longer than two. Otherwise
//!   the comparison is undecided, which is neither true nor false, and is recorded.
//! - **Evidence restarts** when the number of instances changes: the hour that led to one act is
//!   not the reason for the next.

mod instance;
mod together;

use crate::ast::{Comparison, Evidence, Metric, OnMissing, Over, Rule};
use crate::decision::{Cause, Finding, Verdict};
use crate::policy::{Asked, CheckedRule, Leaf};
use crate::state::State;
use crate::units::Second;
use crate::window::{Mark, Need, Window};

use instance::Witness;

/// What is looked at: everything but the rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) window: &'a Window,
    pub(crate) state: &'a State,
    pub(crate) now: Second,
}

/// What is known about a comparison, or about a whole condition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Truth {
    Holds,
    /// It holds only because the rule says what to assume of missing data.
    Assumed(Finding),
    DoesNot(Finding),
    Undecided(Finding),
}

/// What the rule says now.
pub(crate) fn evaluate(checked: &CheckedRule, view: View<'_>) -> Verdict {
    match condition(&checked.asked, &checked.rule, view) {
        Truth::Holds => Verdict::Holds,
        Truth::Assumed(finding) => Verdict::Assumed(finding),
        Truth::DoesNot(finding) => Verdict::DoesNot(finding),
        Truth::Undecided(finding) => match checked.rule.on_missing {
            OnMissing::Fallback(_) if finding.cause != Cause::NobodyYet => {
                Verdict::Fallback(finding)
            }
            _ => Verdict::Undecided(finding),
        },
    }
}

/// Three-valued logic: one "no" settles an `and`, one "yes" an `or`, and what is undecided stays so
/// only while nothing else settles the matter.
fn condition(asked: &Asked, rule: &Rule, view: View<'_>) -> Truth {
    match asked {
        Asked::Is(leaf) => comparison(&leaf.comparison, rule, Question::new(leaf, view)),
        Asked::And(parts) => strongest(parts, rule, view, |truth| match truth {
            Truth::DoesNot(_) => SETTLED,
            Truth::Undecided(_) => 2,
            Truth::Assumed(_) => 1,
            Truth::Holds => 0,
        }),
        Asked::Or(parts) => strongest(parts, rule, view, |truth| match truth {
            Truth::Holds => SETTLED,
            Truth::Assumed(_) => 2,
            Truth::Undecided(_) => 1,
            Truth::DoesNot(_) => 0,
        }),
    }
}

/// The strength of a truth that makes the others irrelevant.
const SETTLED: u8 = 3;

/// The first of the strongest.
fn strongest(parts: &[Asked], rule: &Rule, view: View<'_>, strength: fn(&Truth) -> u8) -> Truth {
    let mut best: Option<Truth> = None;
    for part in parts {
        let next = condition(part, rule, view);
        if best
            .as_ref()
            .is_none_or(|best| strength(&next) > strength(best))
        {
            best = Some(next);
        }
        if best.as_ref().is_some_and(|best| strength(best) == SETTLED) {
            break;
        }
    }
    best.unwrap_or(Truth::Holds)
}

/// One comparison, and all that is needed to answer it.
struct Question<'a> {
    leaf: &'a Leaf,
    need: &'a Need,
    /// Do tracks keep the answer to it?
    is_marked: bool,
    view: View<'a>,
}

impl<'a> Question<'a> {
    fn new(leaf: &'a Leaf, view: View<'a>) -> Self {
        let need = &view.window.needs()[leaf.need];
        let is_marked = view.window.mark(leaf.need) == Some(Mark::of(&leaf.comparison));
        Self {
            leaf,
            need,
            is_marked,
            view,
        }
    }

    fn finding(&self, cause: Cause) -> Finding {
        Finding {
            comparison: self.leaf.position,
            metric: self.need.metric.clone(),
            cause,
        }
    }
}

fn comparison(of: &Comparison, rule: &Rule, question: Question<'_>) -> Truth {
    let Some(span) = Span::settled(&question, rule) else {
        return nobody(rule, &question);
    };
    if let Some(cause) = restarted(rule, &span, &question) {
        return Truth::DoesNot(question.finding(cause));
    }
    match of.over {
        Over::All => all(of, rule, &span, &question),
        Over::Any => any(of, rule, &span, &question),
        Over::Avg | Over::Min | Over::Max | Over::Percentile(_) => {
            together::compare(of, rule, &span, &question)
        }
    }
}

/// Every instance must hold. One that does not settles it, whatever is missing elsewhere.
fn all(of: &Comparison, rule: &Rule, span: &Span, question: &Question<'_>) -> Truth {
    let mut gap = None;
    let mut seen = false;
    for witness in witnesses(rule, span, question) {
        match witness.testify(of, span, question) {
            Ok(()) => {}
            Err(cause) if cause.is_gap() => gap = gap.or(Some(cause)),
            Err(cause) => return Truth::DoesNot(question.finding(cause)),
        }
        seen = true;
    }
    match gap {
        Some(cause) => missing(rule, question.finding(cause)),
        None if seen => Truth::Holds,
        None => nobody(rule, question),
    }
}

/// One instance must hold, from the beginning to the end.
fn any(of: &Comparison, rule: &Rule, span: &Span, question: &Question<'_>) -> Truth {
    let (mut gap, mut no) = (None, None);
    for witness in witnesses(rule, span, question) {
        match witness.testify(of, span, question) {
            Ok(()) => return Truth::Holds,
            Err(cause) if cause.is_gap() => gap = gap.or(Some(cause)),
            Err(cause) => no = no.or(Some(cause)),
        }
    }
    match (gap, no) {
        (Some(cause), _) => missing(rule, question.finding(cause)),
        (None, Some(cause)) => Truth::DoesNot(question.finding(cause)),
        (None, None) => nobody(rule, question),
    }
}

/// No instance has anything to say. An app that only just starts misses no data, so there is
/// nothing to assume and no reason to fall back; a gauge that nobody sends is missing.
fn nobody(rule: &Rule, question: &Question<'_>) -> Truth {
    match question.need.metric {
        Metric::Custom(_) => missing(rule, question.finding(Cause::NobodySends)),
        _ => Truth::Undecided(question.finding(Cause::NobodyYet)),
    }
}

/// What the rule makes of missing data.
fn missing(rule: &Rule, finding: Finding) -> Truth {
    match rule.on_missing {
        OnMissing::AssumeBreach => Truth::Assumed(finding),
        OnMissing::AssumeOk => Truth::DoesNot(finding),
        OnMissing::Hold | OnMissing::Fallback(_) => Truth::Undecided(finding),
    }
}

/// The count changed within the span, and the rule wants evidence from after that.
fn restarted(rule: &Rule, span: &Span, question: &Question<'_>) -> Option<Cause> {
    let since = question.view.state.evidence_from?;
    let too_recent = rule.after_scale == Evidence::Restart && since > span.begin_s();
    too_recent.then(|| Cause::EvidenceRestarted {
        since,
        has_s: seconds(span.end_s() - since),
        needs_s: question.need.span_s(),
    })
}

fn witnesses<'a>(
    rule: &'a Rule,
    span: &'a Span,
    question: &'a Question<'_>,
) -> impl Iterator<Item = Witness<'a>> {
    let seats = question.view.window.seats().iter().enumerate();
    seats.filter_map(move |(index, seat)| Witness::of(index, seat, rule, span, question))
}

/// The buckets that a comparison looks at: `first` up to, but without, `end`.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: i64,
    end: i64,
    width_s: u32,
}

impl Span {
    /// Up to the newest second that all instances have reported, so that a sample on its way is no
    /// hole; but waiting ends, and then it is one. `None` when no instance is there to report.
    fn settled(question: &Question<'_>, rule: &Rule) -> Option<Self> {
        let until = instance::settled(question, rule)?;
        let width_s = question.need.width_s;
        let end = until.div_euclid(Second::from(width_s));
        Some(Self {
            first: end - i64::from(question.need.buckets),
            end,
            width_s,
        })
    }

    fn begin_s(&self) -> Second {
        self.first * Second::from(self.width_s)
    }

    fn end_s(&self) -> Second {
        self.end * Second::from(self.width_s)
    }

    /// The second with which this bucket ends.
    fn last_second(&self, bucket: i64) -> Second {
        (bucket + 1) * Second::from(self.width_s)
    }
}

/// A length of time as records keep it; one that has not begun is nothing.
fn seconds(length: Second) -> u32 {
    u32::try_from(length.max(0)).unwrap_or(u32::MAX)
}
