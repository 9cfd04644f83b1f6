//! Starts the app.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use cfx_launcher::command::{Command, Program};
use cfx_launcher::plain;
use nix::unistd::Pid;

/// First argument that turns the launcher into the app's last step before exec.
pub(crate) const ENTRY_FLAG: &str = "--exec";
/// The same for a command that needs no shell: it comes first, for bash to try what cannot be run.
pub(crate) const PLAIN_FLAG: &str = "--plain";

/// Cloud Foundry's launch: the buildpacks' profile scripts, the app's own, then the command in a
/// shell of its own. The command is `$1`, so that no quoting can break out of this script.
const LAUNCH: &str = r#"
for script in ../profile.d/*.sh .profile.d/*.sh .profile; do
  if [ -f "$script" ]; then . "./$script"; fi
done
unset script
exec bash -c "$1"
"#;

/// Where profile scripts are, beside `.profile` in the app's folder.
const PROFILE_FOLDERS: [&str; 2] = ["../profile.d", ".profile.d"];

/// How the launcher calls itself for the last step, and what it is to run.
struct Invocation<'a> {
    flag: &'static str,
    arguments: Vec<Cow<'a, str>>,
    /// What a shell would have set, for a command that runs without one.
    env: Vec<(&'static str, Cow<'a, str>)>,
}

/// The app's process: its pid is also its process group's.
pub(crate) fn start(command: &Command, stdout: File, stderr: File) -> io::Result<Pid> {
    let Invocation {
        flag,
        arguments,
        env,
    } = invocation(command);
    let child = Process::new("/proc/self/exe")
        .args([flag, &command.directory])
        .args(arguments.iter().map(AsRef::as_ref))
        .env_clear()
        .envs(env.iter().map(|(key, value)| (key, value.as_ref())))
        .envs(command.env.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(pid))
}

fn invocation(command: &Command) -> Invocation<'_> {
    let entry = |arguments| Invocation {
        flag: ENTRY_FLAG,
        arguments,
        env: Vec::new(),
    };
    let line = match &command.program {
        Program::Exec(arguments) => return entry(arguments.iter().map(Cow::from).collect()),
        Program::Shell(line) => line,
    };
    if has_profile(Path::new(&command.directory)) {
        let bash = ["bash", "-c", LAUNCH, "cfx-launch", line];
        return entry(bash.map(Cow::from).into());
    }
    let Some(words) = plain::words(line, &command.env) else {
        return entry(["bash", "-c", line].map(Cow::from).into());
    };
    Invocation {
        env: vec![
            ("PWD", command.directory.as_str().into()),
            ("SHLVL", "0".into()),
            ("_", words[0].clone().into()),
        ],
        arguments: std::iter::once(line.into())
            .chain(words.into_iter().map(Cow::from))
            .collect(),
        flag: PLAIN_FLAG,
    }
}

/// Is there a script to run before a command in this folder?
fn has_profile(directory: &Path) -> bool {
    let is_script = |path: &Path| path.extension().is_some_and(|it| it == "sh") && path.is_file();
    let has_script = |folder: &str| {
        let entries = std::fs::read_dir(directory.join(folder));
        entries.is_ok_and(|mut all| all.any(|one| one.is_ok_and(|one| is_script(&one.path()))))
    };
    directory.join(".profile").is_file() || PROFILE_FOLDERS.into_iter().any(has_script)
}
