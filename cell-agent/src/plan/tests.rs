use std::sync::Arc;
use std::time::Duration;

use cfx_protocol::actual::Outcome;
use cfx_protocol::desired::{
    Assignment, DesiredFrame, InstanceSpec, Limits, Owner, Root, SpecId, Work as Purpose,
};
use cfx_protocol::generation::{Refused, Token};
use cfx_protocol::health::{HealthCheck, ReadinessCheck};
use cfx_protocol::id::{
    AppGuid, AssignmentGuid, ClusterGuid, OrgGuid, ProcessGuid, SpaceGuid, TaskGuid,
};
use cfx_protocol::instance::CrashReason;
use uuid::Uuid;

use super::*;

pub(super) fn guid(number: u128) -> AssignmentGuid {
    AssignmentGuid(Uuid::from_u128(number))
}

fn token(epoch: u64, revision: u64) -> Token {
    Token {
        cluster: ClusterGuid::NIL,
        epoch,
        revision,
    }
}

fn spec(is_task: bool) -> Arc<InstanceSpec> {
    let work = if is_task {
        Purpose::Task {
            task: TaskGuid::NIL,
            name: "t".into(),
            command: "true".into(),
        }
    } else {
        Purpose::Process {
            process: ProcessGuid::NIL,
            process_type: "web".into(),
            command: None,
            health: HealthCheck::default(),
            readiness: ReadinessCheck::default(),
        }
    };
    Arc::new(InstanceSpec {
        owner: Owner {
            org: OrgGuid::NIL,
            org_name: "o".into(),
            space: SpaceGuid::NIL,
            space_name: "s".into(),
            app: AppGuid::NIL,
            app_name: "a".into(),
        },
        work,
        root: Root::Stack {
            name: "host".into(),
            droplet: None,
        },
        limits: Limits {
            memory_mb: 1,
            disk_mb: 1,
            log_rate_bytes: None,
            pids: 1,
            fds: 1,
        },
        env: BTreeMap::new(),
        ports: vec![8080],
    })
}

pub(super) fn assignment(number: u128, spec: &str) -> Assignment {
    Assignment {
        guid: guid(number),
        spec: SpecId(spec.into()),
        index: 0,
    }
}

fn specs() -> BTreeMap<SpecId, Arc<InstanceSpec>> {
    let named = |name: &str| (SpecId(name.into()), spec(name == "task"));
    ["web", "new", "task"].map(named).into()
}

pub(super) fn snapshot(revision: u64, assignments: Vec<Assignment>) -> DesiredFrame {
    DesiredFrame::Snapshot {
        token: token(1, revision),
        specs: specs(),
        assignments,
    }
}

