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

/// Everything there is.
fn whole(desired: &Desired, instances: &[Instance]) -> Changes {
    let mut guids: BTreeSet<_> = desired.assignments.keys().copied().collect();
    guids.extend(instances.iter().map(|one| one.assignment.guid));
    Changes {
        whole: true,
        ..some(desired, instances, guids)
    }
}

fn some(
    desired: &Desired,
    instances: &[Instance],
    guids: impl IntoIterator<Item = AssignmentGuid>,
) -> Changes {
    let mut specs = desired.specs.clone();
    specs.extend(
        instances
            .iter()
            .map(|one| (one.assignment.spec.clone(), one.spec.clone())),
    );
    let entry = |guid| Entry {
        guid,
        wanted: desired.assignments.get(&guid).cloned(),
        facts: instances
            .iter()
            .find(|one| one.assignment.guid == guid)
            .map(Facts::from),
    };
    Changes {
        token: desired.token,
        entries: guids.into_iter().map(entry).collect(),
        specs,
        whole: false,
    }
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

fn journal(folder: &Path) -> PathBuf {
    folder.join("state/journal")
}

fn facts(restored: &Restored) -> Vec<Facts> {
    restored.instances.iter().map(Facts::from).collect()
}

#[test]
fn what_is_saved_comes_back_and_credentials_are_sealed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, nothing) = open(folder.path());
    assert!(nothing.desired.token.is_none() && nothing.damaged.is_empty());
    let (wanted, here) = (desired(5, &[1, 2]), [instance(1), instance(9)]);
    file.save(whole(&wanted, &here)).expect("saved");
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
    assert_eq!(
        facts(&restored),
        here.iter().map(Facts::from).collect::<Vec<_>>()
    );
    assert_eq!(restored.instances[0].spec.env["PASSWORD"], SECRET);
}

#[test]
fn only_what_has_changed_is_written_and_a_turn_is_one_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, _) = open(folder.path());
    let wanted = desired(5, &[1, 2, 3]);
    let mut here = vec![instance(1), instance(2), instance(3)];
    file.save(whole(&wanted, &here)).expect("saved");
    let before = fs::read(journal(folder.path())).expect("read");
    file.save(whole(&wanted, &here)).expect("saved");
    assert_eq!(fs::read(journal(folder.path())).expect("read"), before);
    here[1].crashes = 7;
    file.save(some(&wanted, &here, [here[1].assignment.guid]))
        .expect("saved");
    let after = fs::read(journal(folder.path())).expect("read");
    let added = after.strip_prefix(before.as_slice()).expect("appended");
    assert_eq!(added.iter().filter(|byte| **byte == b'\n').count(), 1);
    let (_, restored) = open(folder.path());
    assert_eq!(restored.damaged, Vec::<String>::new());
    assert_eq!(
        facts(&restored),
        here.iter().map(Facts::from).collect::<Vec<_>>()
    );
}

#[test]
fn a_journal_that_has_grown_is_written_anew_and_says_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, _) = open(folder.path());
    let wanted = desired(5, &[1]);
    let mut here = [instance(1)];
    file.save(whole(&wanted, &here)).expect("saved");
    let (mut longest, mut length) = (0, 0);
    for crashes in 0..5_000 {
        here[0].crashes = crashes;
        file.save(some(&wanted, &here, [here[0].assignment.guid]))
            .expect("saved");
        length = fs::metadata(journal(folder.path())).expect("there").len();
        longest = longest.max(length);
    }
    assert!((1 << 20..3 << 19).contains(&longest), "{longest}");
    assert!(length < longest, "it was never written anew");
    let (_, restored) = open(folder.path());
    assert_eq!(restored.instances[0].crashes, 4_999);
    assert_eq!(restored.desired.token, wanted.token);
}

