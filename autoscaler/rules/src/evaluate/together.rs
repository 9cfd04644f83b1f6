//! Comparisons of the instances taken together: mean, least, greatest, percentile. In every bucket
//! the instances that are eligible make one value, and that is compared.

use super::instance::Witness;
use super::{Question, Span, Truth, missing, nobody, witnesses};
use crate::ast::{Comparison, OnMissing, Over, Rule};
use crate::decision::Cause;
use crate::units::Milli;

pub(super) fn compare(of: &Comparison, rule: &Rule, span: &Span, question: &Question<'_>) -> Truth {
    let witnesses: Vec<Witness<'_>> = witnesses(rule, span, question).collect();
    let Some(oldest) = witnesses.iter().min_by_key(|witness| witness.first) else {
        return nobody(rule, question);
    };
    // An instance that started again does not restart the app's evidence; but somebody must have
    // been there all the time.
    if oldest.first > span.first {
        return Truth::DoesNot(question.finding(oldest.too_young(span, question)));
    }
    let gap = witnesses
        .iter()
        .find_map(|witness| witness.coverage(span, question).err());
    // A mean of what happens to be there is no ground for a "no" either.
    if let Some(cause) = gap
        && rule.on_missing != OnMissing::AssumeBreach
    {
        return missing(rule, question.finding(cause));
    }
    match against(of, &witnesses, span, question) {
        Some(cause) => Truth::DoesNot(question.finding(cause)),
        None => gap.map_or(Truth::Holds, |cause| missing(rule, question.finding(cause))),
    }
}

/// The newest bucket in which the comparison does not hold.
fn against(
    of: &Comparison,
    witnesses: &[Witness<'_>],
    span: &Span,
    question: &Question<'_>,
) -> Option<Cause> {
    let mut values = Vec::with_capacity(witnesses.len());
    for bucket in (span.first..span.end).rev() {
        values.clear();
        values.extend(
            witnesses
                .iter()
                .filter_map(|one| one.value(bucket, question)),
        );
        match Joined::of(of.over, &mut values) {
            Some(joined) if !joined.compare(of) => {
                return Some(Cause::Value {
                    instance: None,
                    at: span.last_second(bucket),
                    value: joined.value(),
                    op: of.op,
                    threshold: of.threshold,
                });
            }
            _ => {}
        }
    }
    None
}

/// One value made of several, as a fraction, so that a mean is compared exactly.
struct Joined {
    sum: i128,
    count: i128,
}

impl Joined {
    fn of(over: Over, values: &mut [Milli]) -> Option<Self> {
        let one = |value: Milli| Self {
            sum: i128::from(value),
            count: 1,
        };
        match over {
            Over::Min | Over::All => values.iter().min().copied().map(one),
            Over::Max | Over::Any => values.iter().max().copied().map(one),
            Over::Percentile(p) => nearest_rank(values, p).map(one),
            Over::Avg if values.is_empty() => None,
            Over::Avg => Some(Self {
                sum: values.iter().copied().map(i128::from).sum(),
                count: i128::try_from(values.len()).unwrap_or(1),
            }),
        }
    }

    fn compare(&self, of: &Comparison) -> bool {
        let threshold = i128::from(of.threshold) * self.count;
        of.op.holds_for(self.sum, threshold)
    }

    fn value(&self) -> Milli {
        Milli::try_from(self.sum.div_euclid(self.count)).unwrap_or(Milli::MAX)
    }
}

/// The smallest value that at least p of a hundred do not exceed.
fn nearest_rank(values: &mut [Milli], p: u8) -> Option<Milli> {
    let rank = (values.len() * usize::from(p)).div_ceil(100).max(1);
    if values.is_empty() {
        return None;
    }
    let (_, value, _) = values.select_nth_unstable(rank - 1);
    Some(*value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let mut values: Vec<Milli> = (1..=20).rev().collect();
        assert_eq!(nearest_rank(&mut values, 95), Some(19));
        assert_eq!(nearest_rank(&mut values, 50), Some(10));
        assert_eq!(nearest_rank(&mut values, 1), Some(1));
        assert_eq!(nearest_rank(&mut [7], 99), Some(7));
        assert_eq!(nearest_rank(&mut [], 50), None);
    }
}
