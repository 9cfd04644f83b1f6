//! One app under rules: its evidence, what its decisions remember, and the decision of the moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::{Discriminant, discriminant};
use std::sync::Arc;

use cfx_protocol::id::AppGuid;
use cfx_rules::ast::{Metric, Range};
use cfx_rules::decision::{Outcome, Verdict, WhyNot};
use cfx_rules::units::Second;
use cfx_rules::{Decision, State, Window, decide};
use cfx_store::commit::Op;
use cfx_store::store::Entry;

use crate::measure::{self, Points, recipe};
use crate::source::Series;
use crate::state::journal::{Journal, Sample};
use crate::state::policies::Known;
use crate::state::record::{DecisionRecord, StateRecord};
use crate::state::ring::DECISIONS;
use crate::state::{STATE, StateError, key, put};
use crate::target::Workload;

/// Samples this young are asked for again: some come late.
pub(super) const OVERLAP_S: Second = 6;
/// How far back log-cache keeps every second. What is older is a hole, and told as one.
const FINE_S: Second = 600;
/// Ticks of one record, at most a minute of them.
const RECORD_S: Second = 60;

/// What is known of one app.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) app: AppGuid,
    pub(super) known: Arc<Known>,
    pub(super) record: StateRecord,
    /// What the store has of it.
    stored: Option<StateRecord>,
    window: Window,
    seen: Seen,
    journal: Journal,
    /// Samples up to here were asked for.
    fresh_until: Second,
    open: Option<DecisionRecord>,
}

impl Watched {
    /// From what the store has.
    pub(super) fn open(
        app: AppGuid,
        known: Arc<Known>,
        stored: Option<StateRecord>,
        samples: &[Entry],
        workload: &Workload,
        now: Second,
    ) -> Result<Self, StateError> {
        let (journal, samples) = Journal::open(samples)?;
        let newest = samples.iter().map(|sample| sample.at).max();
        let mut watched = Self {
            app,
            window: Window::new(&known.policy),
            known,
            record: stored.clone().unwrap_or_default(),
            stored,
            seen: Seen::default(),
            journal,
            fresh_until: now,
            open: None,
        };
        watched.roster(workload);
        for sample in samples {
            watched.take(&sample);
        }
        let reach = now - watched.span_s().min(FINE_S);
        watched.fresh_until = newest.unwrap_or(reach).max(reach);
        Ok(watched)
    }

    /// Seconds that the rules look back, and what their metrics need before.
    fn span_s(&self) -> Second {
        let needs = self.window.needs().iter();
        let span = needs.map(|need| Second::from(need.span_s())).max();
        span.unwrap_or_default() + self.looks_back_s() + 2 * OVERLAP_S
    }

    fn looks_back_s(&self) -> Second {
        let backs = self.metrics().into_iter();
        backs
            .map(|metric| recipe(metric).looks_back_s())
            .max()
            .unwrap_or_default()
    }

    pub(super) fn metrics(&self) -> BTreeSet<&Metric> {
        self.window
            .needs()
            .iter()
            .map(|need| &need.metric)
            .collect()
    }

    /// The names of the series that it is made of.
    pub(super) fn series(&self) -> BTreeSet<String> {
        measure::names(self.metrics().into_iter())
    }

    /// From where on samples are wanted.
    pub(super) fn wants_after(&self, now: Second) -> Second {
        self.fresh_until.min(now) - OVERLAP_S - self.looks_back_s()
    }

    /// Instances that are wanted.
    pub(super) fn size(&self) -> u32 {
        self.window.size()
    }

