//! The numbers of one start of one instance.

use std::sync::Arc;

use cfx_protocol::id::{AppGuid, InstanceGuid, ProcessGuid};

use super::column::{Column, Dropped, MINUTE, PackedMinute, Reading};
use super::series::{Facts, Kind, Sample, Series};

/// What the labels of its series say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub app: AppGuid,
    pub process: ProcessGuid,
    pub process_type: Arc<str>,
    pub instance: InstanceGuid,
    pub index: u32,
}

#[derive(Debug)]
pub(super) struct InstanceHistory {
    pub(super) identity: Identity,
    pub(super) facts: Facts,
    columns: Vec<(Kind, Column)>,
    /// The end of the newest second.
    pub(super) newest: i64,
}

impl InstanceHistory {
    pub(super) fn new(identity: Identity, facts: Facts) -> Self {
        Self {
            identity,
            facts,
            columns: Vec::new(),
            newest: 0,
        }
    }

    /// False: it came too late.
    pub(super) fn write(&mut self, kind: Kind, at: i64, value: u32) -> bool {
        self.newest = self.newest.max(at);
        self.column_mut(kind).write(at, value)
    }

    pub(super) fn column_mut(&mut self, kind: Kind) -> &mut Column {
        let known = self.columns.iter().position(|(known, _)| *known == kind);
        let at = known.unwrap_or_else(|| {
            self.columns.push((kind, Column::default()));
            self.columns.len() - 1
        });
        &mut self.columns[at].1
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = (Kind, &Column)> {
        self.columns.iter().map(|(kind, column)| (*kind, column))
    }

    /// Close minutes, drop what is past its time.
    pub(super) fn seal(
        &mut self,
        until: i64,
        now: i64,
        mut packed: impl FnMut(Kind, &PackedMinute),
    ) {
        for (kind, column) in &mut self.columns {
            column.seal(until, |minute| packed(*kind, minute));
            column.expire(now);
        }
        self.columns.retain(|(_, column)| !column.is_empty());
    }

    pub(super) fn take_minute(&mut self, kind: Kind, minute: PackedMinute) {
        self.newest = self.newest.max(minute.start + MINUTE);
        self.column_mut(kind).take_minute(minute);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub(super) fn size(&self) -> usize {
        let columns = self.columns.iter().map(|(_, column)| column.size());
        size_of::<Self>() + columns.sum::<usize>()
    }

    pub(super) fn oldest(&self) -> Option<(Dropped, i64)> {
        let all = self.columns.iter();
        all.filter_map(|(_, column)| column.oldest()).min()
    }

    pub(super) fn drop_oldest(&mut self, tier: Dropped, start: i64) {
        for (_, column) in &mut self.columns {
            column.drop_oldest(tier, start);
        }
    }

    /// The values of a series between two moments, the first excluded.
    pub(super) fn samples(&self, series: Series, after: i64, until: i64) -> Vec<Sample> {
        let readings = self.readings(series.kind(), after, until);
        let sample = |reading: &Reading| series.sample(reading, &self.facts);
        readings.iter().filter_map(sample).collect()
    }

    /// The most that it was in its newest sealed seconds.
    pub(super) fn last(&self, kind: Kind) -> Option<u32> {
        let mut columns = self.columns.iter();
        let (_, column) = columns.find(|(known, _)| *known == kind)?;
        column.tens.newest().map(|bucket| bucket.max)
    }

    fn readings(&self, kind: Kind, after: i64, until: i64) -> Vec<Reading> {
        let column = self.columns.iter().find(|(known, _)| *known == kind);
        column.map_or_else(Vec::new, |(_, column)| column.read(after, until))
    }
}
