//! What was sent and what became of it: counts and latencies of each phase, and of each second.
//!
//! Pure. Every request that was meant to be sent is counted once, in the phase of its intended time:
//!
//! ```text
//! intended = answered + unanswered (by kind) + dropped + cut
//! failed   = unanswered + dropped + late + answers that were not expected
//! lost     = unanswered + dropped + answers of 500 and above
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use super::ask::{Answer, WireError};
use super::histogram::Latencies;

/// Statuses and kinds of errors told apart in one phase; past it they are counted together.
const KINDS_MAX: usize = 64;
/// Pieces that the time is divided into for charts.
const BUCKETS_MAX: u32 = 600;
/// How a status beyond `KINDS_MAX` is counted.
const OTHER_STATUS: u16 = 0;

/// What an answer is worth to who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// It was hoped for.
    Good,
    /// A proper no: sold out, closed. It counts as answered well.
    Refused,
    /// It should not have come.
    Bad,
}

/// One request that is over.
#[derive(Debug)]
pub(crate) struct Over<'a> {
    pub(crate) intended: Duration,
    /// From the intended time to the end of the answer.
    pub(crate) latency: Duration,
    /// It had to wait for a place among the requests in flight.
    pub(crate) is_late: bool,
    pub(crate) result: Result<&'a Answer, WireError>,
    pub(crate) worth: Worth,
}

#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) latencies: Latencies,
    pub(crate) bad: u64,
}

/// One phase, or all of them.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) intended: u64,
    pub(crate) answered: u64,
    pub(crate) good: u64,
    pub(crate) refused: u64,
    pub(crate) late: u64,
    /// Never sent: no place in flight came free in time.
    pub(crate) dropped: u64,
    /// Still on their way when the user ended the run.
    pub(crate) cut: u64,
    pub(crate) failed: u64,
    pub(crate) lost: u64,
    pub(crate) connections: u64,
    pub(crate) bytes: u64,
    /// Of all answers, whatever they said.
    pub(crate) latencies: Latencies,
    pub(crate) statuses: BTreeMap<u16, Status>,
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            intended: 0,
            answered: 0,
            good: 0,
            refused: 0,
            late: 0,
            dropped: 0,
            cut: 0,
            failed: 0,
            lost: 0,
            connections: 0,
            bytes: 0,
            latencies: Latencies::fine(),
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }
}

impl Counts {
    fn record(&mut self, over: &Over<'_>) {
        self.late += u64::from(over.is_late);
        let mut has_failed = over.is_late;
        match over.result {
            Ok(answer) => {
                self.answer(answer, over.latency, over.worth);
                self.lost += u64::from(answer.status >= 500);
                has_failed |= over.worth == Worth::Bad;
            }
            Err(error) => {
                self.error(error.to_string(), 1);
                self.lost += 1;
                has_failed = true;
            }
        }
        self.failed += u64::from(has_failed);
    }

    fn answer(&mut self, answer: &Answer, latency: Duration, worth: Worth) {
        self.answered += 1;
        self.bytes += answer.bytes;
        self.connections += u64::from(answer.was_new);
        self.latencies.record(latency);
        match worth {
            Worth::Good => self.good += 1,
            Worth::Refused => self.refused += 1,
            Worth::Bad => {}
        }
        if let Some(said) = &answer.router_error {
            self.error(format!("router: {said}"), 1);
        }
        let status = self.status(answer.status);
        status.latencies.record(latency);
        status.bad += u64::from(worth == Worth::Bad);
    }

    fn status(&mut self, status: u16) -> &mut Status {
        let is_new = !self.statuses.contains_key(&status);
        let key = match is_new && self.statuses.len() >= KINDS_MAX {
            true => OTHER_STATUS,
            false => status,
        };
        self.statuses.entry(key).or_insert_with(|| Status {
            latencies: Latencies::coarse(),
            bad: 0,
        })
    }

    fn error(&mut self, kind: String, count: u64) {
        let is_new = !self.errors.contains_key(&kind);
        let key = match is_new && self.errors.len() >= KINDS_MAX {
            true => "other".to_owned(),
            false => kind,
        };
        *self.errors.entry(key).or_default() += count;
    }

