//! The real launcher on the host, without any container.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

use super::*;
use cfx_process::clock::Clock;

/// Longest any condition here may take to come true.
const DEADLINE: Duration = Duration::from_secs(20);

/// A launcher with its slot; ended with the test.
struct Running {
    slot: Slot,
    launcher: Child,
    folder: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let slot = Slot::create(folder.path().join("slot"), None).expect("a slot");
        // As built: a file that another thread has just written may still be busy.
        let program = concat!(env!("OUT_DIR"), "/cfx-launcher");
        let launcher = std::process::Command::new(program)
            .arg(slot.directory())
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        Self {
            slot,
            launcher,
            folder,
        }
    }

    async fn arm(&self, command: &Command) -> Attached {
        let armed = self.slot.arm(command, &Clock::system()).await;
        armed.expect("armed")
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.launcher.id()).expect("a pid");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("signalled");
    }

    /// Everything sent has been read, and the launcher sleeps.
    fn is_idle(&self) -> bool {
        let fifo = self.slot.directory().join(cfx_launcher::COMMAND_FILE);
        let fifo = open_plain(&fifo).expect("the fifo");
        let mut fds = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).expect("polled");
        let about = std::fs::read_to_string(format!("/proc/{}/stat", self.launcher.id()));
        let is_empty = !fds[0]
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLIN));
        is_empty && about.expect("stat").contains(") S ")
    }

    fn status(&mut self) -> Option<i32> {
        self.launcher.wait().expect("waited").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.launcher.kill().unwrap_or_default();
        self.launcher.wait().expect("reaped");
    }
}

fn shell(line: &str, directory: &Path) -> Command {
    Command {
        program: Program::Shell(line.to_owned()),
        env: vec![
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("GREETING".to_owned(), "good morning".to_owned()),
        ],
        directory: directory.to_string_lossy().into_owned(),
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

async fn all(mut output: pipe::Receiver) -> String {
    let mut text = String::new();
    soon("the end of the output", output.read_to_string(&mut text))
        .await
        .expect("text");
    text
}

#[test]
fn the_launcher_is_installed_once_for_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = launcher::install(folder.path()).expect("installed");
    let about = |path: &Path| std::fs::metadata(path).expect("there");
    let inode = std::os::unix::fs::MetadataExt::ino(&about(&first));
    assert_eq!(about(&first).permissions().mode() & 0o777, 0o755);
    assert_eq!(launcher::install(folder.path()).expect("again"), first);
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&about(&first)), inode);
}

#[tokio::test]
async fn an_app_gets_its_environment_and_its_ending_is_recorded() {
    let mut running = Running::start();
    assert_eq!(running.slot.exit_record().expect("readable"), None);
    let line = "echo \"$GREETING\"; env | wc -l; echo oops >&2; exit 7";
    assert!(!running.slot.is_armed().expect("readable"));
    let attached = running.arm(&shell(line, running.folder.path())).await;
    soon("the end", attached.lifeline.ended()).await;
    assert!(running.slot.is_armed().expect("readable"));
    let out = all(attached.stdout).await;
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("good morning"));
    // PATH, GREETING, and what bash adds by itself: PWD, SHLVL, _.
    assert_eq!(lines.next(), Some("5"));
    assert_eq!(all(attached.stderr).await, "oops\n");
    assert_eq!(running.status(), Some(7));
    let record = running.slot.exit_record().expect("readable");
    assert_eq!(
        record,
        Some(LauncherExit {
            status: 7,
            signal: None,
            out_of_memory: false,
            dropped_log_bytes: 0
        })
    );
}

#[tokio::test]
async fn profile_scripts_run_first_and_in_order_and_may_change_the_environment() {
    let running = Running::start();
    let home = running.folder.path().join("home");
    let app = home.join("app");
    for (path, text) in [
        ("profile.d/1.sh", "export WORDS=one"),
        ("app/.profile.d/2.sh", "export WORDS=\"$WORDS two\""),
        ("app/.profile", "export WORDS=\"$WORDS three\""),
    ] {
        let path = home.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    let attached = running.arm(&shell("echo $WORDS; pwd", &app)).await;
    let expected = format!("one two three\n{}\n", app.display());
    assert_eq!(all(attached.stdout).await, expected);
}

#[tokio::test]
async fn a_command_of_plain_words_runs_without_a_shell_and_cannot_tell() {
    let mut said = Vec::new();
    for line in ["/usr/bin/env", "/usr/bin/env;"] {
        let running = Running::start();
        let mut command = shell(line, running.folder.path());
        command.directory = "/".to_owned();
        let attached = running.arm(&command).await;
        let out = all(attached.stdout).await;
        let lines: BTreeSet<String> = out.lines().map(str::to_owned).collect();
        said.push(lines);
    }
    assert_eq!(said[0], said[1]);
    let running = Running::start();
    let script = running.folder.path().join("script");
    std::fs::write(&script, "echo said by $BASH\n").expect("written");
    let runnable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&script, runnable).expect("set");
    let attached = running.arm(&shell("./script", running.folder.path())).await;
    let out = all(attached.stdout).await;
    assert!(out.starts_with("said by "), "{out}");
    let mut running = Running::start();
    let attached = running
        .arm(&shell("./nothing", running.folder.path()))
        .await;
    let told = all(attached.stderr).await;
    assert!(told.contains("./nothing: No such file"), "{told}");
    assert_eq!(running.status(), Some(127));
}

