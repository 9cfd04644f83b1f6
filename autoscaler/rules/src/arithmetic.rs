//! From "40 % more" to a count, in whole numbers.

use crate::ast::{Amount, Direction, Range, Round, Rule};
use crate::decision::{Arithmetic, Clamp};

/// One instance, in hundredths.
const ONE: i64 = 100;

/// What the rule makes of `size` within `limits`.
#[must_use]
pub(crate) fn apply(rule: &Rule, size: u32, limits: Range) -> Arithmetic {
    apply_amount(rule, rule.amount, size, limits)
}

/// Likewise with another amount than the rule's: for its fallback.
pub(crate) fn apply_amount(rule: &Rule, amount: Amount, size: u32, limits: Range) -> Arithmetic {
    let raw = raw_hundredths(amount, rule.direction, size);
    let rounded = match amount {
        // A target on the other side is no wish.
        Amount::To(target) => beyond(size, target, rule.direction),
        Amount::Percent(_) | Amount::By(_) => {
            let neighbour = match rule.direction {
                Direction::Out => size.saturating_add(1),
                Direction::In => size.saturating_sub(1),
            };
            // A rule that holds moves by at least one.
            beyond(neighbour, round(raw, rule.round), rule.direction)
        }
    };
    let mut clamped_by = None;
    let mut bound = |from: u32, to: u32, by: Clamp| {
        if from != to {
            clamped_by = Some(by);
        }
        to
    };
    let mut stepped = rounded;
    if rounded != size {
        let delta = rounded.abs_diff(size);
        let least = bound(delta, delta.max(rule.min_step), Clamp::LeastStep);
        let most = rule.max_step.unwrap_or(u32::MAX);
        let delta = bound(least, least.min(most), Clamp::MostStep);
        stepped = moved(size, delta, rule.direction);
    }
    if let Some(range) = rule.between {
        let within = beyond(size, range.clamp(stepped), rule.direction);
        stepped = bound(stepped, within, Clamp::RuleLimits);
    }
    let to = bound(stepped, limits.clamp(stepped), Clamp::Limits);
    Arithmetic {
        raw_hundredths: raw,
        rounded,
        stepped,
        clamped_by,
        to,
    }
}

fn raw_hundredths(amount: Amount, direction: Direction, size: u32) -> i64 {
    let size = i64::from(size);
    let delta = match amount {
        Amount::Percent(percent) => size * i64::from(percent),
        Amount::By(count) => i64::from(count) * ONE,
        Amount::To(count) => return i64::from(count) * ONE,
    };
    match direction {
        Direction::Out => size * ONE + delta,
        Direction::In => (size * ONE - delta).max(0),
    }
}

