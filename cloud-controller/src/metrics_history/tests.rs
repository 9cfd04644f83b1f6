//! Rollups, retention, budget, crashes, and what survives a restart.

use proptest::prelude::*;
use uuid::Uuid;

use super::column::{MINUTE, TEN};
use super::*;

/// On a minute.
const START: i64 = 1_800_000_000;

fn identity(app: u128, instance: u128) -> Identity {
    Identity {
        app: AppGuid(Uuid::from_u128(app)),
        process: Uuid::from_u128(app + 1_000).into(),
        process_type: "web".into(),
        instance: Uuid::from_u128(instance).into(),
        index: 0,
    }
}

fn entry(app: u128, instance: u128, values: Vec<(Kind, u32)>) -> Entry {
    Entry {
        identity: identity(app, instance),
        facts: None,
        starts: None,
        values,
    }
}

fn write(history: &MetricsHistory, at: i64, kind: Kind, value: u32) {
    history.write(at, [entry(1, 1, vec![(kind, value)])]);
}

fn read(history: &MetricsHistory, series: Series, after: i64, until: i64) -> Vec<Sample> {
    let mut room = usize::MAX;
    let wanted = |_: &Identity, one: Series| one == series;
    let found = history.select(None, wanted, (after, until), &mut room);
    let found = found.expect("room");
    found.into_iter().flat_map(|it| it.samples).collect()
}

