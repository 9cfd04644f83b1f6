//! What a machine must have for sandboxes. Everything that is missing is told at once.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::cgroup::{self, Cgroups};

/// The first Linux that can restrict a mount before anybody sees it (`mount_setattr`).
const LINUX_LEAST: (u32, u32) = (5, 12);

/// One thing that is missing, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that this machine lacks; nothing when sandboxes can be made.
#[must_use]
pub fn missing() -> Vec<Missing> {
    let mut missing = Vec::new();
    let mut lacks = |text: String| missing.push(Missing(text));
    if !nix::unistd::geteuid().is_root() {
        lacks("root: start cfx as root, for namespaces, mounts and control groups".to_owned());
    } else if !can_everything() {
        lacks("all capabilities: run cfx outside a container, or in a privileged one".to_owned());
    }
    let release = read("/proc/sys/kernel/osrelease");
    if version(&release).is_none_or(|found| found < LINUX_LEAST) {
        let (major, minor) = LINUX_LEAST;
        let found = release.trim();
        lacks(format!("Linux {major}.{minor} or newer: this is {found}"));
    }
    for namespace in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        if !Path::new("/proc/self/ns").join(namespace).exists() {
            lacks(format!("`{namespace}` namespaces in the kernel"));
        }
    }
    if read("/proc/sys/user/max_user_namespaces").trim() == "0" {
        lacks("user namespaces: `sysctl -w user.max_user_namespaces=100000`".to_owned());
    }
    if !Path::new("/proc/sys/kernel/seccomp").exists() {
        lacks("seccomp in the kernel".to_owned());
    }
    if let Err(error) = Cgroups::find(Path::new(cgroup::ROOT), "requirements") {
        lacks(error.to_string());
    }
    missing
}

/// Root in a container usually is not what it is called.
fn can_everything() -> bool {
    const SYS_ADMIN: u64 = 1 << 21;
    let status = read("/proc/self/status");
    let effective = status.lines().find_map(|line| {
        let digits = line.strip_prefix("CapEff:")?;
        u64::from_str_radix(digits.trim(), 16).ok()
    });
    effective.is_some_and(|capabilities| capabilities & SYS_ADMIN != 0)
}

/// `6.1.0-18-amd64` is 6.1.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn a_kernel_s_version_is_read_whatever_its_distribution_adds() {
        for (release, expected) in [
            ("6.1.0-18-amd64\n", Some((6, 1))),
            ("5.15.167.4-microsoft-standard-WSL2", Some((5, 15))),
            ("6.18.44", Some((6, 18))),
            ("6.7-rc1", Some((6, 7))),
            ("unknown", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
        assert!(version("5.4.0") < Some(super::LINUX_LEAST));
    }
}
