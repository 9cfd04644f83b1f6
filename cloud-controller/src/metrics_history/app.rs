//! The numbers of one app: those of its instances, of every start of them that is remembered.

use std::collections::BTreeMap;

use cfx_protocol::id::{AssignmentGuid, InstanceGuid, ProcessGuid};

use super::column::{Dropped, SECONDS_KEPT, TEN};
use super::instance::{Identity, InstanceHistory};
use super::record::{self, Body, Record};
use super::series::{Kind, Series};
use super::{Entry, Found, Gauges, TooMany};

/// What an instance takes beside its numbers: its place in the map.
const INSTANCE_OVERHEAD_BYTES: usize = 96;

#[derive(Debug, Default)]
pub(super) struct AppHistory {
    instances: BTreeMap<InstanceGuid, InstanceHistory>,
    crashes: BTreeMap<(ProcessGuid, u32), Crashes>,
}

/// Crashes of one index over all its assignments and starts.
#[derive(Debug, Clone, Copy, Default)]
struct Crashes {
    assignment: Option<AssignmentGuid>,
    starts: u32,
    total: u32,
}

impl Crashes {
    /// Each start after the first follows a crash.
    fn started(&mut self, assignment: AssignmentGuid, starts: u32) -> u32 {
        let new = match self.assignment {
            Some(known) if known == assignment => starts.saturating_sub(self.starts),
            // Of the assignment that an earlier controller saw last all but the newest are known.
            None if self.total > 0 => 0,
            _ => starts,
        };
        self.total = self.total.saturating_add(new);
        self.assignment = Some(assignment);
        self.starts = starts;
        self.total
    }
}

/// What is known of an app's numbers of the last ten minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Seconds of instances.
    pub count: usize,
    /// Seconds since 1970.
    pub oldest: i64,
    pub newest: i64,
}

impl AppHistory {
    pub(super) fn write(&mut self, at: i64, entry: Entry) {
        let guid = entry.identity.instance;
        let total = entry.starts.map(|(assignment, starts)| {
            let index = (entry.identity.process, entry.identity.index);
            let crashes = self.crashes.entry(index).or_default();
            crashes.started(assignment, starts)
        });
        let instance = self.instances.entry(guid).or_insert_with(|| {
            InstanceHistory::new(entry.identity, entry.facts.unwrap_or_default())
        });
        if let Some(facts) = entry.facts {
            // What it was before it ended still holds for what it used.
            let running_since = facts.running_since.or(instance.facts.running_since);
            instance.facts = super::Facts {
                running_since,
                ..facts
            };
        }
        let crashes = total.map(|total| (Kind::Crashes, total));
        for (kind, value) in entry.values.into_iter().chain(crashes) {
            if !instance.write(kind, at, value) {
                tracing::debug!(instance = %guid, at, "a number came too late");
                return;
            }
        }
    }

    pub(super) fn select(
        &self,
        wanted: &impl Fn(&Identity, Series) -> bool,
        (after, until): (i64, i64),
        room: &mut usize,
        found: &mut Vec<Found>,
    ) -> Result<(), TooMany> {
        for instance in self.instances.values() {
            for series in Series::ALL {
                if !wanted(&instance.identity, *series) {
                    continue;
                }
                let samples = instance.samples(*series, after, until);
                if samples.is_empty() {
                    continue;
                }
                *room = room.checked_sub(samples.len()).ok_or(TooMany)?;
                found.push(Found {
                    identity: instance.identity.clone(),
                    series: *series,
                    samples,
                });
            }
        }
        Ok(())
    }

    pub(super) fn gauges(&self, after: i64, until: i64) -> Vec<Gauges> {
        let mut all: BTreeMap<(i64, InstanceGuid), Gauges> = BTreeMap::new();
        for (guid, instance) in &self.instances {
            for series in Series::ALL {
                for sample in instance.samples(*series, after, until) {
                    let gauges = all.entry((sample.at, *guid)).or_insert_with(|| Gauges {
                        at: sample.at,
                        identity: instance.identity.clone(),
                        values: Vec::new(),
                    });
                    gauges.values.push((*series, sample.value()));
                }
            }
        }
        all.into_values().collect()
    }

