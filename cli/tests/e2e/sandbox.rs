//! A platform without an engine: apps in sandboxes, from the push to the last trace.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Platform, probe_app, wait};

const FLAGS: [&str; 2] = ["--runtime", "sandbox"];

pub fn without_an_engine() {
    let mut platform = Platform::start_with(1, &FLAGS);
    let home = platform.space("boxes");
    let cells = platform.ok_at(&home, &["cells"]);
    assert!(cells.contains("sandbox"), "{cells}");
    let source = probe_app(&platform.path("boxes-src"), "boxes", "well");
    let manifest = format!("{source}/manifest.yml");
    let push = ["push", "-f", &manifest, "-p", &source, "-i", "3"];
    platform.ok_at(&home, &push);
    platform.wait_for_app("boxes");
    let before = instances(&platform, 3);

    // As after a crash of the platform: nothing was restarted.
    platform.kill_nine();
    platform.up();
    platform.wait_for_app("boxes");
    assert_eq!(instances(&platform, 3), before);

    platform.ok_at(&home, &["delete", "boxes", "-f", "-r"]);
    let gone = wait(Duration::from_secs(60), || {
        groups(&platform).is_empty().then_some(())
    });
    assert!(gone.is_some(), "{:?}", groups(&platform));
    platform.ok_at(&home, &["push", "-f", &manifest, "-p", &source]);
    platform.wait_for_app("boxes");
    platform.stop();
    assert_eq!(
        groups(&platform),
        BTreeSet::new(),
        "control groups were left"
    );
}

/// The bodies of all instances, which name them.
fn instances(platform: &Platform, wanted: usize) -> BTreeSet<String> {
    let seen = wait(Duration::from_secs(60), || {
        let answers = (0..30).filter_map(|_| platform.get("boxes", "/").ok());
        let bodies: BTreeSet<_> = answers
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.body)
            .collect();
        (bodies.len() == wanted).then_some(bodies)
    });
    seen.expect("all instances answer")
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