#[test]
fn a_second_is_read_as_it_was_written_and_a_hole_stays_a_hole() {
    let history = MetricsHistory::default();
    for second in [1, 2, 4, 61] {
        write(&history, START + second, Kind::Requests, 7);
    }
    let before = read(&history, Series::HttpRequests, START, START + 61);
    let at: Vec<_> = before.iter().map(|it| it.at - START).collect();
    assert_eq!(at, [1, 2, 4, 61]);
    drop(history.seal(START + MINUTE + LATE_MAX));
    assert_eq!(
        read(&history, Series::HttpRequests, START, START + 61),
        before
    );
    assert_eq!(
        read(&history, Series::HttpRequests, START + 2, START + 60).len(),
        1
    );
    write(&history, START + 3, Kind::Requests, 7);
    assert_eq!(
        read(&history, Series::HttpRequests, START, START + 61),
        before,
        "too late"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_bucket_is_the_fold_of_its_seconds(
        values in proptest::collection::vec(proptest::option::of(0..100_000_u32), 1..900),
    ) {
        let history = MetricsHistory::default();
        let mut known = Vec::new();
        for (second, value) in (START + 1..).zip(&values) {
            if let Some(value) = value {
                write(&history, second, Kind::Requests, *value);
                known.push((second, *value));
            }
            drop(history.seal(second));
        }
        let end = START + 2 * 3_600;
        drop(history.seal(end));
        // Seconds are past their time, ten-second buckets are not.
        let tens = read(&history, Series::HttpRequests, START, end);
        let sum: f64 = tens.iter().map(|it| it.sum).sum();
        let expected: u64 = known.iter().map(|(_, value)| u64::from(*value)).sum();
        prop_assert!((sum - expected as f64).abs() < 0.5);
        for ten in &tens {
            prop_assert_eq!((ten.at - START) % TEN, 0);
            let of_ten = known.iter().filter(|(at, _)| *at > ten.at - TEN && *at <= ten.at);
            let of_ten: Vec<_> = of_ten.map(|(_, value)| *value).collect();
            let fold = Bucket::fold(of_ten.iter().copied()).expect("a bucket has seconds");
            prop_assert_eq!(ten.count, fold.count);
            prop_assert_eq!((ten.min, ten.max), (f64::from(fold.min), f64::from(fold.max)));
        }
        let later = end + TENS_KEPT + 3_600;
        drop(history.seal(later));
        let minutes = read(&history, Series::HttpRequests, START, later);
        let sum: f64 = minutes.iter().map(|it| it.sum).sum();
        prop_assert!((sum - expected as f64).abs() < 0.5);
        drop(history.seal(later + MINUTES_KEPT + 2 * 3_600));
        prop_assert_eq!(history.apps(), Vec::<AppGuid>::new());
    }
}

#[test]
fn each_time_is_told_by_the_finest_that_is_there_and_only_once() {
    let history = MetricsHistory::default();
    for second in 1..=3_600 {
        write(&history, START + second, Kind::Cpu, 1_000);
        drop(history.seal(START + second));
    }
    let all = read(&history, Series::Cpu, START, START + 3_600);
    let seconds: u32 = all.iter().map(|it| it.count).sum();
    assert_eq!(seconds, 3_600);
    assert!(all.windows(2).all(|pair| pair[0].at < pair[1].at));
    assert_eq!(all.first().map(|it| it.count), Some(10));
    assert_eq!(all.last().map(|it| it.count), Some(1));
}

#[test]
fn all_apps_together_stay_within_the_budget_and_the_largest_loses_its_oldest() {
    let budget = 128 * 1024;
    let history = MetricsHistory::with_budget(budget);
    let mut dice = 1_u32;
    for second in 1..=7_200 {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let busy = (1..=8).map(|n| {
            entry(
                1,
                n,
                vec![(Kind::Cpu, dice >> 8), (Kind::MemoryKib, dice >> 9)],
            )
        });
        let idle = entry(2, 99, vec![(Kind::Cpu, 0)]);
        history.write(START + second, busy.chain([idle]));
        drop(history.seal(START + second));
        if second % MINUTE == LATE_MAX {
            assert!(history.size() <= budget, "{}", history.size());
        }
    }
    let idle = history.kept(AppGuid(Uuid::from_u128(2)));
    assert_eq!(idle, None, "it has no memory series");
    let of = |app: u128| {
        let mut room = usize::MAX;
        let apps = [AppGuid(Uuid::from_u128(app))];
        let wanted = |_: &Identity, one: Series| one == Series::Cpu;
        let found = history.select(Some(&apps), wanted, (START, START + 7_200), &mut room);
        let first = found.expect("room").into_iter().next().expect("a series");
        first.samples[0].at
    };
    assert_eq!(of(2), START + TEN, "the small one keeps everything");
    assert!(of(1) > START + 600, "the large one has lost its oldest");
}

#[test]
fn a_query_that_asks_for_too_much_is_refused() {
    let history = MetricsHistory::default();
    for second in 1..=20 {
        write(&history, START + second, Kind::Cpu, 1);
    }
    let mut room = 19;
    let found = history.select(None, |_, _| true, (START, START + 20), &mut room);
    assert_eq!(found.err(), Some(TooMany));
}

#[test]
fn crashes_of_an_index_are_counted_over_its_assignments_and_starts() {
    let history = MetricsHistory::default();
    let [first, second] = [7, 8].map(|n| AssignmentGuid(Uuid::from_u128(n)));
    for (at, assignment, starts, total) in [
        (1, first, 0, 0.0),
        (2, first, 1, 1.0),
        (3, first, 1, 1.0),
        (4, first, 3, 3.0),
        // Replaced elsewhere, where it crashed once.
        (5, second, 0, 3.0),
        (6, second, 1, 4.0),
    ] {
        let instance = assignment.instance(starts);
        let mut one = entry(1, 0, vec![(Kind::MemoryKib, 1)]);
        one.identity.instance = instance;
        one.starts = Some((assignment, starts));
        history.write(START + at, [one]);
        let now = read(&history, Series::Crashes, START + at - 1, START + at);
        assert_eq!(
            now.iter().map(Sample::value).collect::<Vec<_>>(),
            [total],
            "{at}"
        );
    }
}

#[test]
fn crashes_go_on_counting_under_the_next_controller() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let assignment = AssignmentGuid(Uuid::from_u128(7));
    let write = |history: &MetricsHistory, at: i64, starts: u32| {
        let mut one = entry(1, 0, vec![(Kind::MemoryKib, 1)]);
        one.identity.instance = assignment.instance(starts);
        one.starts = Some((assignment, starts));
        history.write(at, [one]);
        let now = read(history, Series::Crashes, at - 1, at);
        now.first().map(Sample::value)
    };
    let first = MetricsHistory::default();
    let mut journal = journal::Journal::open(&path, &first, START).expect("opens");
    assert_eq!(write(&first, START + 1, 2), Some(2.0));
    let records = first.seal_everything(START + 1);
    journal.append(&records, &first).expect("appends");
    let second = MetricsHistory::default();
    drop(journal::Journal::open(&path, &second, START + 70).expect("opens"));
    assert_eq!(write(&second, START + 70, 2), Some(2.0));
    assert_eq!(write(&second, START + 71, 3), Some(3.0));
}