    fn drop_one(&mut self) {
        self.dropped += 1;
        self.failed += 1;
        self.lost += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.intended += other.intended;
        self.answered += other.answered;
        self.good += other.good;
        self.refused += other.refused;
        self.late += other.late;
        self.dropped += other.dropped;
        self.cut += other.cut;
        self.failed += other.failed;
        self.lost += other.lost;
        self.connections += other.connections;
        self.bytes += other.bytes;
        self.latencies.merge(&other.latencies);
        for (status, theirs) in &other.statuses {
            let ours = self.status(*status);
            ours.latencies.merge(&theirs.latencies);
            ours.bad += theirs.bad;
        }
        for (kind, count) in &other.errors {
            self.error(kind.clone(), *count);
        }
    }
}

/// A piece of time, by intended times.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) intended: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) latencies: Latencies,
}

impl Bucket {
    fn empty() -> Self {
        Self {
            intended: 0,
            answered: 0,
            failed: 0,
            latencies: Latencies::coarse(),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.intended += other.intended;
        self.answered += other.answered;
        self.failed += other.failed;
        self.latencies.merge(&other.latencies);
    }
}

/// The whole run.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// When each phase ends, seconds from the start.
    ends: Vec<Duration>,
    pub(crate) phases: Vec<Counts>,
    pub(crate) bucket: Duration,
    pub(crate) buckets: Vec<Bucket>,
    /// How much later than intended the generator came to each request.
    pub(crate) lag: Latencies,
}

impl Tally {
    pub(crate) fn new(phases: &[Duration]) -> Self {
        let mut end = Duration::ZERO;
        let ends = phases.iter().map(|length| {
            end += *length;
            end
        });
        let ends: Vec<Duration> = ends.collect();
        let whole = ends.last().copied().unwrap_or_default();
        let bucket = (whole / BUCKETS_MAX).max(Duration::from_secs(1));
        Self {
            phases: vec![Counts::default(); ends.len().max(1)],
            ends,
            bucket,
            buckets: Vec::new(),
            lag: Latencies::fine(),
        }
    }

    /// The phase that a moment lies in; the last one for all that is later.
    pub(crate) fn phase_at(&self, at: Duration) -> usize {
        let phase = self.ends.iter().position(|end| at < *end);
        phase.unwrap_or(self.phases.len() - 1)
    }

    pub(crate) fn intended(&mut self, at: Duration, lag: Duration) {
        let phase = self.phase_at(at);
        self.phases[phase].intended += 1;
        self.bucket_at(at).intended += 1;
        self.lag.record(lag);
    }

    /// 1 if it failed, else 0.
    pub(crate) fn over(&mut self, over: &Over<'_>) -> u64 {
        let phase = self.phase_at(over.intended);
        let before = self.phases[phase].failed;
        self.phases[phase].record(over);
        let failed = self.phases[phase].failed - before;
        let bucket = self.bucket_at(over.intended);
        bucket.failed += failed;
        if over.result.is_ok() {
            bucket.answered += 1;
            bucket.latencies.record(over.latency);
        }
        failed
    }

    pub(crate) fn dropped(&mut self, at: Duration) {
        let phase = self.phase_at(at);
        self.phases[phase].drop_one();
        self.bucket_at(at).failed += 1;
    }

    pub(crate) fn cut(&mut self, at: Duration) {
        let phase = self.phase_at(at);
        self.phases[phase].cut += 1;
    }

    fn bucket_at(&mut self, at: Duration) -> &mut Bucket {
        let place = at.as_micros() / self.bucket.as_micros();
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let place = place.min(BUCKETS_MAX as usize);
        while self.buckets.len() <= place {
            self.buckets.push(Bucket::empty());
        }
        &mut self.buckets[place]
    }

