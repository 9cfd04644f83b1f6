//! Starts the app.

use std::fs::File;
use std::io;
use std::process::{Command as Process, Stdio};

use cfx_launcher::command::{Command, Program};
use nix::unistd::Pid;

/// First argument that turns the launcher into the app's last step before exec.
pub(crate) const ENTRY_FLAG: &str = "--exec";

/// Cloud Foundry's launch: the buildpacks' profile scripts, the app's own, then the command in a
/// shell of its own. The command is `$1`, so that no quoting can break out of this script.
const LAUNCH: &str = r#"
for script in ../profile.d/*.sh .profile.d/*.sh .profile; do
  if [ -f "$script" ]; then . "./$script"; fi
done
unset script
exec bash -c "$1"
"#;

/// The app's process: its pid is also its process group's.
pub(crate) fn start(command: &Command, stdout: File, stderr: File) -> io::Result<Pid> {
    let mut process = Process::new("/proc/self/exe");
    process.arg(ENTRY_FLAG).arg(&command.directory);
    match &command.program {
        Program::Exec(arguments) => process.args(arguments),
        Program::Shell(line) => process.args(["bash", "-c", LAUNCH, "cfx-launch", line]),
    };
    let child = process
        .env_clear()
        .envs(command.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(pid))
}