#[test]
fn what_is_gone_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, _) = open(folder.path());
    file.save(whole(&desired(5, &[1, 2]), &[instance(1)]))
        .expect("saved");
    file.save(whole(&desired(6, &[]), &[])).expect("saved");
    let left: Vec<_> = all_files(folder.path())
        .iter()
        .map(|path| {
            path.file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(left, ["journal", "key"], "no spec");
    let (_, restored) = open(folder.path());
    assert!(restored.instances.is_empty() && restored.desired.assignments.is_empty());
}

#[test]
fn any_damage_of_any_file_is_told_and_what_is_left_is_used() {
    for kind in ["flipped", "emptied"] {
        for victim in 0..4 {
            let folder = tempfile::tempdir().expect("a folder");
            let (mut file, _) = open(folder.path());
            file.save(whole(&desired(5, &[1, 2]), &[instance(1)]))
                .expect("saved");
            let files = all_files(folder.path());
            assert_eq!(files.len(), 4);
            let path = &files[victim];
            let mut content = fs::read(path).expect("read");
            match kind {
                // A key has no wrong bytes, only wrong lengths; then nothing opens any more.
                "flipped" => {
                    let middle = content.len() / 2;
                    content[middle] ^= 1;
                }
                _ => content.clear(),
            }
            fs::write(path, content).expect("damaged");
            let (mut again, restored) = open(folder.path());
            assert!(!restored.damaged.is_empty(), "{kind} {path:?}");
            // It goes on with what is left.
            again.save(whole(&desired(7, &[2]), &[])).expect("saved");
            let (_, restored) = open(folder.path());
            assert_eq!(
                restored.desired.assignments.len(),
                1,
                "{kind} {path:?}: {:?}",
                restored.damaged
            );
        }
    }
}

#[test]
fn after_damage_nothing_is_taken_for_unarmed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, _) = open(folder.path());
    let wanted = desired(5, &[1]);
    let mut here = [instance(1)];
    (here[0].state, here[0].armed) = (InstanceState::Ready, false);
    file.save(whole(&wanted, &here)).expect("saved");
    let before = fs::read(journal(folder.path())).expect("read").len();
    here[0].armed = true;
    file.save(some(&wanted, &here, [here[0].assignment.guid]))
        .expect("saved");
    // The line that says so goes bad.
    let mut content = fs::read(journal(folder.path())).expect("read");
    content[before + 20] ^= 1;
    fs::write(journal(folder.path()), content).expect("damaged");
    let (_, restored) = open(folder.path());
    assert!(!restored.damaged.is_empty() && restored.instances[0].armed);
}

#[test]
fn a_write_that_a_kill_cut_short_is_not_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, _) = open(folder.path());
    let (wanted, mut here) = (desired(5, &[1]), [instance(1)]);
    file.save(whole(&wanted, &here)).expect("saved");
    let before = fs::read(journal(folder.path())).expect("read").len();
    here[0].crashes = 9;
    let more = || some(&wanted, &here, [here[0].assignment.guid]);
    file.save(more()).expect("saved");
    let whole_text = fs::read(journal(folder.path())).expect("read");
    let state = folder.path().join("state");
    for end in before..whole_text.len() {
        fs::write(journal(folder.path()), &whole_text[..end]).expect("cut");
        fs::write(state.join("specs/.writing-y"), b"half").expect("written");
        let (mut again, restored) = open(folder.path());
        assert_eq!(restored.damaged, Vec::<String>::new(), "cut at {end}");
        assert_eq!(restored.instances[0].crashes, 2, "cut at {end}");
        assert!(!state.join("specs/.writing-y").exists());
        // What comes next does not go on in the middle of the cut line.
        again.save(more()).expect("saved");
        let (_, restored) = open(folder.path());
        assert_eq!(restored.damaged, Vec::<String>::new(), "cut at {end}");
        assert_eq!(restored.instances[0].crashes, 9, "cut at {end}");
    }
}

#[test]
fn after_a_write_that_failed_the_next_one_says_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut file, _) = open(folder.path());
    let (wanted, mut here) = (desired(5, &[1]), [instance(1)]);
    file.save(whole(&wanted, &here)).expect("saved");
    drop(file);
    let (mut file, _) = open(folder.path());
    here[0].crashes = 9;
    // The journal cannot be opened for appending.
    fs::remove_file(journal(folder.path())).expect("removed");
    let change = some(&wanted, &here, [here[0].assignment.guid]);
    file.save(change)
        .expect_err("there is nothing to append to");
    file.save(Changes::default()).expect("saved");
    let (_, restored) = open(folder.path());
    assert_eq!(restored.instances[0].crashes, 9);
    assert_eq!(restored.desired.token, wanted.token);
}
