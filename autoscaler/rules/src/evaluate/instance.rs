//! One instance as a witness: from when on it counts, and what its samples say.

use super::{Question, Span, seconds};
use crate::ast::{Comparison, Evidence, Rule, defaults};
use crate::decision::Cause;
use crate::units::{Milli, Second};
use crate::window::{BLOCK, Seat, Track};

/// Longest hole that is overlooked, in buckets.
const HOLE_BUCKETS_MAX: u32 = 2;

/// A start so soon after the index was added is its first one, or a first one that took several
/// tries, in seconds: an image may have to come first.
const FIRST_START_S: Second = 300;

/// An instance that has something to say about at least one bucket of the span.
pub(super) struct Witness<'a> {
    index: u32,
    track: &'a Track,
    /// The first bucket in which it is eligible, within the span.
    pub(super) first: i64,
    /// When it became eligible.
    from: Second,
    /// It existed before the span began, but has no evidence of the beginning.
    young: bool,
}

impl<'a> Witness<'a> {
    pub(super) fn of(
        index: usize,
        seat: &'a Seat,
        rule: &Rule,
        span: &Span,
        question: &Question<'_>,
    ) -> Option<Self> {
        let index = u32::try_from(index).ok()?;
        let metric = &question.need.metric;
        let track = seat.tracks.get(question.leaf.need)?;
        let from = match seat.since {
            _ if metric.survives_restart() => Second::MIN,
            Some(since) if seat.runs => since.saturating_add(Second::from(rule.warm_up_s)),
            _ => return None,
        };
        // Only those that send a gauge of the app's own are asked about it.
        let sends = track.newest().is_some_and(|newest| newest > span.begin_s());
        if metric.stands_s() > 1 && !sends {
            return None;
        }
        let eligible = ceiling(from, span.width_s);
        let young = eligible > span.first;
        let forgiven =
            young && (rule.after_restart == Evidence::Carry || added(index, seat, span, question));
        if forgiven && eligible >= span.end {
            return None;
        }
        Some(Self {
            index,
            track,
            first: eligible.max(span.first),
            from,
            young: young && !forgiven,
        })
    }

    /// Whether the comparison held in every bucket, or what speaks against it. The newest bucket
    /// is looked at first: most often it settles the matter.
    pub(super) fn testify(
        &self,
        of: &Comparison,
        span: &Span,
        question: &Question<'_>,
    ) -> Result<(), Cause> {
        if question.is_marked && self.track.mark_holds(self.first, span.end) {
            return match self.young {
                true => Err(self.too_young(span, question)),
                false => Ok(()),
            };
        }
        let stands = question.need.stands();
        let mut coverage = Coverage::default();
        let mut end = span.end;
        while end > self.first {
            let block = end - BLOCK;
            if block >= self.first && self.track.block_holds(block, of.op, of.threshold) {
                coverage.note_block();
                end = block;
                continue;
            }
            end -= 1;
            let bucket = end;
            match self.track.at(bucket, stands) {
                Some(value) if !of.op.holds(value, of.threshold) => {
                    return Err(Cause::Value {
                        instance: Some(self.index),
                        at: span.last_second(bucket),
                        value,
                        op: of.op,
                        threshold: of.threshold,
                    });
                }
                value => coverage.note(bucket, value.is_some()),
            }
        }
        if self.young {
            return Err(self.too_young(span, question));
        }
        self.look_before(&mut coverage, span, question);
        coverage.judge(Some(self.index), span)
    }

    /// A hole that reaches the beginning of the span goes on before it: whoever has never been
    /// seen before has no evidence of the whole time.
    fn look_before(&self, coverage: &mut Coverage, span: &Span, question: &Question<'_>) {
        if self.first > span.first {
            return;
        }
        let mut bucket = span.first - 1;
        while (1..=HOLE_BUCKETS_MAX).contains(&coverage.hole)
            && self.track.at(bucket, question.need.stands()).is_none()
        {
            coverage.lengthen(bucket);
            bucket -= 1;
        }
    }