    /// Another thread's part of the same run.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.phases.iter_mut().zip(&other.phases) {
            ours.merge(theirs);
        }
        while self.buckets.len() < other.buckets.len() {
            self.buckets.push(Bucket::empty());
        }
        for (ours, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            ours.merge(theirs);
        }
        self.lag.merge(&other.lag);
    }

    pub(crate) fn total(&self) -> Counts {
        let mut total = Counts::default();
        for phase in &self.phases {
            total.merge(phase);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn over(intended: Duration, result: Result<&Answer, WireError>, worth: Worth) -> Over<'_> {
        Over {
            intended,
            latency: Duration::from_millis(20),
            is_late: false,
            result,
            worth,
        }
    }

    fn answer(status: u16) -> Answer {
        Answer {
            status,
            ..Answer::default()
        }
    }

    #[test]
    fn every_request_is_counted_once_in_the_phase_it_was_meant_for() {
        let mut tally = Tally::new(&[SECOND * 2, SECOND * 3]);
        let (ok, no, bad) = (answer(200), answer(409), answer(502));
        for (at, result, worth) in [
            (0, Ok(&ok), Worth::Good),
            (1, Ok(&no), Worth::Refused),
            (2, Ok(&bad), Worth::Bad),
            (4, Err(WireError::Timeout), Worth::Bad),
            (9, Ok(&ok), Worth::Good),
        ] {
            tally.intended(SECOND * at, Duration::ZERO);
            tally.over(&over(SECOND * at, result, worth));
        }
        tally.intended(SECOND * 3, Duration::ZERO);
        tally.dropped(SECOND * 3);
        let of = |phase: &Counts| (phase.intended, phase.answered, phase.failed, phase.lost);
        assert_eq!(of(&tally.phases[0]), (2, 2, 0, 0));
        assert_eq!(of(&tally.phases[1]), (4, 2, 3, 3));
        let total = tally.total();
        assert_eq!(of(&total), (6, 4, 3, 3));
        assert_eq!((total.good, total.refused, total.dropped), (2, 1, 1));
        assert_eq!(total.errors.get("no answer in time"), Some(&1));
        let failed: Vec<u64> = tally.buckets.iter().map(|bucket| bucket.failed).collect();
        assert_eq!(failed, [0, 0, 1, 1, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_late_answer_is_a_failure_and_not_a_loss() {
        let mut tally = Tally::new(&[SECOND]);
        let ok = answer(200);
        let late = Over {
            is_late: true,
            ..over(Duration::ZERO, Ok(&ok), Worth::Good)
        };
        tally.over(&late);
        let total = tally.total();
        assert_eq!((total.failed, total.lost, total.late), (1, 0, 1));
    }

    #[test]
    fn merged_threads_are_one_run() {
        let ok = answer(200);
        let mut parts = vec![Tally::new(&[SECOND, SECOND]); 3];
        let mut whole = Tally::new(&[SECOND, SECOND]);
        for n in 0..90_u32 {
            let at = SECOND * 2 * n / 90;
            let one = Over {
                latency: Duration::from_millis(u64::from(n) + 1),
                ..over(at, Ok(&ok), Worth::Good)
            };
            for tally in [&mut whole, &mut parts[n as usize % 3]] {
                tally.intended(at, Duration::from_micros(n.into()));
                tally.over(&one);
            }
        }
        let mut merged = Tally::new(&[SECOND, SECOND]);
        for part in &parts {
            merged.merge(part);
        }
        for (ours, theirs) in merged.phases.iter().zip(&whole.phases) {
            assert_eq!(ours.intended, theirs.intended);
            for share in [0.5, 0.9, 0.99, 1.0] {
                let told = ours.latencies.percentile_ms(share);
                assert!((told - theirs.latencies.percentile_ms(share)).abs() < f64::EPSILON);
            }
        }
        assert_eq!(merged.lag.count(), 90);
    }

    #[test]
    fn a_flood_of_kinds_stays_bounded() {
        let mut counts = Counts::default();
        for n in 0..2_000_u16 {
            counts.status(n).bad += 1;
            counts.error(format!("kind {n}"), 1);
        }
        assert!(counts.statuses.len() <= KINDS_MAX + 1);
        assert!(counts.errors.len() <= KINDS_MAX + 1);
        assert_eq!(counts.errors.values().sum::<u64>(), 2_000);
    }
}
