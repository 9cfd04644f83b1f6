//! Asks the instance's own control group whether the kernel killed somebody for memory.

/// Where the count is, seen from inside: version 2, then version 1.
const EVENTS: [&str; 2] = [
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
];

/// Kills at the memory limit so far; 0 where the control group cannot be seen.
pub(crate) fn oom_kills() -> u64 {
    EVENTS
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .map_or(0, |text| count(&text))
}

fn count(events: &str) -> u64 {
    events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn both_versions_of_control_groups_are_read() {
        assert_eq!(count("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n"), 2);
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1);
        assert_eq!(count("oom_kill_disable 0\n"), 0);
    }
}
