use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use cfx_protocol::actual::{CellReport, InstanceReport, digest};
use cfx_protocol::cell::{Capacity, CellRegistration, CellUsage};
use cfx_protocol::id::{AssignmentGuid, CellGuid};
use cfx_protocol::instance::InstanceState;
use uuid::Uuid;

use super::{Liveness, Observed};

const START: Duration = Duration::from_secs(100);

fn cell(n: u128) -> CellGuid {
    CellGuid(Uuid::from_u128(n))
}

fn registration(n: u128) -> CellRegistration {
    CellRegistration {
        guid: cell(n),
        name: format!("cell-{n}"),
        zone: "z1".into(),
        runtime: "docker".into(),
        version: "0.1.0".into(),
        stacks: vec!["host".into()],
        tags: Vec::new(),
        capacity: Capacity {
            memory_mb: 1_024,
            disk_mb: 1_024,
            slots: 10,
            cpu_millicores: 1_000,
            starts: 2,
        },
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        gateway: None,
    }
}

fn instance(n: u128) -> InstanceReport {
    let assignment = AssignmentGuid(Uuid::from_u128(n));
    InstanceReport {
        assignment,
        instance: assignment.instance(0),
        starts: 0,
        state: InstanceState::Preparing,
        crashes: 0,
        address: None,
        usage: None,
        outcome: None,
    }
}

/// A report whose digest is that of `all`.
fn report(sequence: u64, full: bool, instances: &[u128], all: &[u128]) -> CellReport {
    let all: Vec<_> = all.iter().map(|n| instance(*n)).collect();
    CellReport {
        cell: cell(1),
        boot: Uuid::from_u128(9),
        sequence,
        applied: None,
        digest: digest(&all),
        full,
        instances: instances.iter().map(|n| instance(*n)).collect(),
        gone: Vec::new(),
        crashes: Vec::new(),
        usage: CellUsage::default(),
        healthy: true,
        draining: false,
    }
}

fn known() -> Observed {
    let observed = Observed::default();
    observed.register(registration(1), START);
    assert!(observed.report(report(1, true, &[1, 2], &[1, 2]), START));
    observed
}

#[test]
fn a_full_report_is_wanted_first_after_a_gap_and_when_digests_differ() {
    let observed = Observed::default();
    assert!(
        !observed.report(report(1, true, &[], &[]), START),
        "unknown cell"
    );
    observed.register(registration(1), START);
    assert!(
        !observed.report(report(1, false, &[1], &[1]), START),
        "no full one yet"
    );
    assert!(observed.report(report(2, true, &[1], &[1]), START));
    assert!(observed.report(report(3, false, &[2], &[1, 2]), START));
    assert!(
        !observed.report(report(5, false, &[3], &[1, 2, 3]), START),
        "a gap"
    );
    assert!(observed.report(report(6, true, &[1, 2, 3], &[1, 2, 3]), START));
    assert!(
        !observed.report(report(7, false, &[], &[1, 2]), START),
        "digests differ"
    );
    assert!(
        !observed.report(report(8, false, &[], &[1, 2, 3]), START),
        "still not full"
    );
}

#[test]
fn what_a_full_report_does_not_list_is_gone_and_other_cells_are_left_alone() {
    let observed = known();
    observed.register(registration(2), START);
    let other = CellReport {
        cell: cell(2),
        ..report(1, true, &[7], &[7])
    };
    assert!(observed.report(other, START));
    assert!(observed.report(report(2, true, &[2], &[2]), START));
    let left: Vec<_> = observed
        .instances()
        .keys()
        .map(|it| it.0.as_u128())
        .collect();
    assert_eq!(left, [2, 7]);
}

#[test]
fn a_cell_cannot_speak_for_an_instance_of_another() {
    let observed = known();
    observed.register(registration(2), START);
    let mut thief = CellReport {
        cell: cell(2),
        ..report(1, true, &[1], &[1])
    };
    thief.instances[0].starts = 7;
    observed.report(thief, START);
    let stolen = AssignmentGuid(Uuid::from_u128(1));
    assert_eq!(
        observed.instance(stolen).expect("it is still there").starts,
        0
    );
}

#[test]
fn silence_makes_a_cell_suspect_then_lost_then_forgotten() {
    let observed = known();
    let at = |ms| {
        let now = START + Duration::from_millis(ms);
        observed.cell(cell(1)).map(|cell| cell.liveness(now))
    };
    assert_eq!(at(2_999), Some(Liveness::Alive));
    assert_eq!(at(3_000), Some(Liveness::Suspect));
    assert_eq!(at(5_000), Some(Liveness::Lost));
    let hour = Duration::from_secs(3_600);
    observed.forget_silent(hour, START + hour);
    assert_eq!(observed.cells().len(), 1);
    observed.forget_silent(hour, START + hour + Duration::from_secs(1));
    assert_eq!((observed.cells().len(), observed.instances().len()), (0, 0));
}

#[test]
fn only_what_matters_wakes_the_listeners() {
    let observed = known();
    let mut changes = observed.changes();
    changes.mark_unchanged();
    assert!(observed.report(report(2, false, &[1], &[1, 2]), START));
    assert!(
        !changes.has_changed().expect("alive"),
        "nothing but the sample is new"
    );
    let mut news = report(3, false, &[1], &[1, 2]);
    news.instances[0].crashes = 1;
    assert!(observed.report(news, START));
    assert!(changes.has_changed().expect("alive"));
}

#[test]
fn a_listener_is_told_what_is_there_and_then_what_changed() {
    let observed = known();
    let listener = observed.listen();
    let first = listener.take();
    assert_eq!((first.cells.len(), first.instances.len()), (1, 2));
    assert!(observed.report(report(2, false, &[1], &[1, 2]), START));
    let silent = listener.take();
    assert_eq!(
        (
            silent.heard.len(),
            silent.cells.len(),
            silent.instances.len()
        ),
        (1, 0, 0),
        "nothing but the sample is new"
    );
    assert!(observed.report(report(3, false, &[3], &[1, 2, 3]), START));
    let gone = CellReport {
        gone: vec![AssignmentGuid(Uuid::from_u128(1))],
        draining: true,
        ..report(4, false, &[], &[2, 3])
    };
    assert!(observed.report(gone, START));
    let changed = listener.take();
    assert_eq!(changed.cells.len(), 1);
    let instances: Vec<_> = changed.instances.iter().map(|it| it.0.as_u128()).collect();
    assert_eq!(instances, [1, 3]);
}