pub(super) fn delta(
    revision: u64,
    upsert: Vec<Assignment>,
    remove: Vec<AssignmentGuid>,
) -> DesiredFrame {
    DesiredFrame::Delta {
        token: token(1, revision),
        previous: token(1, revision - 1),
        specs: specs(),
        upsert,
        remove,
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(1_000)
}

fn crashed(due: Option<Timestamp>) -> InstanceState {
    InstanceState::Crashed {
        since: now(),
        reason: CrashReason::Lost,
        next_retry_at: due,
    }
}

/// The one step planned for a web instance in `state` under `wish`.
fn check(wish: Wish, state: InstanceState, change: impl Fn(&mut Instance)) -> Option<Action> {
    let mut instance = Instance::new(assignment(1, "web"), spec(false), 4);
    instance.state = state;
    change(&mut instance);
    let actual = BTreeMap::from([(guid(1), instance)]);
    let mut desired = Desired::default();
    let frames = match wish {
        Wish::Wanted => vec![snapshot(1, vec![assignment(1, "web")])],
        Wish::Changed => vec![snapshot(1, vec![assignment(1, "new")])],
        Wish::Removed => vec![
            snapshot(1, vec![assignment(1, "web")]),
            delta(2, vec![], vec![guid(1)]),
        ],
        Wish::Doubtful => vec![snapshot(1, vec![])],
    };
    for frame in frames {
        desired.follow(frame, &actual).expect("followed");
    }
    let plan = plan(&desired, &actual, now());
    assert!(plan.steps.len() <= 1);
    plan.steps.first().map(|step| step.action)
}

#[test]
fn every_state_and_wish_has_its_step() {
    use Wish::{Changed, Removed, Wanted};
    let t = now();
    let later = t + Duration::from_secs(1);
    let running = || InstanceState::Running {
        since: t,
        ready: true,
    };
    let starting = || InstanceState::Starting { since: t };
    let stopping = || InstanceState::Stopping { since: t };
    let again = Some(Action::Prepare { start: 5 });
    for (wish, state, step) in [
        (
            Wanted,
            InstanceState::Preparing,
            Some(Action::Prepare { start: 4 }),
        ),
        (Wanted, InstanceState::Ready, Some(Action::Arm)),
        (Wanted, starting(), None),
        (Wanted, running(), None),
        (Wanted, crashed(Some(t)), again),
        (Wanted, crashed(Some(later)), None),
        (Wanted, crashed(None), None),
        (Wanted, stopping(), Some(Action::Stop)),
        (Wanted, InstanceState::Gone, again),
        (Removed, InstanceState::Preparing, Some(Action::Stop)),
        (Removed, InstanceState::Ready, Some(Action::Stop)),
        (Removed, starting(), Some(Action::Stop)),
        (Removed, running(), Some(Action::Stop)),
        (Removed, crashed(Some(t)), Some(Action::Stop)),
        (Removed, stopping(), Some(Action::Stop)),
        (Removed, InstanceState::Gone, Some(Action::Forget)),
        (Changed, running(), Some(Action::Stop)),
        (Changed, crashed(None), Some(Action::Stop)),
        (Changed, InstanceState::Gone, again),
    ] {
        let told = format!("{wish:?} {state:?}");
        assert_eq!(check(wish, state, |_| {}), step, "{told}");
    }
}

#[test]
fn what_nobody_ordered_away_is_left_alone_in_every_state() {
    for state in [
        InstanceState::Preparing,
        InstanceState::Ready,
        InstanceState::Starting { since: now() },
        InstanceState::Running {
            since: now(),
            ready: true,
        },
        crashed(Some(now())),
        InstanceState::Stopping { since: now() },
        InstanceState::Gone,
    ] {
        assert_eq!(
            check(Wish::Doubtful, state.clone(), |_| {}),
            None,
            "{state:?}"
        );
    }
}

#[test]
fn a_step_under_way_is_waited_for_unless_it_is_a_preparation_nobody_wants() {
    let preparing = |work| move |one: &mut Instance| one.under_way = Some(work);
    let state = || InstanceState::Preparing;
    assert_eq!(
        check(Wish::Wanted, state(), preparing(Work::Preparing)),
        None
    );
    assert_eq!(
        check(Wish::Removed, state(), preparing(Work::Preparing)),
        Some(Action::Abandon)
    );
    let ready = InstanceState::Ready;
    assert_eq!(check(Wish::Removed, ready, preparing(Work::Arming)), None);
}

#[test]
fn a_waiting_instance_is_cleared_away_and_wakes_the_planner_when_its_time_comes() {
    let due = now() + Duration::from_secs(30);
    let clear = check(Wish::Wanted, crashed(Some(due)), |one| one.remains = true);
    assert_eq!(clear, Some(Action::Clear));
    let mut waiting = Instance::new(assignment(1, "web"), spec(false), 4);
    waiting.state = crashed(Some(due));
    let actual = BTreeMap::from([(guid(1), waiting)]);
    let mut desired = Desired::default();
    desired
        .follow(snapshot(1, vec![assignment(1, "web")]), &actual)
        .expect("followed");
    assert_eq!(
        plan(&desired, &actual, now()),
        Plan {
            steps: vec![],
            waits: vec![(due, guid(1))]
        }
    );
    assert_eq!(
        plan(&desired, &actual, due).steps[0].action,
        Action::Prepare { start: 5 }
    );
}

#[test]
fn a_run_once_work_is_concluded_once_and_stays_until_it_is_removed() {
    let running = || InstanceState::Running {
        since: now(),
        ready: true,
    };
    assert_eq!(
        check(Wish::Wanted, running(), |one| one.ended = true),
        Some(Action::Conclude)
    );
    let outcome = Outcome::Task {
        task: TaskGuid::NIL,
        failure: None,
    };
    let told = |one: &mut Instance| one.outcome = Some(outcome.clone());
    assert_eq!(check(Wish::Wanted, InstanceState::Gone, told), None);
    assert_eq!(
        check(Wish::Removed, InstanceState::Gone, told),
        Some(Action::Forget)
    );
}

#[test]
fn a_draining_cell_starts_nothing_new_and_keeps_what_it_has() {
    let mut crashing = Instance::new(assignment(1, "web"), spec(false), 0);
    crashing.state = crashed(Some(now()));
    let actual = BTreeMap::from([(guid(1), crashing)]);
    let mut desired = Desired::default();
    let both = vec![assignment(1, "web"), assignment(2, "web")];
    desired
        .follow(snapshot(1, both), &actual)
        .expect("followed");
    desired.draining = true;
    let steps = plan(&desired, &actual, now()).steps;
    assert_eq!(steps.len(), 1);
    assert_eq!(steps[0].assignment, guid(1));
}

#[test]
fn absence_is_believed_only_when_two_snapshots_agree() {
    let actual = BTreeMap::from([(guid(1), Instance::new(assignment(1, "web"), spec(false), 0))]);
    let mut desired = Desired::default();
    let named = || vec![assignment(1, "web")];
    desired
        .follow(snapshot(1, named()), &actual)
        .expect("followed");
    assert_eq!(
        desired.follow(snapshot(2, vec![]), &actual),
        Ok(Followed::Doubts)
    );
    assert_eq!(desired.wish(&assignment(1, "web")), Wish::Doubtful);
    // It was a mistake: the doubt is forgotten.
    assert_eq!(
        desired.follow(snapshot(3, named()), &actual),
        Ok(Followed::Changed)
    );
    assert_eq!(
        desired.follow(snapshot(4, vec![]), &actual),
        Ok(Followed::Doubts)
    );
    assert_eq!(
        desired.follow(snapshot(5, vec![]), &actual),
        Ok(Followed::Changed)
    );
    assert_eq!(desired.wish(&assignment(1, "web")), Wish::Removed);
}

#[test]
fn older_and_foreign_frames_are_refused_and_gaps_are_seen() {
    let nothing = BTreeMap::new();
    let mut desired = Desired::default();
    desired
        .follow(snapshot(5, vec![]), &nothing)
        .expect("followed");
    assert_eq!(
        desired.follow(snapshot(4, vec![]), &nothing),
        Err(Refused::Older)
    );
    let foreign = Token {
        cluster: ClusterGuid(Uuid::from_u128(9)),
        epoch: 9,
        revision: 9,
    };
    let keepalive = DesiredFrame::Keepalive { token: foreign };
    assert!(matches!(
        desired.follow(keepalive, &nothing),
        Err(Refused::OtherCluster { .. })
    ));
    assert_eq!(
        desired.follow(delta(7, vec![], vec![]), &nothing),
        Ok(Followed::Gap)
    );
    let ahead = DesiredFrame::Keepalive { token: token(1, 6) };
    assert_eq!(desired.follow(ahead, &nothing), Ok(Followed::Gap));
    let here = DesiredFrame::Keepalive { token: token(1, 5) };
    assert_eq!(desired.follow(here, &nothing), Ok(Followed::Unchanged));
}

#[test]
fn an_assignment_without_its_spec_is_a_gap_and_stops_nothing() {
    let actual = BTreeMap::from([(guid(1), Instance::new(assignment(1, "web"), spec(false), 0))]);
    let mut desired = Desired::default();
    desired
        .follow(snapshot(1, vec![assignment(1, "web")]), &actual)
        .expect("followed");
    let unknown = delta(2, vec![assignment(1, "never sent")], vec![]);
    assert_eq!(desired.follow(unknown, &actual), Ok(Followed::Gap));
    assert_eq!(desired.wish(&assignment(1, "web")), Wish::Doubtful);
}

#[test]
fn a_wait_stays_as_long_as_it_was_when_the_wall_clock_is_set() {
    let due = now() + Duration::from_secs(30);
    let mut waiting = Instance::new(assignment(1, "web"), spec(false), 4);
    waiting.state = crashed(Some(due));
    for jump_s in [600, -600] {
        let jump = jiff::SignedDuration::from_secs(jump_s);
        let mut one = waiting.clone();
        one.shift_times(jump);
        let InstanceState::Crashed {
            next_retry_at: Some(moved),
            ..
        } = one.state
        else {
            panic!("still waiting");
        };
        assert_eq!(
            moved.duration_since(now() + jump),
            jiff::SignedDuration::from_secs(30)
        );
    }
}

#[test]
fn halting_ends_what_runs_and_starts_nothing() {
    let mut world = BTreeMap::new();
    for (number, state) in [
        (
            1,
            InstanceState::Running {
                since: Timestamp::UNIX_EPOCH,
                ready: true,
            },
        ),
        (2, InstanceState::Gone),
        (3, InstanceState::Preparing),
    ] {
        let mut instance = Instance::new(assignment(number, "s"), spec(false), 0);
        instance.under_way = (number == 3).then_some(Work::Preparing);
        instance.state = state;
        world.insert(guid(number), instance);
    }
    let actions: Vec<_> = halt(world.values())
        .steps
        .into_iter()
        .map(|step| step.action)
        .collect();
    assert_eq!(actions, vec![Action::Stop, Action::Abandon]);
    assert!(!is_halted(&world));
    world.retain(|_, instance| instance.state == InstanceState::Gone);
    assert!(is_halted(&world));
}
