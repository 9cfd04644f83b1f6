//! The reports of all instances, as a value: copying it costs one pointer, two of them tell their
//! differences at the price of the differences, and the digest is always at hand.

use std::sync::Arc;

use cfx_protocol::actual::{InstanceReport, digest};
use cfx_protocol::id::AssignmentGuid;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;

#[derive(Debug, Clone, Default)]
pub struct Reports {
    by_guid: OrdMap<AssignmentGuid, Arc<InstanceReport>>,
    digest: u64,
    running: usize,
}

/// What one set of reports has and another has not.
#[derive(Debug, Default, PartialEq)]
pub struct Difference {
    pub news: Vec<InstanceReport>,
    pub gone: Vec<AssignmentGuid>,
}

impl Reports {
    /// Tells what it said before.
    pub fn insert(&mut self, report: InstanceReport) -> Option<Arc<InstanceReport>> {
        let report = Arc::new(report);
        self.count(&report, true);
        let before = self.by_guid.insert(report.assignment, report);
        if let Some(before) = &before {
            self.count(before, false);
        }
        before
    }

    pub fn remove(&mut self, guid: AssignmentGuid) -> Option<Arc<InstanceReport>> {
        let before = self.by_guid.remove(&guid)?;
        self.count(&before, false);
        Some(before)
    }

    fn count(&mut self, report: &InstanceReport, is_new: bool) {
        // The digest is an exclusive or: what is put in twice is out again.
        self.digest ^= digest([report]);
        if matches!(
            report.state,
            cfx_protocol::instance::InstanceState::Running { .. }
        ) {
            self.running = if is_new {
                self.running + 1
            } else {
                self.running.saturating_sub(1)
            };
        }
    }

    #[must_use]
    pub fn get(&self, guid: AssignmentGuid) -> Option<&InstanceReport> {
        self.by_guid.get(&guid).map(|report| &**report)
    }

    pub fn iter(&self) -> impl Iterator<Item = &InstanceReport> + use<'_> {
        self.by_guid.values().map(|report| &**report)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.by_guid.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_guid.is_empty()
    }

    /// As `actual::digest` of all of them.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many of them are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// What has changed since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Difference {
        let mut difference = Difference::default();
        for item in before.by_guid.diff(&self.by_guid) {
            match item {
                DiffItem::Add(_, report) => difference.news.push(InstanceReport::clone(report)),
                DiffItem::Update { new, .. } => {
                    difference.news.push(InstanceReport::clone(new.1));
                }
                DiffItem::Remove(guid, _) => difference.gone.push(*guid),
            }
        }
        difference
    }
}

impl FromIterator<InstanceReport> for Reports {
    fn from_iter<I: IntoIterator<Item = InstanceReport>>(reports: I) -> Self {
        let mut all = Self::default();
        for report in reports {
            all.insert(report);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use cfx_protocol::instance::InstanceState;
    use jiff::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn report(number: u8, starts: u32, runs: bool) -> InstanceReport {
        let assignment = AssignmentGuid(Uuid::from_u128(number.into()));
        let since = Timestamp::UNIX_EPOCH;
        InstanceReport {
            assignment,
            instance: assignment.instance(starts),
            starts,
            state: if runs {
                InstanceState::Running { since, ready: true }
            } else {
                InstanceState::Starting { since }
            },
            crashes: 0,
            address: None,
            usage: None,
            outcome: None,
        }
    }

    proptest! {
        #[test]
        fn digest_count_and_difference_are_those_of_a_plain_list(
            acts in prop::collection::vec((any::<bool>(), 0_u8..20, 0_u32..3, any::<bool>()), 0..80),
            looked_at in 0_usize..80,
        ) {
            let (mut reports, mut before) = (Reports::default(), Reports::default());
            for (position, (is_insert, number, starts, runs)) in acts.into_iter().enumerate() {
                let one = report(number, starts, runs);
                if is_insert {
                    reports.insert(one);
                } else {
                    reports.remove(one.assignment);
                }
                if position == looked_at {
                    before = reports.clone();
                }
            }
            prop_assert_eq!(reports.digest(), digest(reports.iter()));
            let running = reports.iter().filter(|one| one.state.is_routable()).count();
            prop_assert_eq!(reports.running(), running);
            let Difference { news, gone } = reports.since(&before);
            let expected: Vec<_> = reports
                .iter()
                .filter(|one| before.get(one.assignment) != Some(*one))
                .cloned()
                .collect();
            prop_assert_eq!(news, expected);
            let left = before.iter().filter(|one| reports.get(one.assignment).is_none());
            prop_assert_eq!(gone, left.map(|one| one.assignment).collect::<Vec<_>>());
        }
    }
}
