use std::fs;

use cfx_protocol::desired::{DesiredFrame, Limits, Owner, Root, Work};
use cfx_protocol::id::{AppGuid, ClusterGuid, OrgGuid, SpaceGuid, TaskGuid};
use jiff::Timestamp;
use uuid::Uuid;

use super::*;

const SECRET: &str = "s3cr3t-password";

fn ids() -> IdSource {
    IdSource::seeded(7)
}

fn spec() -> Arc<InstanceSpec> {
    Arc::new(InstanceSpec {
        owner: Owner {
            org: OrgGuid::NIL,
            org_name: "o".into(),
            space: SpaceGuid::NIL,
            space_name: "s".into(),
            app: AppGuid::NIL,
            app_name: "a".into(),
        },
        work: Work::Task {
            task: TaskGuid::NIL,
            name: "t".into(),
            command: "true".into(),
        },
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
        env: BTreeMap::from([("PASSWORD".into(), SECRET.into())]),
        ports: vec![],
    })
}

fn assignment(number: u128) -> Assignment {
    Assignment {
        guid: AssignmentGuid(Uuid::from_u128(number)),
        // What a hostile controller might try.
        spec: SpecId(format!("../../{number}").as_str().into()),
        index: 0,
    }
}

fn desired(revision: u64, numbers: &[u128]) -> Desired {
    let assignments: Vec<_> = numbers.iter().map(|number| assignment(*number)).collect();
    let specs = assignments
        .iter()
        .map(|one| (one.spec.clone(), spec()))
        .collect();
    let token = Token {
        cluster: ClusterGuid::NIL,
        epoch: 1,
        revision,
    };
    let mut desired = Desired::default();
    let frame = DesiredFrame::Snapshot {
        token,
        specs,
        assignments,
    };
    desired.follow(frame, &BTreeMap::new()).expect("followed");
    desired
}

fn instance(number: u128) -> Instance {
    let mut instance = Instance::new(assignment(number), spec(), 3);
    instance.state = InstanceState::Running {
        since: Timestamp::UNIX_EPOCH,
        ready: true,
    };
    instance.crashes = 2;
    instance
}

fn open(folder: &Path) -> (StateFile, Restored) {
    StateFile::open(folder.join("state"), ids()).expect("opened")
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            files.extend(all_files(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

#[test]
fn what_is_saved_comes_back_and_credentials_are_sealed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, nothing) = open(folder.path());
    assert!(nothing.desired.token.is_none() && nothing.damaged.is_empty());
    let (wanted, here) = (desired(5, &[1, 2]), [instance(1), instance(9)]);
    file.save(&wanted, here.iter()).expect("saved");
    for path in all_files(folder.path()) {
        use std::os::unix::fs::PermissionsExt;
        let content = fs::read(&path).expect("read");
        assert_eq!(
            memchr::memmem::find(&content, SECRET.as_bytes()),
            None,
            "{path:?}"
        );
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path:?}");
    }
    let (_, restored) = open(folder.path());
    assert_eq!(restored.damaged, Vec::<String>::new());
    assert_eq!(restored.desired.token, wanted.token);
    assert_eq!(restored.desired.assignments, wanted.assignments);
    assert_eq!(restored.desired.specs, wanted.specs);
    let facts: Vec<_> = restored.instances.iter().map(Facts::from).collect();
    assert_eq!(facts, here.iter().map(Facts::from).collect::<Vec<_>>());
    assert_eq!(restored.instances[0].spec.env["PASSWORD"], SECRET);
}

#[test]
fn what_is_gone_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, _) = open(folder.path());
    file.save(&desired(5, &[1, 2]), [instance(1)].iter())
        .expect("saved");
    file.save(&desired(6, &[]), [].iter()).expect("saved");
    let left: Vec<_> = all_files(folder.path())
        .iter()
        .map(|path| {
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(left, ["desired", "key"]);
}

#[test]
fn any_damage_of_any_file_is_told_and_takes_only_that_file_along() {
    for kind in ["flipped", "cut", "emptied"] {
        for victim in 0..5 {
            let folder = tempfile::tempdir().expect("a folder");
            let (mut file, _) = open(folder.path());
            file.save(&desired(5, &[1, 2]), [instance(1)].iter())
                .expect("saved");
            let files = all_files(folder.path());
            assert_eq!(files.len(), 5);
            let path = &files[victim];
            let mut content = fs::read(path).expect("read");
            match kind {
                "flipped" => {
                    // A key has no wrong bytes, only wrong lengths; then nothing opens any more.
                    let last = content.len() - 1;
                    content[last] ^= 1;
                }
                "cut" => content.truncate(content.len() / 2),
                _ => content.clear(),
            }
            fs::write(path, content).expect("damaged");
            let (mut again, restored) = open(folder.path());
            assert!(!restored.damaged.is_empty(), "{kind} {path:?}");
            // It goes on with what is left.
            again.save(&desired(7, &[2]), [].iter()).expect("saved");
            assert_eq!(
                open(folder.path()).1.desired.assignments.len(),
                1,
                "{kind} {path:?}"
            );
        }
    }
}

#[test]
fn a_write_that_a_kill_cut_short_is_not_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, _) = open(folder.path());
    file.save(&desired(5, &[1]), [instance(1)].iter())
        .expect("saved");
    let state = folder.path().join("state");
    fs::write(state.join("instances/.writing-x"), b"cfx1 half").expect("written");
    fs::write(state.join("specs/.writing-y"), b"half").expect("written");
    let (_, restored) = open(folder.path());
    assert_eq!(restored.damaged, Vec::<String>::new());
    assert_eq!(restored.instances.len(), 1);
    assert!(!state.join("instances/.writing-x").exists());
}
