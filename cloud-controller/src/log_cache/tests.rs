use std::sync::Arc;

use cfx_protocol::id::AppGuid;
use cfx_protocol::telemetry::{LogEnvelope, Stream};
use uuid::Uuid;

use super::*;

fn line(app: u128, timestamp_ns: i64, bytes: usize) -> LogEnvelope {
    LogEnvelope {
        timestamp_ns,
        app: AppGuid(Uuid::from_u128(app)),
        stream: Stream::Out,
        source_type: "APP/PROC/WEB".into(),
        instance_index: 0,
        process: None,
        instance: None,
        payload: vec![b'x'; bytes],
    }
}

const ALL: Range = Range {
    start_ns: i64::MIN,
    end_ns: i64::MAX,
    limit: usize::MAX,
    descending: false,
};

fn times(lines: &[Arc<LogEnvelope>]) -> Vec<i64> {
    lines.iter().map(|line| line.timestamp_ns).collect()
}

#[test]
fn lines_come_back_in_the_order_of_their_time() {
    let cache = LogCache::default();
    let app = AppGuid(Uuid::from_u128(1));
    cache.append([5, 1, 3, 2, 4].map(|t| line(1, t, 1)).into());
    assert_eq!(times(&cache.read(app, ALL)), [1, 2, 3, 4, 5]);
    let newest = Range {
        limit: 2,
        descending: true,
        ..ALL
    };
    assert_eq!(times(&cache.read(app, newest)), [5, 4]);
    let middle = Range {
        start_ns: 2,
        end_ns: 4,
        ..ALL
    };
    assert_eq!(times(&cache.read(app, middle)), [2, 3]);
    assert_eq!(cache.read(AppGuid(Uuid::from_u128(2)), ALL).len(), 0);
}

#[test]
fn an_app_that_writes_much_loses_its_own_oldest_lines() {
    let cache = LogCache::default();
    let app = AppGuid(Uuid::from_u128(1));
    cache.append(vec![line(2, 0, 10)]);
    for t in 0..200 {
        cache.append(vec![line(1, t, 60 * 1024)]);
    }
    let kept = cache.kept(app).expect("has lines");
    assert!(kept.count * 60 * 1024 <= APP_BYTES_MAX);
    assert_eq!(kept.expired + kept.count as u64, 200);
    assert_eq!(kept.newest_ns, 199);
    assert_eq!(
        cache
            .kept(AppGuid(Uuid::from_u128(2)))
            .map(|kept| kept.count),
        Some(1)
    );
}

#[test]
fn all_apps_together_stay_within_the_budget() {
    let cache = LogCache::default();
    for app in 0..40 {
        cache.append((0..60).map(|t| line(app, t, 60 * 1024)).collect());
    }
    let inner = cache.0.lock();
    assert!(inner.bytes <= TOTAL_BYTES_MAX);
    assert_eq!(
        inner.bytes,
        inner.apps.values().map(|ring| ring.bytes()).sum::<usize>()
    );
    drop(inner);
    cache.retain(|app| app == AppGuid(Uuid::from_u128(3)));
    assert_eq!(cache.apps().len(), 1);
}
