//! Starts a platform of its own folder and ports, and runs `cfx` against it.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::curl::{self, Answer};

pub const PASSWORD: &str = "a-password-for-tests";
/// Longest a platform may take to be ready, with a debug build on a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Longest a clean stop may take before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// The program under test.
pub fn cfx_binary() -> &'static str {
    env!("CARGO_BIN_EXE_cfx")
}

/// A free port of loopback.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// One platform: folder, ports, process.
pub struct Platform {
    pub folder: TempDir,
    pub api: u16,
    pub http: u16,
    pub https: u16,
    pub domain: String,
    pub cells: u32,
    /// More words for `cfx up`.
    more: Vec<String>,
    child: Option<Child>,
}

impl Platform {
    /// Start `cfx up` in a new folder and wait until it is ready.
    pub fn start(cells: u32) -> Self {
        Self::start_with(cells, &[])
    }

    /// The same with more flags.
    pub fn start_with(cells: u32, more: &[&str]) -> Self {
        let mut platform = Self {
            folder: tempfile::Builder::new()
                .prefix("cfx-e2e-")
                .tempdir()
                .expect("a folder"),
            api: free_port(),
            http: free_port(),
            https: free_port(),
            domain: "apps.localhost".to_owned(),
            cells,
            more: more.iter().map(|&word| word.to_owned()).collect(),
            child: None,
        };
        platform.up();
        platform
    }

