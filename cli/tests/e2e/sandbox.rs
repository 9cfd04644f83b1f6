//! A platform without an engine: apps in sandboxes, from the push to the last trace.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Platform, wait};

const FLAGS: [&str; 2] = ["--runtime", "sandbox"];

pub fn without_an_engine() {
    let mut platform = Platform::start_with(1, &FLAGS);
    let home = platform.space("boxes");
    let cells = platform.ok_at(&home, &["cells"]);
    assert!(cells.contains("sandbox"), "{cells}");
    platform.push_probe(&home, "boxes", &["-i", "3"]);
    let before = platform.instances("boxes", 3);

    // As after a crash of the platform: nothing was restarted.
    platform.kill_nine();
    platform.up();
    assert_eq!(platform.instances("boxes", 3), before);

    // The keeper is only needed for what begins.
    kill_keeper(&platform);
    assert_eq!(platform.instances("boxes", 3), before);
    platform.ok_at(&home, &["scale", "boxes", "-i", "4"]);
    let grown = platform.instances("boxes", 4);
    assert!(grown.is_superset(&before), "{before:?} {grown:?}");

    platform.ok_at(&home, &["delete", "boxes", "-f", "-r"]);
    let gone = wait(Duration::from_secs(60), || {
        groups(&platform).is_empty().then_some(())
    });
    assert!(gone.is_some(), "{:?}", groups(&platform));
    platform.push_probe(&home, "boxes", &[]);
    platform.wait_for_app("boxes");
    platform.stop();
    assert_eq!(
        groups(&platform),
        BTreeSet::new(),
        "control groups were left"
    );
    assert_eq!(platform.mounts(), Vec::<String>::new(), "mounts were left");
}

fn kill_keeper(platform: &Platform) {
    let of = format!("serve {}", platform.path("data").display());
    let killed = Command::new("pkill").args(["-9", "-f", "--", &of]).status();
    assert!(killed.expect("pkill").success(), "there is a keeper");
}

/// Control groups of the cell's instances.
fn groups(platform: &Platform) -> BTreeSet<String> {
    let guid = fs::read_to_string(platform.path("data/cell-1.guid")).expect("a cell's guid");
    let root = Path::new("/sys/fs/cgroup");
    let trees = [root.to_path_buf(), root.join("memory")];
    let cells = trees.map(|tree| tree.join("cfx").join(guid.trim()));
    let entries = cells.iter().filter_map(|cell| fs::read_dir(cell).ok());
    let folders = entries.flatten().flatten();
    folders
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.path().display().to_string())
        .collect()
}
