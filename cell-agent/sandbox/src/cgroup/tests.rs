//! Both versions over trees of plain folders, which hold what was written to them.

use super::*;

const LIMITS: Limits = Limits {
    memory_bytes: 64 << 20,
    cpu_shares: 1_024,
    pids: 32,
    fds: 512,
};

/// A folder that goes with the test.
struct Fake {
    root: PathBuf,
}

impl Fake {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("cfx-cgroup-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("a folder");
        Self { root }
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.root));
    }
}

/// The files that a kernel would make with a group of version 2.
fn group_of_two(fake: &Fake, name: &str) {
    for file in [
        "memory.max",
        "memory.swap.max",
        "cpu.weight",
        "pids.max",
        "cgroup.freeze",
    ] {
        fake.file(&format!("cfx/c1/{name}/{file}"), "");
    }
}

fn two() -> (Fake, Cgroups) {
    let fake = Fake::new(std::thread::current().name().unwrap_or("two"));
    fake.file("cgroup.controllers", "cpuset cpu io memory pids\n");
    for above in ["", "cfx/", "cfx/c1/"] {
        fake.file(&format!("{above}cgroup.subtree_control"), "");
    }
    let groups = Cgroups::find(&fake.root, "c1").expect("found");
    groups.prepare().expect("prepared");
    (fake, groups)
}

#[test]
fn version_2_hands_its_controllers_down_and_limits_everything() {
    let (fake, groups) = two();
    for above in ["", "cfx/", "cfx/c1/"] {
        let handed_down = fake.read(&format!("{above}cgroup.subtree_control"));
        assert_eq!(handed_down, "+memory +cpu +pids");
    }
    group_of_two(&fake, "a");
    let group = groups.make("a", &LIMITS).expect("made");
    assert_eq!(fake.read("cfx/c1/a/memory.max"), "67108864");
    assert_eq!(fake.read("cfx/c1/a/memory.swap.max"), "0");
    assert_eq!(fake.read("cfx/c1/a/cpu.weight"), "39");
    assert_eq!(fake.read("cfx/c1/a/pids.max"), "32");
    assert!(group.entrance().expect("opened").is_some());
    group.freeze(true).expect("frozen");
    assert_eq!(fake.read("cfx/c1/a/cgroup.freeze"), "1");
    assert_eq!(groups.list().expect("listed"), ["a"]);
    let view = View {
        source: fake.root.join("cfx/c1/a"),
        target: "",
    };
    assert_eq!(group.views(), [view]);
}

#[test]
fn version_2_tells_of_kills_at_the_memory_limit() {
    let (fake, groups) = two();
    let group = groups.group("a");
    assert_eq!(group.oom_kills(), 0);
    fake.file(
        "cfx/c1/a/memory.events",
        "low 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n",
    );
    assert_eq!(group.oom_kills(), 2);
    fake.file("cfx/c1/a/cgroup.procs", "12\n345\n");
    assert_eq!(group.processes(), [12, 345]);
}

#[test]
fn a_kernel_without_swap_accounting_is_no_failure_and_a_missing_controller_is() {
    let (fake, groups) = two();
    group_of_two(&fake, "a");
    fs::remove_file(fake.root.join("cfx/c1/a/memory.swap.max")).expect("removed");
    groups.make("a", &LIMITS).expect("made");
    fake.file("cgroup.controllers", "cpu memory\n");
    let missing = Cgroups::find(&fake.root, "c1").expect_err("no pids");
    assert!(missing.to_string().contains("`pids`"), "{missing}");
}

#[test]
fn version_1_has_a_group_in_each_tree_and_in_shared_trees_only_one() {
    let fake = Fake::new("one");
    for tree in ["memory", "cpu,cpuacct", "pids", "freezer"] {
        fake.file(&format!("{tree}/tasks"), "");
    }
    let missing = Cgroups::find(&fake.root, "c1").expect_err("no cpu");
    assert!(missing.to_string().contains("`cpu`"), "{missing}");
    for name in ["cpu", "cpuacct"] {
        std::os::unix::fs::symlink("cpu,cpuacct", fake.root.join(name)).expect("linked");
    }
    let groups = Cgroups::find(&fake.root, "c1").expect("found");
    for (tree, files) in [
        (
            "memory",
            &["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"][..],
        ),
        ("cpu", &["cpu.shares"]),
        ("pids", &["pids.max"]),
        ("freezer", &["freezer.state"]),
    ] {
        for file in files.iter().chain(&["tasks"]) {
            fake.file(&format!("{tree}/cfx/c1/a/{file}"), "");
        }
    }
    groups.prepare().expect("prepared");
    let group = groups.make("a", &LIMITS).expect("made");
    let without_swap = fake.read("memory/cfx/c1/a/memory.memsw.limit_in_bytes");
    assert_eq!(
        without_swap,
        fake.read("memory/cfx/c1/a/memory.limit_in_bytes")
    );
    assert_eq!(fake.read("cpu/cfx/c1/a/cpu.shares"), "1024");
    assert_eq!(fake.read("pids/cfx/c1/a/pids.max"), "32");
    group.join().expect("joined");
    for tree in ["memory", "cpu,cpuacct", "pids", "freezer"] {
        assert_eq!(fake.read(&format!("{tree}/cfx/c1/a/tasks")), "0");
    }
    assert!(group.entrance().expect("none").is_none());
    fake.file(
        "memory/cfx/c1/a/memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
    );
    assert_eq!(group.oom_kills(), 1);
    group.freeze(true).expect("frozen");
    assert_eq!(fake.read("freezer/cfx/c1/a/freezer.state"), "FROZEN");
}