    /// Whether enough of its samples are there.
    pub(super) fn coverage(&self, span: &Span, question: &Question<'_>) -> Result<(), Cause> {
        let mut coverage = Coverage::default();
        for bucket in (self.first..span.end).rev() {
            let there = self.value(bucket, question).is_some();
            coverage.note(bucket, there);
        }
        self.look_before(&mut coverage, span, question);
        coverage.judge(Some(self.index), span)
    }

    pub(super) fn value(&self, bucket: i64, question: &Question<'_>) -> Option<Milli> {
        let eligible = bucket >= self.first;
        eligible.then(|| self.track.at(bucket, question.need.stands()))?
    }

    pub(super) fn too_young(&self, span: &Span, question: &Question<'_>) -> Cause {
        Cause::Young {
            instance: self.index,
            since: self.from,
            has_s: seconds(span.end_s() - self.from),
            needs_s: question.need.span_s(),
        }
    }
}

/// Whether the index is new: it was added within the span, or this is its first start. A new
/// instance says nothing about the time before it had warmed up; one that started again must
/// testify to the whole span.
fn added(index: u32, seat: &Seat, span: &Span, question: &Question<'_>) -> bool {
    let Some(born) = question.view.state.born(index) else {
        return false;
    };
    let first_start = seat
        .since
        .is_some_and(|since| since <= born + FIRST_START_S);
    born > span.begin_s() || first_start
}

/// Which buckets are there, from the newest to the oldest.
#[derive(Default)]
struct Coverage {
    present: u32,
    missing: u32,
    hole: u32,
    /// The newest hole that is too long: its last bucket, and its length.
    too_long: Option<(i64, u32)>,
}

impl Coverage {
    fn note(&mut self, bucket: i64, there: bool) {
        if there {
            self.present += 1;
            self.hole = 0;
            return;
        }
        self.missing += 1;
        self.lengthen(bucket);
    }

    fn note_block(&mut self) {
        self.present += u32::try_from(BLOCK).unwrap_or(0);
        self.hole = 0;
    }

    fn lengthen(&mut self, bucket: i64) {
        self.hole += 1;
        if self.hole > HOLE_BUCKETS_MAX {
            let newest = bucket + i64::from(self.hole) - 1;
            match &mut self.too_long {
                Some((last, length)) if *last == newest => *length = self.hole,
                Some(_) => {}
                None => self.too_long = Some((newest, self.hole)),
            }
        }
    }

    fn judge(&self, instance: Option<u32>, span: &Span) -> Result<(), Cause> {
        if let Some((last, length)) = self.too_long {
            return Err(Cause::Hole {
                instance,
                at: span.last_second(last),
                seconds: length.saturating_mul(span.width_s),
            });
        }
        let of = self.present + self.missing;
        // Nine of ten.
        if u64::from(self.present) * 10 < u64::from(of) * 9 {
            let present = self.present;
            return Err(Cause::Sparse {
                instance,
                present,
                of,
            });
        }
        Ok(())
    }
}

/// The newest second that all eligible instances have reported, between the longest lag and now.
pub(super) fn settled(question: &Question<'_>, rule: &Rule) -> Option<Second> {
    let now = question.view.now;
    let latest = now - defaults::LAG_MAX_S;
    let metric = &question.need.metric;
    let mut newest = None;
    for seat in question.view.window.seats() {
        let from = match seat.since {
            _ if metric.survives_restart() => Second::MIN,
            Some(since) if seat.runs => since.saturating_add(Second::from(rule.warm_up_s)),
            _ => continue,
        };
        let reported = match seat.tracks.get(question.leaf.need).and_then(Track::newest) {
            // A value that stands needs no newer one, and no one is asked before its time.
            _ if metric.stands_s() > 1 || from > latest => now,
            Some(at) => at,
            None => latest,
        };
        newest = Some(newest.unwrap_or(now).min(reported));
    }
    newest.map(|at| at.clamp(latest, now))
}

/// The first bucket that begins at `from` or later.
fn ceiling(from: Second, width_s: u32) -> i64 {
    let width = Second::from(width_s);
    from.div_euclid(width) + i64::from(from.rem_euclid(width) != 0)
}
