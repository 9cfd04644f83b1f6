//! The crates and arrows of ARCHITECTURE.md, held by Cargo's own metadata.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Which crates of ours a crate may use. A crate that is not listed may not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("cfx-protocol", &[]),
    ("cfx-process", &["cfx-protocol"]),
    ("cfx-store", &["cfx-protocol"]),
    ("cfx-planner", &["cfx-protocol"]),
    ("cfx-launcher", &[]),
    ("cfx-sandbox", &[]),
    ("cfx-rules", &["cfx-protocol"]),
    (
        "cfx-autoscaler",
        &["cfx-rules", "cfx-process", "cfx-store", "cfx-protocol"],
    ),
    ("cfx-router", &["cfx-process", "cfx-protocol"]),
    (
        "cfx-cell-agent",
        &["cfx-launcher", "cfx-sandbox", "cfx-process", "cfx-protocol"],
    ),
    (
        "cfx-cloud-controller",
        &["cfx-planner", "cfx-process", "cfx-store", "cfx-protocol"],
    ),
    (
        "cfx",
        &[
            "cfx-router",
            "cfx-cloud-controller",
            // Only for `bench planner`, which measures it alone.
            "cfx-planner",
            "cfx-cell-agent",
            "cfx-autoscaler",
            "cfx-rules",
            "cfx-store",
            "cfx-process",
            "cfx-protocol",
        ],
    ),
    (
        "cfx-simulation",
        &[
            "cfx-router",
            "cfx-cloud-controller",
            "cfx-planner",
            "cfx-cell-agent",
            "cfx-autoscaler",
            "cfx-rules",
            "cfx-store",
            "cfx-process",
            "cfx-protocol",
        ],
    ),
];

/// Crates that decide and may therefore do no I/O.
const PURE: &[&str] = &["cfx-protocol", "cfx-planner", "cfx-rules"];

/// What would bring I/O, or an ambient clock, into a pure crate.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "axum",
    "sled",
    "bollard",
    "nix",
    "rustls",
    "rand",
    "reqwest",
    "tracing-subscriber",
];

/// What may not come into the tree at all; the reasons stand in deny.toml.
const BANNED: &[&str] = &[
    "openssl-sys",
    "native-tls",
    "ring",
    "serde_yml",
    "tokio-tar",
];

/// Most packages in the whole tree, tests included.
const PACKAGES_MAX: usize = 370;

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let options = [
        "--locked".to_owned(),
        "--filter-platform".to_owned(),
        "x86_64-unknown-linux-gnu".to_owned(),
    ];
    MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(options)
        .exec()
        .expect("cargo metadata answers")
}

fn own(metadata: &Metadata) -> BTreeMap<&str, &Package> {
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.as_str(), package))
        .collect()
}

#[test]
fn every_arrow_between_our_crates_is_drawn() {
    let metadata = metadata();
    let packages = own(&metadata);
    let allowed: BTreeMap<_, BTreeSet<_>> = ARROWS
        .iter()
        .map(|(from, to)| (*from, to.iter().copied().collect()))
        .collect();
    for (name, package) in &packages {
        let drawn = allowed.get(name).unwrap_or_else(|| {
            panic!("the crate {name} is not drawn: add it to ARROWS and ARCHITECTURE.md")
        });
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind != DependencyKind::Development)
        {
            let to = dependency.name.as_str();
            assert!(
                !packages.contains_key(to) || drawn.contains(to),
                "the arrow {name} -> {to} is not drawn"
            );
        }
    }
    assert_eq!(packages.len(), ARROWS.len(), "a drawn crate is missing");
}

#[test]
fn crates_that_decide_do_no_io() {
    let metadata = metadata();
    for (name, package) in own(&metadata) {
        if PURE.contains(&name) {
            for dependency in package
                .dependencies
                .iter()
                .filter(|d| d.kind == DependencyKind::Normal)
            {
                assert!(
                    !IMPURE.contains(&dependency.name.as_str()),
                    "{name} is pure but uses {}",
                    dependency.name
                );
            }
        }
    }
}

/// Names and versions of all that is built. Not from the metadata: its graph also names optional
/// dependencies that nobody has turned on.
fn built() -> BTreeSet<String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--locked",
            "--edges",
            "normal,build,dev",
            "--prefix",
            "none",
        ])
        .args(["--no-dedupe", "--manifest-path", manifest])
        .output()
        .expect("cargo tree answers");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let package = |line: &str| {
        line.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    text.lines()
        .filter(|line| !line.is_empty())
        .map(package)
        .collect()
}

#[test]
fn nothing_banned_is_in_the_tree_and_the_tree_stays_small() {
    let built = built();
    assert!(
        built.len() > 100,
        "the tree names only {} packages",
        built.len()
    );
    for banned in BANNED {
        let found = built
            .iter()
            .find(|package| package.split(' ').next() == Some(*banned));
        assert!(
            found.is_none(),
            "{banned} is in the tree; deny.toml says why it may not be"
        );
    }
    assert!(
        built.len() <= PACKAGES_MAX,
        "{} packages; the budget is {PACKAGES_MAX}",
        built.len()
    );
}

#[test]
fn only_the_sandbox_may_be_unsafe() {
    let metadata = metadata();
    for (name, package) in own(&metadata) {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{name} does not take the workspace's lints"
        );
    }
}