fn round(raw: i64, how: Round) -> u32 {
    let count = match how {
        Round::Up => raw + ONE - 1,
        Round::Half => raw + ONE / 2,
        Round::Down => raw,
    } / ONE;
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// `count`, but not on the near side of `size`.
fn beyond(size: u32, count: u32, direction: Direction) -> u32 {
    match direction {
        Direction::Out => count.max(size),
        Direction::In => count.min(size),
    }
}

fn moved(size: u32, delta: u32, direction: Direction) -> u32 {
    match direction {
        Direction::Out => size.saturating_add(delta),
        Direction::In => size.saturating_sub(delta),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::{Comparison, Condition, Metric, Op, Over};

    const SIZES: [u32; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 50, 72, 100, 250];
    const WIDE: Range = Range {
        min: 0,
        max: 10_000,
    };

    fn rule(direction: Direction, amount: Amount, round: Round) -> Rule {
        let comparison = Comparison {
            over: Over::All,
            metric: Metric::Cpu,
            op: Op::Above,
            threshold: 90_000,
            for_s: 3_600,
            every_s: None,
        };
        Rule {
            round,
            ..Rule::new(direction, amount, Condition::Is(comparison))
        }
    }

    fn row(direction: Direction, round: Round, sizes: &[u32]) -> Vec<u32> {
        let rule = rule(direction, Amount::Percent(40), round);
        sizes.iter().map(|n| apply(&rule, *n, WIDE).to).collect()
    }

    #[test]
    fn forty_percent_more_rounds_as_the_table_says() {
        let up = [2, 3, 5, 6, 7, 9, 10, 12, 13, 14, 19, 70, 101, 140, 350];
        let half = [2, 3, 4, 6, 7, 8, 10, 11, 13, 14, 18, 70, 101, 140, 350];
        let down = [2, 3, 4, 5, 7, 8, 9, 11, 12, 14, 18, 70, 100, 140, 350];
        assert_eq!(row(Direction::Out, Round::Up, &SIZES), up);
        assert_eq!(row(Direction::Out, Round::Half, &SIZES), half);
        assert_eq!(row(Direction::Out, Round::Down, &SIZES), down);
    }

    #[test]
    fn forty_percent_less_rounds_as_app_autoscaler_does_with_half() {
        let sizes: Vec<u32> = (1..=10).collect();
        let half = [0, 1, 2, 2, 3, 4, 4, 5, 5, 6];
        assert_eq!(row(Direction::In, Round::Half, &sizes), half);
        let down = [0, 1, 1, 2, 3, 3, 4, 4, 5, 6];
        assert_eq!(row(Direction::In, Round::Down, &sizes), down);
    }

    #[test]
    fn repeated_growth_passes_a_hundred_in_seven_acts_from_ten_and_twelve_from_one() {
        let growth = |round: Round, mut n: u32, acts: usize| -> Vec<u32> {
            let rule = rule(Direction::Out, Amount::Percent(40), round);
            let mut step = || {
                n = apply(&rule, n, WIDE).to;
                n
            };
            (0..acts).map(|_| step()).collect()
        };
        assert_eq!(growth(Round::Up, 10, 7), [14, 20, 28, 40, 56, 79, 111]);
        assert_eq!(growth(Round::Half, 10, 7), [14, 20, 28, 39, 55, 77, 108]);
        assert_eq!(growth(Round::Up, 1, 12).last(), Some(&111));
        assert_eq!(growth(Round::Half, 1, 13).last(), Some(&112));
    }

    #[test]
    fn steps_and_limits_bound_a_change_and_say_so() {
        let mut one = rule(Direction::Out, Amount::Percent(40), Round::Up);
        one.max_step = Some(50);
        let capped = apply(&one, 250, WIDE);
        assert_eq!(
            (capped.raw_hundredths, capped.rounded, capped.to),
            (35_000, 350, 300)
        );
        assert_eq!(capped.clamped_by, Some(Clamp::MostStep));
        one.min_step = 3;
        assert_eq!(apply(&one, 2, WIDE).to, 5);
        one.between = Some(Range { min: 1, max: 4 });
        assert_eq!(apply(&one, 2, WIDE).to, 4);
        assert_eq!(apply(&one, 9, WIDE).to, 9, "an out-rule never shrinks");
        let limited = apply(&one, 2, Range { min: 1, max: 3 });
        assert_eq!((limited.to, limited.clamped_by), (3, Some(Clamp::Limits)));
    }

    #[test]
    fn a_target_on_the_other_side_is_no_wish() {
        let out = rule(Direction::Out, Amount::To(120), Round::Up);
        assert_eq!(apply(&out, 10, WIDE).to, 120);
        assert_eq!(apply(&out, 200, WIDE).to, 200);
        let less = rule(Direction::In, Amount::To(4), Round::Down);
        assert_eq!(apply(&less, 10, WIDE).to, 4);
        assert_eq!(apply(&less, 3, WIDE).to, 3);
    }

    #[test]
    fn absurd_amounts_saturate() {
        let out = rule(Direction::Out, Amount::Percent(1_000_000), Round::Up);
        assert_eq!(apply(&out, u32::MAX, WIDE).to, WIDE.max);
        let less = rule(Direction::In, Amount::By(1_000_000), Round::Down);
        assert_eq!(apply(&less, 3, Range { min: 1, max: 9 }).to, 1);
    }
}