    /// Start the process again in the same folder.
    pub fn up(&mut self) {
        let log = log_file(&self.path("up.log"));
        let child = Command::new(cfx_binary())
            .arg("up")
            .args(["--data", &self.path("data").display().to_string()])
            .args(["--api-port", &self.api.to_string()])
            .args(["--http-port", &self.http.to_string()])
            .args(["--https-port", &self.https.to_string()])
            .args(["--domain", &self.domain, "--cells", &self.cells.to_string()])
            .args(["--admin-password", PASSWORD])
            .args(&self.more)
            .env("CFX_HOME", self.path("home"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("cfx starts");
        self.child = Some(child);
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let folder = self.folder.path().to_owned();
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            let status = self.cfx(&["status"]);
            if status.status.success() {
                return;
            }
            let ended = self
                .child
                .as_mut()
                .expect("started")
                .try_wait()
                .expect("a child");
            let log = fs::read_to_string(folder.join("up.log")).unwrap_or_default();
            assert!(ended.is_none(), "cfx up ended with {ended:?}:\n{log}");
            assert!(
                Instant::now() < deadline,
                "not ready: {}\n{log}",
                text(&status)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// End it as a power loss would.
    pub fn kill_nine(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }

    /// End it as Ctrl-C would.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("signalled");
        let deadline = Instant::now() + STOP_DEADLINE;
        while child.try_wait().expect("a child").is_none() {
            if Instant::now() > deadline {
                child.kill().expect("killed");
                child.wait().expect("reaped");
                panic!(
                    "cfx up did not stop within {STOP_DEADLINE:?}:\n{}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("up.log")).unwrap_or_default()
    }

    /// Run `cfx` as the user that `up` logged in.
    pub fn cfx(&self, arguments: &[&str]) -> Output {
        self.cfx_at("home", arguments)
    }

    /// Run `cfx` with a session folder of its own.
    pub fn cfx_at(&self, home: &str, arguments: &[&str]) -> Output {
        Command::new(cfx_binary())
            .args(arguments)
            .env("CFX_HOME", self.path(home))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .expect("cfx runs")
    }

    /// Run `cfx` and insist on success.
    pub fn ok_at(&self, home: &str, arguments: &[&str]) -> String {
        let output = self.cfx_at(home, arguments);
        assert!(
            output.status.success(),
            "cfx {arguments:?} failed: {}\n{}",
            text(&output),
            self.log_tail()
        );
        text(&output)
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// A logged-in session in a space of its own; the name of its session folder.
    pub fn space(&self, name: &str) -> String {
        let home = format!("home-{name}");
        let api = format!("http://127.0.0.1:{}", self.api);
        self.ok_at(&home, &["api", &api]);
        self.ok_at(&home, &["login", "-u", "admin", "-p", PASSWORD]);
        self.ok_at(&home, &["create-org", name]);
        self.ok_at(&home, &["target", "-o", name]);
        self.ok_at(&home, &["create-space", "work"]);
        self.ok_at(&home, &["target", "-s", "work"]);
        home
    }

    /// Push a well-behaved probe app from source; what `cfx push` said.
    pub fn push_probe(&self, home: &str, name: &str, more: &[&str]) -> String {
        let source = probe_app(&self.path(&format!("{name}-src")), name, "well");
        let manifest = format!("{source}/manifest.yml");
        let words = [&["push", "-f", &manifest, "-p", &source], more];
        self.ok_at(home, &words.concat())
    }

    /// `GET` an app's route through the router.
    pub fn get(&self, host: &str, path: &str) -> std::io::Result<Answer> {
        curl::get(self.http, &format!("{host}.{}", self.domain), path, &[])
    }

    /// Wait until a route answers 200.
    pub fn wait_for_app(&self, host: &str) -> Answer {
        let mut last = String::new();
        let answer = wait(Duration::from_secs(60), || match self.get(host, "/") {
            Ok(answer) if answer.status == 200 => Some(answer),
            Ok(answer) => {
                last = format!("{} {}", answer.status, answer.body);
                None
            }
            Err(error) => {
                last = error.to_string();
                None
            }
        });
        answer.unwrap_or_else(|| panic!("{host} does not answer: {last}\n{}", self.log_tail()))
    }

    /// The bodies with which all instances of a probe app answer: they name the start of each.
    pub fn instances(&self, host: &str, wanted: usize) -> BTreeSet<String> {
        let mut last = BTreeSet::new();
        let all = wait(Duration::from_secs(60), || {
            let answers = (0..10 * wanted).filter_map(|_| self.get(host, "/").ok());
            last = answers
                .filter(|answer| answer.status == 200)
                .map(|answer| answer.body)
                .collect();
            (last.len() == wanted).then_some(())
        });
        assert!(
            all.is_some(),
            "{wanted} instances answer: {last:?}\n{}",
            self.log_tail()
        );
        last
    }

    /// What is mounted in its folder.
    pub fn mounts(&self) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let within = mounts.lines().filter(|line| line.contains(&folder));
        within.map(str::to_owned).collect()
    }

    /// Containers of this platform, running or not, as the engine sees them.
    pub fn containers(&self) -> Vec<String> {
        (1..=self.cells)
            .flat_map(|number| self.containers_of(&format!("cell-{number}.guid")))
            .collect()
    }

    fn containers_of(&self, guid_file: &str) -> Vec<String> {
        let guid = fs::read_to_string(self.path("data").join(guid_file)).expect("a cell's guid");
        let output = Command::new("docker")
            .args([
                "ps",
                "--all",
                "--quiet",
                "--no-trunc",
                "--filter",
                &format!("label=cfx.cell={}", guid.trim()),
            ])
            .output()
            .expect("docker answers");
        assert!(output.status.success(), "docker: {}", text(&output));
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The log is part of the failure.
            drop(std::io::Write::write_all(
                &mut std::io::stderr(),
                self.log_tail().as_bytes(),
            ));
            if let Some(mut child) = self.child.take() {
                nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX)),
                    nix::sys::signal::Signal::SIGINT,
                )
                // It may have ended by itself.
                .ok();
                drop(child.wait());
            }
        } else {
            self.stop();
        }
    }
}

/// The log of a process that may be started again.
pub fn log_file(path: &Path) -> fs::File {
    let file = fs::File::options().create(true).append(true).open(path);
    file.expect("a log")
}

/// Ask until there is an answer or the deadline is over.
pub fn wait<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Both outputs of a command.
pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A folder with the probe app and its manifest.
pub fn probe_app(at: &Path, name: &str, behave: &str) -> String {
    fs::create_dir_all(at).expect("a folder");
    fs::write(at.join("probe.py"), include_str!("app/probe.py")).expect("written");
    fs::write(at.join("Procfile"), "web: python3 probe.py\n").expect("written");
    let manifest = format!(
        "applications:\n- name: {name}\n  memory: 64M\n  disk_quota: 128M\n  buildpacks: [procfile_buildpack]\n  env:\n    BEHAVE: {behave}\n"
    );
    fs::write(at.join("manifest.yml"), manifest).expect("written");
    at.display().to_string()
}

/// Make a docker image of a small web server in `folder`; answers its name.
pub fn probe_image(folder: &Path) -> &'static str {
    let image = "cfx-e2e/probe:1";
    let build = format!(
        "set -e; mkdir -p {0}/bin {0}/lib64 {0}/lib/x86_64-linux-gnu {0}/srv; cp /bin/busybox {0}/bin/ 2>/dev/null || exit 9; \
         echo from-the-image > {0}/srv/index.html; \
         tar -C {0} -c . | docker import --change 'ENTRYPOINT [\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/srv\"]' \
         --change 'ENV FROM_IMAGE=yes' --change 'EXPOSE 8080' - {image}",
        folder.display()
    );
    let made = Command::new("sh")
        .args(["-c", &build])
        .output()
        .expect("a shell");
    assert!(
        made.status.success(),
        "the image could not be made: {}",
        text(&made)
    );
    image
}
