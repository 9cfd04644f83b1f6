//! Before an app shrinks: would the rules that made it grow be true with fewer instances?
//!
//! The load stays, so each remaining instance gets n / k of it. The mean of the last minute stands
//! for the load; for rules about any instance, the greatest or a percentile, that of the busiest.
//! What load does not drive (memory, disk, crashes) is not projected.

use crate::ast::{Over, Rule};
use crate::decision::WhyNot;
use crate::evaluate::View;
use crate::policy::{Asked, Leaf, Policy};
use crate::units::Milli;

/// A change from `from` to fewer instances, as the rule in place `rule` wants it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shrink {
    pub(crate) rule: usize,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

enum Outlook {
    /// Below the threshold.
    Stays,
    Breaks(WhyNot),
    Unknown(WhyNot),
    /// Not a matter of load.
    NoMatter,
}

/// What forbids the change.
pub(crate) fn forbids(shrink: Shrink, policy: &Policy, view: View<'_>) -> Option<WhyNot> {
    let mut unknown = None;
    for (against, checked) in policy.rules.iter().enumerate() {
        match outlook(&checked.asked, &checked.rule, against, shrink, view) {
            Outlook::Breaks(why) => return Some(why),
            Outlook::Unknown(why) => unknown = unknown.or(Some(why)),
            Outlook::Stays | Outlook::NoMatter => {}
        }
    }
    unknown
}

/// `and` breaks when all of its parts do, as far as they are a matter of load; `or` when one does.
fn outlook(asked: &Asked, rule: &Rule, against: usize, shrink: Shrink, view: View<'_>) -> Outlook {
    let (parts, one_stays_is_enough) = match asked {
        Asked::Is(leaf) => return leaf_outlook(leaf, rule, against, shrink, view),
        Asked::And(parts) => (parts, true),
        Asked::Or(parts) => (parts, false),
    };
    let (mut breaks, mut unknown, mut stays) = (None, None, false);
    for part in parts {
        match outlook(part, rule, against, shrink, view) {
            Outlook::Stays => stays = true,
            Outlook::Breaks(why) => breaks = breaks.or(Some(why)),
            Outlook::Unknown(why) => unknown = unknown.or(Some(why)),
            Outlook::NoMatter => {}
        }
    }
    match (breaks, unknown) {
        _ if stays && one_stays_is_enough => Outlook::Stays,
        (Some(why), _) => Outlook::Breaks(why),
        (None, Some(why)) => Outlook::Unknown(why),
        (None, None) if stays => Outlook::Stays,
        (None, None) => Outlook::NoMatter,
    }
}

fn leaf_outlook(
    leaf: &Leaf,
    rule: &Rule,
    against: usize,
    shrink: Shrink,
    view: View<'_>,
) -> Outlook {
    let Some(place) = leaf.projected else {
        return Outlook::NoMatter;
    };
    let Some(now) = load(leaf, place, rule, view) else {
        return Outlook::Unknown(WhyNot::ProjectionUnknown {
            holds: shrink.rule,
            against,
        });
    };
    let (from, to) = (i128::from(shrink.from), i128::from(shrink.to.max(1)));
    let all = i128::from(now) * from;
    let threshold = leaf.comparison.threshold;
    if !leaf
        .comparison
        .op
        .holds_for(all, i128::from(threshold) * to)
    {
        return Outlook::Stays;
    }
    Outlook::Breaks(WhyNot::Projection {
        holds: shrink.rule,
        against,
        metric: leaf.comparison.metric.clone(),
        now,
        then: Milli::try_from(all.div_euclid(to)).unwrap_or(Milli::MAX),
        threshold,
        to: shrink.to,
    })
}

/// Mean of the last minute: of all instances, or of the busiest.
fn load(leaf: &Leaf, place: usize, rule: &Rule, view: View<'_>) -> Option<Milli> {
    let need = &view.window.needs()[place];
    let end = need.bucket(view.now + 1);
    let warm = view.now - i64::from(rule.warm_up_s);
    let means = view.window.seats().iter().filter_map(|seat| {
        let counts = seat.runs && seat.since.is_some_and(|since| since <= warm);
        let track = seat.tracks.get(place).filter(|_| counts)?;
        let buckets = end - i64::from(need.buckets)..=end;
        mean(buckets.filter_map(|bucket| track.at(bucket, need.stands())))
    });
    match leaf.comparison.over {
        Over::Any | Over::Max | Over::Percentile(_) => means.max(),
        Over::All | Over::Avg | Over::Min => mean(means),
    }
}

/// Rounded up: the careful side.
fn mean(values: impl Iterator<Item = Milli>) -> Option<Milli> {
    let (sum, count) = values.fold((0_i128, 0_i128), |(sum, count), value| {
        (sum + i128::from(value), count + 1)
    });
    let mean = (count > 0).then(|| -(-sum).div_euclid(count))?;
    Milli::try_from(mean).ok()
}
