use super::*;

fn states() -> Vec<(&'static str, InstanceState)> {
    let t = Timestamp::UNIX_EPOCH;
    let reason = CrashReason::Exited { status: 1 };
    vec![
        ("preparing", InstanceState::Preparing),
        ("ready", InstanceState::Ready),
        ("starting", InstanceState::Starting { since: t }),
        (
            "running",
            InstanceState::Running {
                since: t,
                ready: true,
            },
        ),
        (
            "crashed",
            InstanceState::Crashed {
                since: t,
                reason: reason.clone(),
                next_retry_at: Some(t),
            },
        ),
        (
            "given up",
            InstanceState::Crashed {
                since: t,
                reason,
                next_retry_at: None,
            },
        ),
        ("stopping", InstanceState::Stopping { since: t }),
        ("gone", InstanceState::Gone),
    ]
}

fn events() -> Vec<(&'static str, InstanceEvent)> {
    vec![
        ("prepared", InstanceEvent::Prepared),
        ("launched", InstanceEvent::Launched),
        ("healthy", InstanceEvent::Healthy),
        (
            "readiness",
            InstanceEvent::ReadinessChanged { ready: false },
        ),
        (
            "crash",
            InstanceEvent::Crashed {
                reason: CrashReason::Lost,
                next_retry_at: None,
            },
        ),
        ("retry", InstanceEvent::RetryDue),
        ("stop", InstanceEvent::StopRequested),
        ("gone", InstanceEvent::Gone),
    ]
}

/// The whole matrix, so that a change of the table is a change of this text.
#[test]
fn the_transition_table_is_exactly_this() {
    let mut matrix = String::new();
    for (name, state) in states() {
        let row: Vec<String> = events()
            .into_iter()
            .filter_map(|(event_name, event)| {
                let next = state.apply(event, Timestamp::UNIX_EPOCH).ok()?;
                Some(format!("{event_name}>{}", next.v3_name()))
            })
            .collect();
        matrix.push_str(&format!("{name}: {}\n", row.join(" ")));
    }
    let expected = "\
preparing: prepared>STARTING crash>CRASHED stop>STOPPING
ready: launched>STARTING crash>CRASHED stop>STOPPING
starting: healthy>RUNNING crash>CRASHED stop>STOPPING
running: readiness>RUNNING crash>CRASHED stop>STOPPING
crashed: retry>STARTING stop>STOPPING
given up: stop>STOPPING
stopping: stop>STOPPING gone>DOWN
gone: stop>DOWN gone>DOWN
";
    assert_eq!(matrix, expected);
}

#[test]
fn only_a_ready_running_instance_is_routable() {
    for (name, state) in states() {
        assert_eq!(state.is_routable(), name == "running", "{name}");
    }
    assert!(
        !InstanceState::Running {
            since: Timestamp::UNIX_EPOCH,
            ready: false
        }
        .is_routable()
    );
}

#[test]
fn an_out_of_memory_crash_reads_as_cloud_foundry_writes_it() {
    let reason = CrashReason::OutOfMemory { limit_mb: 64 };
    assert_eq!(reason.to_string(), "Exited with status 137 (out of memory)");
}
