//! A Docker Engine of the test's own, which may be killed.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{log_file, text, wait};

/// Longest the engine may take to answer, or to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// Its bridge, and the address of that; no container of these tests uses it.
const BRIDGE: &str = "cfx-e2e";
const BRIDGE_ADDRESS: &str = "192.0.2.1/24";

pub struct Engine {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Engine {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("cfx-engine-").tempdir();
        // One that an ended test left.
        link(&["delete", BRIDGE]);
        link(&["add", BRIDGE, "type", "bridge"]);
        ip(&["address", "add", BRIDGE_ADDRESS, "dev", BRIDGE]);
        let mut engine = Self {
            folder: folder.expect("a folder"),
            child: None,
        };
        engine.up();
        engine
    }

    /// Start it, or start it again on what the last one left.
    pub fn up(&mut self) {
        let log = log_file(&self.path("log"));
        // A bridge of its own: with none, or with the default, it would end that of the machine's
        // engine.
        let child = Command::new("dockerd")
            .args(["--live-restore", "--iptables=false", "--bridge", BRIDGE])
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("run"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .args(["--host", &self.host()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("dockerd is installed"));
        let answers = || {
            let mut docker = Command::new("docker");
            let listed = docker.args(["--host", &self.host(), "ps"]).output();
            let listed = listed.expect("docker is installed");
            listed.status.success().then_some(())
        };
        let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
        assert!(wait(DEADLINE, answers).is_some(), "no engine:\n{}", log());
    }

    pub fn socket(&self) -> String {
        self.path("sock").display().to_string()
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.socket())
    }

    /// Names of all its containers, running or not.
    pub fn containers(&self) -> Vec<String> {
        let output = Command::new("docker")
            .args(["--host", &self.host(), "ps", "--all"])
            .args(["--no-trunc", "--format", "{{.ID}}"])
            .output()
            .expect("docker is installed");
        assert!(output.status.success(), "{}", text(&output));
        let mut names: Vec<_> = text(&output).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// End the engine as a crash would; what it started runs on.
    pub fn kill_nine(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
            // Its helper has died with it; where nobody reaps that, it would pass for alive.
            fs::remove_file(self.path("run/containerd/containerd.pid")).expect("it had a helper");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            kill(pid, Signal::SIGTERM).ok();
            let ended = wait(DEADLINE, || child.try_wait().ok().flatten());
            if ended.is_none() {
                child.kill().ok();
                child.wait().ok();
            }
        }
        link(&["delete", BRIDGE]);
    }
}

fn link(arguments: &[&str]) {
    ip(&[&["link"], arguments].concat());
}

fn ip(arguments: &[&str]) {
    Command::new("ip")
        .args(arguments)
        .stderr(Stdio::null())
        .status()
        .expect("iproute2 is installed");
}