    /// Memory of the samples, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.window.bytes()
    }

    /// Who is wanted and who runs. A stopped app wants nobody.
    pub(super) fn roster(&mut self, workload: &Workload) {
        match workload.is_started {
            true => self.window.roster(workload.instances, &workload.running),
            false => self.window.roster(0, &[]),
        }
    }

    /// Samples that the app sent itself.
    pub(super) fn receive(&mut self, samples: Vec<Sample>) {
        for sample in samples {
            self.take_new(sample);
        }
    }

    /// What the platform measured up to `now`.
    pub(super) fn measure(&mut self, series: &[&Series], now: Second) {
        let mut instances: BTreeMap<u32, HashMap<&str, Points>> = BTreeMap::new();
        for one in series {
            let named = instances.entry(one.index).or_default();
            named.entry(&one.metric).or_default().extend(&one.points);
        }
        let after = self.fresh_until.min(now) - OVERLAP_S;
        let metrics: Vec<Metric> = self.metrics().into_iter().cloned().collect();
        for (index, mut named) in instances {
            // A restarted instance has a series for each of its starts.
            named.values_mut().for_each(|points| points.sort_unstable());
            for metric in &metrics {
                let points = |name: &str| named.get(name).map(Vec::as_slice);
                for (at, value) in recipe(metric).samples(points, after) {
                    self.take_new(Sample {
                        index,
                        metric: metric.clone(),
                        at,
                        value,
                    });
                }
            }
        }
        self.fresh_until = now;
    }

    fn take_new(&mut self, sample: Sample) {
        if self.take(&sample) {
            self.journal.add(sample);
        }
    }

    /// Evidence, unless it is known already or nothing looks at it.
    fn take(&mut self, sample: &Sample) -> bool {
        if self.seen.knows(sample) {
            return false;
        }
        let Sample {
            index,
            metric,
            at,
            value,
        } = sample;
        let kept = self.window.push(*index, metric, *at, *value).is_ok();
        if kept {
            self.seen.mark(sample);
        }
        kept
    }

    /// What is to be done now, and what is remembered once it is done.
    pub(super) fn decide(&mut self, now: Second) -> (Decision, State) {
        self.record.state.pause = self.known.record.pause.clone();
        decide::decide(&self.record.state, &self.window, &self.known.policy, now)
    }

    /// Note this tick's decision; what of it is to be kept is added to `ops`.
    pub(super) fn note(
        &mut self,
        decision: Decision,
        not_done: Option<String>,
        ops: &mut Vec<Op>,
    ) -> Result<(), StateError> {
        let at = decision.at;
        if let Some(open) = &mut self.open
            && at - open.first < RECORD_S
            && open.not_done == not_done
            && Shape::of(&open.decision) == Shape::of(&decision)
        {
            open.last = at;
            open.ticks += 1;
            open.decision = decision;
            return Ok(());
        }
        self.close(ops)?;
        let record = DecisionRecord {
            first: at,
            last: at,
            ticks: 1,
            decision,
            not_done,
        };
        // At once, so that the last thing before a crash is there.
        ops.push(DECISIONS.put(self.app, self.record.decisions, &record)?);
        self.open = Some(record);
        Ok(())
    }

    /// No further tick belongs to the record at hand.
    pub(super) fn close(&mut self, ops: &mut Vec<Op>) -> Result<(), StateError> {
        if let Some(open) = self.open.take() {
            ops.push(DECISIONS.put(self.app, self.record.decisions, &open)?);
            self.record.decisions += 1;
        }
        Ok(())
    }

    pub(super) fn latest(&self) -> Option<&DecisionRecord> {
        self.open.as_ref()
    }

    /// What of the memory has changed since it was kept.
    pub(super) fn keep(&mut self, ops: &mut Vec<Op>) -> Result<(), StateError> {
        if self.stored.as_ref() != Some(&self.record) {
            ops.push(put(key(STATE, self.app), &self.record)?);
            self.stored = Some(self.record.clone());
        }
        Ok(())
    }

    /// The samples since the last time.
    pub(super) fn flush(&mut self, now: Second, ops: &mut Vec<Op>) -> Result<(), StateError> {
        let span = self.span_s();
        ops.extend(self.journal.flush(self.app, now, span)?);
        Ok(())
    }
}

/// What makes two ticks' conclusions the same, whatever their numbers.
#[derive(PartialEq)]
struct Shape {
    counts: (u32, u32),
    limits: Range,
    outcome: Discriminant<Outcome>,
    why: Option<Discriminant<WhyNot>>,
    verdicts: Vec<Discriminant<Verdict>>,
}

impl Shape {
    fn of(decision: &Decision) -> Self {
        let why = match &decision.outcome {
            Outcome::Held(why) => Some(discriminant(why)),
            Outcome::Rule { .. } | Outcome::Limits { .. } => None,
        };
        let verdicts = decision.rules.iter();
        Self {
            counts: (decision.from, decision.to),
            limits: decision.limits,
            outcome: discriminant(&decision.outcome),
            why,
            verdicts: verdicts.map(|rule| discriminant(&rule.verdict)).collect(),
        }
    }
}

/// Which of the last seconds are evidence already, by instance and metric.
#[derive(Debug, Default)]
struct Seen(HashMap<(u32, Metric), (Second, u64)>);

impl Seen {
    fn knows(&self, sample: &Sample) -> bool {
        let key = (sample.index, sample.metric.clone());
        let Some((newest, mask)) = self.0.get(&key) else {
            return false;
        };
        match u32::try_from(newest - sample.at) {
            Ok(back) => mask.checked_shr(back).is_none_or(|mask| mask & 1 == 1),
            // It is newer than all.
            Err(_) => false,
        }
    }

    fn mark(&mut self, sample: &Sample) {
        let key = (sample.index, sample.metric.clone());
        let (newest, mask) = self.0.entry(key).or_insert((sample.at, 0));
        if let Ok(ahead @ 1..) = u32::try_from(sample.at - *newest) {
            *mask = mask.checked_shl(ahead).unwrap_or_default();
            *newest = sample.at;
        }
        let back = u32::try_from(*newest - sample.at).unwrap_or(u32::MAX);
        *mask |= 1_u64.checked_shl(back).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_counts_once_in_whatever_order_it_comes() {
        let mut seen = Seen::default();
        let sample = |at| Sample {
            index: 0,
            metric: Metric::Cpu,
            at,
            value: 0,
        };
        for at in [100, 101, 99, 160, 130] {
            assert!(!seen.knows(&sample(at)), "{at} is new");
            seen.mark(&sample(at));
            assert!(seen.knows(&sample(at)), "{at} is known");
        }
        assert!(seen.knows(&sample(100)));
        assert!(!seen.knows(&sample(129)));
        assert!(
            seen.knows(&sample(90)),
            "too old to tell: no evidence twice"
        );
        let other = Sample {
            index: 1,
            ..sample(100)
        };
        assert!(!seen.knows(&other), "each instance has its own");
    }
}
