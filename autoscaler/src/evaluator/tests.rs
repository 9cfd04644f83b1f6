//! The loop against a scripted platform on a clock that moves when told.

use std::sync::Arc;

use cfx_process::telemetry::Metrics;
use cfx_store::store::Store;

use super::leave::OF_RULES;
use super::*;
use crate::scripted::{Fate, START, Scripted, app, attach};
use crate::state::record::{DecisionRecord, Ended, HistoryEntry};
use crate::state::ring::{ACTS, DECISIONS};

const OUT: &str = "scale 40% if CPU >90% for 20s cool down 30s warm up 5s";
const BUSY: i64 = 95_000;
const CALM: i64 = 50_000;

async fn evaluator(platform: &Scripted) -> Evaluator {
    let events = Arc::new(Events::register(&Metrics::default()));
    Evaluator::new(
        platform.edges(),
        platform.policies().await,
        Inbox::default(),
        Latest::default(),
        events,
    )
}

/// The process ends as by a power loss: its lease ends with it, nothing is flushed.
async fn kill(mut evaluator: Evaluator) {
    evaluator.leadership.resign().await;
}

async fn tick(evaluator: &mut Evaluator) -> Tick {
    match evaluator.tick().await {
        Ok(tick) => tick,
        Err(error) => panic!("a tick failed: {error}"),
    }
}

async fn with_rules(text: &str, instances: u32) -> Scripted {
    let platform = Scripted::new();
    platform.has(app(1), instances);
    attach(&platform.policies().await, app(1), text).await;
    platform
}

/// Busy for a while, tick by tick, killed after each tick for which `dies` says so.
async fn run(platform: &Scripted, seconds: u32, dies: impl Fn(u32) -> bool) {
    let mut one = evaluator(platform).await;
    for second in 1..=seconds {
        platform.second(Some(BUSY));
        tick(&mut one).await;
        if dies(second) {
            kill(one).await;
            one = evaluator(platform).await;
        }
    }
    kill(one).await;
}

#[tokio::test]
async fn a_rule_acts_when_its_time_is_full_and_again_only_with_new_evidence() {
    let platform = with_rules(OUT, 5).await;
    run(&platform, 60, |_| false).await;
    let acts = platform.acts();
    assert_eq!(
        acts.first().map(|it| (it.1, it.2)),
        Some((5, 7)),
        "{acts:?}"
    );
    let first = acts[0].0;
    // Nine buckets of ten are enough, and a hole of two is none.
    assert!((18..=22).contains(&first), "{acts:?}");
    assert!(acts.iter().skip(1).all(|it| it.0 - first >= 30), "{acts:?}");
    let history = ACTS.load::<HistoryEntry>(&*platform.store, app(1)).await;
    let history = history.expect("kept");
    assert_eq!(history.len(), acts.len());
    let entry = history.iter().find(|it| it.from == 5).expect("the first");
    assert_eq!((entry.to, entry.ended), (7, Ended::Succeeded));
    assert!(
        entry.reason.starts_with("+2 instance(s) because CPU >90%"),
        "{entry:?}"
    );
}

#[tokio::test]
async fn a_kill_after_any_tick_changes_no_decision() {
    let whole = with_rules(OUT, 5).await;
    run(&whole, 100, |_| false).await;
    assert!(whole.acts().len() >= 2, "{:?}", whole.acts());
    for victim in 1..=100 {
        let killed = with_rules(OUT, 5).await;
        run(&killed, 100, |second| second == victim).await;
        assert_eq!(killed.acts(), whole.acts(), "killed after tick {victim}");
    }
    let often = with_rules(OUT, 5).await;
    run(&often, 100, |_| true).await;
    assert_eq!(often.acts(), whole.acts(), "killed after every tick");
}

#[tokio::test]
async fn an_act_whose_answer_is_lost_is_settled_by_a_look_at_the_app() {
    for (fate, dies) in [
        (Fate::DoneUnheard, false),
        (Fate::DoneUnheard, true),
        (Fate::LostUnheard, false),
        (Fate::LostUnheard, true),
    ] {
        let platform = with_rules(OUT, 5).await;
        platform.fate(fate);
        run(&platform, 40, |_| dies).await;
        let acts = platform.acts();
        let counts: Vec<_> = acts.iter().map(|it| (it.1, it.2)).collect();
        assert_eq!(counts, [(5, 7)], "{fate:?}: done once, whatever was heard");
        let history = ACTS.load::<HistoryEntry>(&*platform.store, app(1)).await;
        assert_eq!(history.expect("kept").len(), 1, "{fate:?}");
    }
}

#[tokio::test]
async fn a_persons_scale_stands_and_evidence_begins_anew() {
    let platform = with_rules(OUT, 5).await;
    let mut one = evaluator(&platform).await;
    for second in 1..=40 {
        platform.second(Some(BUSY));
        if second == 15 {
            platform.change(app(1), |workload| workload.instances = 4);
            platform.change(app(1), |workload| workload.running.truncate(4));
        }
        tick(&mut one).await;
    }
    let acts = platform.acts();
    assert_eq!(
        acts.first().map(|it| (it.1, it.2)),
        Some((4, 6)),
        "{acts:?}"
    );
    assert!(
        acts[0].0 >= 35,
        "the new count has its own 20 seconds: {acts:?}"
    );
}