#[test]
fn what_was_sealed_survives_a_kill_and_a_torn_end_is_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("metrics").join("journal");
    let open =
        |history: &MetricsHistory, now| journal::Journal::open(&path, history, now).expect("opens");
    let first = MetricsHistory::default();
    let mut journal = open(&first, START);
    for second in 1..=300 {
        write(&first, START + second, Kind::Requests, 2);
        let records = first.seal(START + second);
        journal.append(&records, &first).expect("appends");
    }
    // A kill: the last minute is only in memory.
    let now = START + 300;
    let second = MetricsHistory::default();
    let mut journal = open(&second, now);
    let kept = read(&second, Series::HttpRequests, START, now);
    assert_eq!(kept.last().map(|it| it.at), Some(START + 240));
    assert_eq!(kept.iter().map(|it| it.sum).sum::<f64>(), 480.0);
    for at in now + 1..=now + 60 {
        write(&second, at, Kind::Requests, 2);
    }
    let records = second.seal_everything(now + 60);
    journal.append(&records, &second).expect("appends");
    // The power went off in the middle of a record.
    let mut bytes = std::fs::read(&path).expect("a file");
    bytes.extend_from_slice(&[9, 0, 0, 0, 1, 2]);
    std::fs::write(&path, bytes).expect("written");
    let third = MetricsHistory::default();
    drop(open(&third, now + 60));
    let kept = read(&third, Series::HttpRequests, START, now + 60);
    assert_eq!(kept.iter().map(|it| it.sum).sum::<f64>(), 600.0);
    std::fs::write(&path, b"something else").expect("written");
    let fourth = MetricsHistory::default();
    drop(open(&fourth, now));
    assert_eq!(fourth.apps(), Vec::<AppGuid>::new());
}

#[test]
fn an_instance_takes_what_the_budget_was_made_for() {
    let history = MetricsHistory::default();
    let mut dice = 1_u32;
    let mut roll = |below: u32| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 8) % below
    };
    for second in 1..=600 {
        let latency = 1_500 + roll(4_000);
        let values = vec![
            (Kind::Cpu, 20_000 + roll(5_000)),
            (Kind::MemoryKib, 60_000 + roll(40)),
            (Kind::DiskKib, 1_000),
            (Kind::Pids, 7),
            (Kind::Crashes, 0),
            (Kind::Requests, 100 + roll(50)),
            (Kind::Errors, 0),
            (Kind::InFlight, roll(4)),
            (Kind::P50, latency),
            (Kind::P90, latency * 2),
            (Kind::P95, latency * 3),
            (Kind::P99, latency * 5),
        ];
        let idle = vec![
            (Kind::MemoryKib, 900),
            (Kind::DiskKib, 1_000),
            (Kind::Pids, 2),
            (Kind::Requests, 0),
        ];
        history.write(START + second, [entry(1, 1, values), entry(2, 2, idle)]);
        drop(history.seal(START + second));
    }
    let inner = history.0.lock();
    let sizes: Vec<_> = inner.apps.values().map(AppHistory::size).collect();
    assert!(sizes[0] < 27_000, "busy: {}", sizes[0]);
    assert!(sizes[1] < 9_000, "idle: {}", sizes[1]);
}