    pub(super) fn kept(&self) -> Option<Kept> {
        let mut kept = Kept {
            oldest: i64::MAX,
            ..Kept::default()
        };
        for instance in self.instances.values() {
            let newest = instance.newest;
            let samples = instance.samples(Series::Memory, newest - SECONDS_KEPT, newest);
            kept.count += samples.len();
            kept.oldest = kept
                .oldest
                .min(samples.first().map_or(i64::MAX, |sample| sample.at));
            kept.newest = kept
                .newest
                .max(samples.last().map_or(0, |sample| sample.at));
        }
        (kept.count > 0).then_some(kept)
    }

    pub(super) fn seal(&mut self, until: i64, now: i64, records: &mut Vec<u8>) {
        for instance in self.instances.values_mut() {
            let mut minutes = Vec::new();
            instance.seal(until, now, |kind, minute| {
                minutes.push((kind, minute.clone()));
            });
            if !minutes.is_empty() {
                let record = Record {
                    identity: instance.identity.clone(),
                    facts: instance.facts,
                    body: Body::Minutes(minutes),
                };
                record::append(records, &record);
            }
        }
        self.forget();
    }

    /// After everything that an earlier controller kept was taken over.
    pub(super) fn settle(&mut self, now: i64) {
        for instance in self.instances.values_mut() {
            instance.seal(0, now, |_, _| {});
            if let Some(last) = instance.last(Kind::Crashes) {
                let index = (instance.identity.process, instance.identity.index);
                let known = self.crashes.entry(index).or_default();
                known.total = known.total.max(last);
            }
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.instances.retain(|_, instance| !instance.is_empty());
        let lives: std::collections::BTreeSet<_> = self
            .instances
            .values()
            .map(|it| (it.identity.process, it.identity.index))
            .collect();
        self.crashes.retain(|index, _| lives.contains(index));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    pub(super) fn size(&self) -> usize {
        let instances = self.instances.values();
        instances
            .map(|instance| instance.size() + INSTANCE_OVERHEAD_BYTES)
            .sum()
    }

    /// False: there is nothing that may be dropped.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let oldest: Option<(Dropped, i64)> = self
            .instances
            .values()
            .filter_map(InstanceHistory::oldest)
            .min();
        let Some((tier, start)) = oldest else {
            return false;
        };
        for instance in self.instances.values_mut() {
            instance.drop_oldest(tier, start);
        }
        true
    }

    pub(super) fn snapshot(&self, records: &mut Vec<u8>) {
        for instance in self.instances.values() {
            let blocks = instance
                .columns()
                .map(|(kind, column)| (kind, column.tens.blocks(), column.minutes.blocks()));
            let record = Record {
                identity: instance.identity.clone(),
                facts: instance.facts,
                body: Body::Blocks(blocks.collect()),
            };
            record::append(records, &record);
        }
    }

    pub(super) fn restore(&mut self, record: Record) {
        let guid = record.identity.instance;
        let instance = self
            .instances
            .entry(guid)
            .or_insert_with(|| InstanceHistory::new(record.identity, record.facts));
        instance.facts = record.facts;
        match record.body {
            Body::Minutes(minutes) => {
                for (kind, minute) in minutes {
                    instance.take_minute(kind, minute);
                }
            }
            Body::Blocks(columns) => {
                for (kind, tens, minutes) in columns {
                    let column = instance.column_mut(kind);
                    for (start, len, bytes) in tens {
                        column.tens.take_block(TEN, start, len, &bytes);
                    }
                    for (start, len, bytes) in minutes {
                        column
                            .minutes
                            .take_block(super::column::MINUTE, start, len, &bytes);
                    }
                }
            }
        }
    }
}