#[tokio::test]
async fn refusals_in_a_row_are_answered_with_patience() {
    let platform = with_rules(OUT, 5).await;
    for _ in 0..3 {
        platform.fate(Fate::Refused);
    }
    run(&platform, 100, |_| false).await;
    assert_eq!(platform.acts(), [], "nothing is tried for five minutes");
    let history = ACTS.load::<HistoryEntry>(&*platform.store, app(1)).await;
    let history = history.expect("kept");
    assert_eq!(history.len(), 3);
    assert!(history.iter().all(|it| it.ended == Ended::Failed));
    assert!(
        history[0].error.contains("the quota is full"),
        "{history:?}"
    );
    let decisions = DECISIONS
        .load::<DecisionRecord>(&*platform.store, app(1))
        .await;
    let told = decisions.expect("kept");
    let told = told.iter().filter_map(|it| it.not_done.as_deref());
    assert!(
        told.into_iter()
            .any(|it| it.contains("nothing is tried before"))
    );
    run(&platform, 300, |_| false).await;
    assert!(!platform.acts().is_empty(), "then it goes on");
}

#[tokio::test]
async fn of_two_autoscalers_one_acts_and_the_other_takes_over() {
    let platform = with_rules(OUT, 5).await;
    let (mut first, mut second) = (evaluator(&platform).await, evaluator(&platform).await);
    for _ in 1..=10 {
        platform.second(Some(BUSY));
        assert_ne!(tick(&mut first).await, Tick::Following);
        assert_eq!(tick(&mut second).await, Tick::Following);
    }
    // The first is held up for longer than its lease.
    for _ in 1..=15 {
        platform.second(Some(BUSY));
        tick(&mut second).await;
    }
    assert_eq!(tick(&mut first).await, Tick::Following);
    let counts: Vec<_> = platform.acts().iter().map(|it| (it.1, it.2)).collect();
    assert_eq!(counts, [(5, 7)], "evidence is shared by the store");
}

#[tokio::test]
async fn without_rules_nobody_is_asked_and_without_started_apps_nothing_is_done() {
    let platform = Scripted::new();
    platform.has(app(1), 5);
    let mut idle = evaluator(&platform).await;
    platform.second(Some(BUSY));
    assert_eq!(tick(&mut idle).await, Tick::Idle);
    assert_eq!(platform.questions(), 0);
    kill(idle).await;

    attach(&platform.policies().await, app(1), OUT).await;
    platform.change(app(1), |workload| workload.is_started = false);
    run(&platform, 40, |_| false).await;
    platform.change(app(1), |workload| {
        workload.is_started = true;
        workload.is_disabled = true;
    });
    run(&platform, 40, |_| false).await;
    assert_eq!(platform.acts(), []);
}

#[tokio::test]
async fn an_app_that_is_gone_takes_its_rules_along_but_a_blind_platform_does_not() {
    let platform = with_rules(OUT, 5).await;
    for other in 2..=6 {
        platform.has(app(other), 1);
        attach(&platform.policies().await, app(other), OUT).await;
    }
    let mut one = evaluator(&platform).await;
    platform.lacks(app(1));
    for _ in 0..30 {
        platform.pass(1);
        tick(&mut one).await;
    }
    assert!(one.policies.get(app(1)).is_some(), "not at once");
    for _ in 0..40 {
        platform.pass(1);
        tick(&mut one).await;
    }
    let left = platform.policies().await;
    assert!(left.get(app(1)).is_none(), "gone from the store");
    for other in 2..=6 {
        platform.lacks(app(other));
    }
    for _ in 0..100 {
        platform.pass(1);
        tick(&mut one).await;
    }
    let left = platform.policies().await;
    assert_eq!(left.enabled().len(), 5, "nobody deletes five apps at once");
}

#[tokio::test]
async fn paused_rules_watch_and_wait_and_removed_ones_leave_nothing() {
    let platform = with_rules(OUT, 5).await;
    let mut one = evaluator(&platform).await;
    let pause = |until: Option<i64>| {
        move |old: Option<&Known>| {
            let old = old.expect("rules");
            let mut record = old.record.clone();
            record.pause = Some(cfx_rules::state::Pause {
                until,
                reason: "a drill".to_owned(),
            });
            Ok::<_, String>(Some((record, old.policy.clone())))
        }
    };
    let changed = one.policies.change(app(1), pause(Some(START + 40))).await;
    changed.expect("paused");
    for _ in 1..=39 {
        platform.second(Some(BUSY));
        tick(&mut one).await;
    }
    assert_eq!(platform.acts(), []);
    for _ in 0..3 {
        platform.second(Some(BUSY));
        tick(&mut one).await;
    }
    assert_eq!(
        platform.instances(app(1)),
        7,
        "the evidence was gathered meanwhile"
    );

    assert!(one.latest.of(app(1)).is_some());
    let removed = one.policies.change(app(1), |_| Ok::<_, String>(None)).await;
    removed.expect("removed");
    platform.second(Some(CALM));
    assert_eq!(tick(&mut one).await, Tick::Idle);
    assert_eq!(one.latest.of(app(1)), None, "nor in memory");
    for prefix in OF_RULES {
        let left = platform.store.load(&key(prefix, app(1))).await;
        assert_eq!(left.expect("loads").entries, [], "{prefix}");
    }
}