#[tokio::test]
async fn signals_reach_the_whole_app_with_none_blocked() {
    let mut running = Running::start();
    // The child would survive a signal sent to the shell alone.
    let line = "trap 'echo term; exit 3' TERM; sleep 1000 & echo up; wait";
    let mut attached = running.arm(&shell(line, running.folder.path())).await;
    let mut lines = BufReader::new(&mut attached.stdout).lines();
    let up = soon("the app", lines.next_line()).await.expect("a line");
    assert_eq!(up.as_deref(), Some("up"));
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let term = soon("the trap", lines.next_line()).await.expect("a line");
    assert_eq!(term.as_deref(), Some("term"));
    soon("the end", attached.lifeline.ended()).await;
    assert_eq!(running.status(), Some(3));
}

#[tokio::test]
async fn a_launcher_told_to_stop_before_its_command_says_so() {
    let mut running = Running::start();
    let attached = soon("the launcher", async {
        loop {
            match running.slot.attach() {
                Ok(attached) => break attached,
                Err(SlotError::NoLauncher(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    running.signal(nix::sys::signal::Signal::SIGTERM);
    soon("the end", attached.lifeline.ended()).await;
    assert_eq!(running.status(), Some(143));
    let record = running.slot.exit_record().expect("readable").expect("one");
    assert_eq!((record.status, record.signal), (143, Some(15)));
    let late = running.slot.attach().map(drop);
    assert!(matches!(late, Err(SlotError::NoLauncher(_))));
}

#[tokio::test]
async fn a_program_that_is_not_there_ends_as_in_a_shell_and_says_which() {
    let mut running = Running::start();
    let mut command = shell("", running.folder.path());
    command.program = Program::Exec(vec!["no-such-program".to_owned()]);
    let attached = running.arm(&command).await;
    let told = all(attached.stderr).await;
    assert!(told.starts_with("cannot run no-such-program"), "{told}");
    assert_eq!(running.status(), Some(127));
}

#[tokio::test]
async fn a_command_cut_short_by_a_dying_agent_can_be_sent_again() {
    let running = Running::start();
    let command = shell("echo whole", running.folder.path());
    let message = command.encode().expect("encodes");
    let fifo = running.slot.directory().join(cfx_launcher::COMMAND_FILE);
    let half = message[..message.len() / 2].to_vec();
    // Opening for writing waits for the launcher.
    tokio::task::spawn_blocking(move || std::fs::write(fifo, half))
        .await
        .expect("joined")
        .expect("written");
    soon("the launcher to see the cut", async {
        while !running.is_idle() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let attached = running.arm(&command).await;
    assert_eq!(all(attached.stdout).await, "whole\n");
}

#[tokio::test]
async fn an_app_outlives_its_agent_and_goes_on_writing() {
    let mut running = Running::start();
    let done = running.folder.path().join("done");
    // Far more than both pipes hold.
    let line = format!(
        "head -c 1000000 /dev/zero | tr '\\0' x; touch {}; read -r < {}; echo last; exit 5",
        done.display(),
        running.folder.path().join("go").display(),
    );
    nix::unistd::mkfifo(&running.folder.path().join("go"), Mode::S_IRWXU).expect("a fifo");
    let attached = running.arm(&shell(&line, running.folder.path())).await;
    drop(attached);
    soon("the app to write on alone", async {
        while !done.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let again = running.slot.attach().expect("the launcher is still there");
    assert!(!again.lifeline.has_ended());
    assert!(running.slot.is_armed().expect("readable"));
    assert_eq!(running.slot.exit_record().expect("readable"), None);
    std::fs::write(running.folder.path().join("go"), "\n").expect("told");
    soon("the end", again.lifeline.ended()).await;
    let tail = all(again.stdout).await;
    assert!(tail.ends_with("xxlast\n"), "{} bytes", tail.len());
    assert_eq!(running.status(), Some(5));
    let record = running.slot.exit_record().expect("readable").expect("one");
    assert_eq!(record.dropped_log_bytes + tail.len() as u64, 1_000_005);
}

#[tokio::test]
async fn the_launcher_never_wakes_up_while_an_agent_lives() {
    let running = Running::start();
    let mut attached = running
        .arm(&shell("echo up; exec sleep 1000", running.folder.path()))
        .await;
    let mut line = String::new();
    let mut output = BufReader::new(&mut attached.stdout);
    soon("the app", output.read_line(&mut line))
        .await
        .expect("a line");
    let switches = || {
        let status = format!("/proc/{}/status", running.launcher.id());
        let text = std::fs::read_to_string(status).expect("status");
        let line = text.lines().find(|line| line.starts_with("voluntary_ctxt"));
        line.expect("the count").to_owned()
    };
    let memory = std::fs::read_to_string(format!("/proc/{}/status", running.launcher.id()));
    let memory = memory.expect("status");
    let resident = memory
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let resident: u64 = resident
        .and_then(|text| text.trim().trim_end_matches(" kB").parse().ok())
        .expect("a number");
    assert!(
        resident < 300,
        "the launcher holds {resident} kB for itself"
    );
    // The app may be quicker than the launcher on its way to where it waits.
    let before = soon("the launcher's rest", async {
        loop {
            let before = switches();
            Clock::system().sleep(Duration::from_millis(100)).await;
            if switches() == before {
                return before;
            }
        }
    })
    .await;
    Clock::system().sleep(Duration::from_millis(500)).await;
    assert_eq!(switches(), before);
}

#[tokio::test]
async fn what_an_app_puts_in_place_of_its_record_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let slot = Slot::create(folder.path().join("slot"), None).expect("a slot");
    let exit = slot.directory().join(cfx_launcher::EXIT_FILE);
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode(slot.directory()) & 0o777, 0o755);
    std::fs::write(&exit, vec![b'9'; 1 << 20]).expect("written");
    assert_eq!(slot.exit_record().expect("readable"), None);
    std::fs::remove_file(&exit).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", &exit).expect("linked");
    assert!(slot.exit_record().is_err());
}
