//! What a container of this cell is made of. The whole posture of an instance is on this page.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount as EngineMount,
    MountBindOptions, MountBindOptionsPropagationEnum, MountType, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use cfx_protocol::id::CellGuid;

use crate::runtime::{ContainerName, Mount, Reservation, RootFs};

pub(super) const LABEL_CELL: &str = "cfx.cell";
/// Labels of the reservation are kept apart from the runtime's own by this.
const LABEL_PREFIX: &str = "cfx.label.";

/// Under memory pressure on the machine apps go before agent, router and controller, which keep 0
/// or less.
const OOM_SCORE_ADJ: i64 = 500;
/// Shared memory of an instance, bytes; what is in it also counts against its memory limit.
const SHM_BYTES: i64 = 64 << 20;

/// A container made ahead is renamed when it becomes somebody's, so the name tells who it is, and
/// no label does.
const NAME_PREFIX: &str = "cfx-";

pub(super) fn container_name(name: ContainerName) -> String {
    format!("{NAME_PREFIX}{name}")
}

/// Whose container this is; the engine puts a slash before names it lists.
pub(super) fn instance_of(container: &str) -> Option<ContainerName> {
    let name = container.strip_prefix('/').unwrap_or(container);
    name.strip_prefix(NAME_PREFIX)?.parse().ok()
}

pub(super) fn create_body(
    cell: CellGuid,
    reservation: &Reservation,
    image: &str,
    mounts: Vec<Mount>,
    home: Option<&Mount>,
) -> ContainerCreateBody {
    let labels = [(LABEL_CELL.to_owned(), cell.to_string())];
    let own = reservation
        .labels
        .iter()
        .map(|(key, value)| (format!("{LABEL_PREFIX}{key}"), value.clone()));
    ContainerCreateBody {
        image: Some(image.to_owned()),
        hostname: Some(reservation.hostname.clone()),
        user: reservation
            .user
            .map(|user| format!("{}:{}", user.uid, user.gid)),
        // The launcher, whatever the image asks for, and nothing of the app: command and
        // environment come through the slot and are never part of the container.
        entrypoint: Some(vec![cfx_launcher::LAUNCHER.to_owned()]),
        cmd: Some(Vec::new()),
        working_dir: Some("/".to_owned()),
        // An image's own health check would run processes that nobody asked for.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        // Or the engine would set up a network of its own around the empty namespace, starting
        // itself anew three times: that is more than half of what a start costs.
        network_disabled: Some(true),
        labels: Some(labels.into_iter().chain(own).collect()),
        host_config: Some(host_config(
            reservation,
            mounts
                .iter()
                .map(engine_mount)
                .chain(home.map(follow))
                .collect(),
        )),
        ..ContainerCreateBody::default()
    }
}

fn host_config(reservation: &Reservation, mounts: Vec<EngineMount>) -> HostConfig {
    let limits = &reservation.limits;
    let memory = bytes(limits.memory_bytes);
    HostConfig {
        // Isolation. Default seccomp, AppArmor and masked paths stay on.
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(matches!(reservation.root, RootFs::Stack(_))),
        // A namespace with nothing but loopback; the cell's network adds the rest.
        network_mode: Some("none".to_owned()),
        ipc_mode: Some("private".to_owned()),
        // Limits. No swap: the limit is the limit.
        memory: Some(memory),
        memory_swap: Some(memory),
        cpu_shares: Some(bytes(limits.cpu_shares)),
        pids_limit: Some(i64::from(limits.pids)),
        ulimits: Some(vec![
            ulimit("nofile", i64::from(limits.fds)),
            // A core file would land wherever the machine's pattern says.
            ulimit("core", 0),
        ]),
        shm_size: Some(SHM_BYTES),
        oom_score_adj: Some(OOM_SCORE_ADJ),
        // The agent owns restarts, the launcher reaps, output goes through the slot.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        init: Some(false),
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        mounts: Some(mounts),
        ..HostConfig::default()
    }
}

/// The reservation's labels out of the engine's.
pub(super) fn own_labels<S: std::hash::BuildHasher>(
    labels: &HashMap<String, String, S>,
) -> std::collections::BTreeMap<String, String> {
    labels
        .iter()
        .filter_map(|(key, value)| {
            let key = key.strip_prefix(LABEL_PREFIX)?;
            Some((key.to_owned(), value.clone()))
        })
        .collect()
}

/// The mounts that the runtime itself adds.
pub(super) fn platform_mounts(launcher: &Path, reservation: &Reservation) -> [Mount; 2] {
    [
        Mount {
            source: launcher.to_path_buf(),
            target: cfx_launcher::LAUNCHER.into(),
            read_only: true,
        },
        Mount {
            source: reservation.slot.clone(),
            target: cfx_launcher::SLOT.into(),
            read_only: false,
        },
    ]
}

/// A mount under which what is mounted on the machine later appears.
fn follow(mount: &Mount) -> EngineMount {
    EngineMount {
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RSLAVE),
            ..MountBindOptions::default()
        }),
        ..engine_mount(mount)
    }
}

fn engine_mount(mount: &Mount) -> EngineMount {
    EngineMount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.to_string_lossy().into_owned()),
        target: Some(mount.target.to_string_lossy().into_owned()),
        read_only: Some(mount.read_only),
        ..EngineMount::default()
    }
}

fn ulimit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(value),
        hard: Some(value),
    }
}

fn bytes(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
