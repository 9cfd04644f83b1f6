//! What the CLI remembers between commands: the target, the login, the org and space.
//!
//! One file under `$CFX_HOME`, readable by its owner only, replaced as a whole. It holds tokens
//! and never a password.

use std::path::{Path, PathBuf};

use cfx_process::durable_file;
use serde::{Deserialize, Serialize};

use crate::client::{Tokens, Trust};
use crate::failure::{Failure, Outcome};

const FILE: &str = "session.json";
/// The layout of the file; an unknown one is refused, not guessed at.
const VERSION: u32 = 1;

/// A platform that was targeted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) api_version: String,
    pub(crate) login: String,
    pub(crate) uaa: String,
    pub(crate) log_cache: Option<String>,
    /// Ports that people reach the routers by, when the platform tells.
    #[serde(default)]
    pub(crate) http_port: Option<u16>,
    #[serde(default)]
    pub(crate) https_port: Option<u16>,
    /// PEM of the authority to believe instead of the system's.
    #[serde(default)]
    pub(crate) authority: Option<String>,
    #[serde(default)]
    pub(crate) skip_ssl_validation: bool,
}

impl Target {
    pub(crate) fn trust(&self) -> Trust {
        match (&self.authority, self.skip_ssl_validation) {
            (_, true) => Trust::Anyone,
            (Some(pem), false) => Trust::Authority(pem.clone()),
            (None, false) => Trust::System,
        }
    }
}

/// A thing with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    pub(crate) guid: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    version: u32,
    pub(crate) target: Option<Target>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) org: Option<Named>,
    pub(crate) space: Option<Named>,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            version: VERSION,
            target: None,
            tokens: None,
            org: None,
            space: None,
        }
    }
}

impl Session {
    /// Another platform: nothing of the old one holds there.
    pub(crate) fn retarget(&mut self, target: Target) {
        if self.target.as_ref().is_none_or(|old| old.url != target.url) {
            self.log_out();
        }
        self.target = Some(target);
    }

    pub(crate) fn log_out(&mut self) {
        self.tokens = None;
        self.org = None;
        self.space = None;
    }
}

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct SessionFile(PathBuf);

impl SessionFile {
    pub(crate) fn under(home: &Path) -> Self {
        Self(home.join(FILE))
    }

    /// An absent file is an empty session.
    pub(crate) fn load(&self) -> Outcome<Session> {
        let unreadable = |detail: String| {
            Failure::new(format!("cannot read {}: {detail}", self.0.display())).next(format!(
                "remove the file and log in again: `rm {} && cfx login`",
                self.0.display()
            ))
        };
        let content = durable_file::read(&self.0).map_err(|e| unreadable(e.to_string()))?;
        let Some(content) = content else {
            return Ok(Session::default());
        };
        let session: Session =
            serde_json::from_slice(&content).map_err(|error| unreadable(error.to_string()))?;
        if session.version != VERSION {
            return Err(unreadable(format!(
                "it has layout {}, this cfx knows {VERSION}",
                session.version
            )));
        }
        Ok(session)
    }

    pub(crate) fn save(&self, session: &Session) -> Outcome {
        let unwritable = |detail: String| {
            Failure::new(format!("cannot write {}: {detail}", self.0.display()))
                .next("set CFX_HOME to a folder of yours")
        };
        if let Some(folder) = self.0.parent() {
            durable_file::create_private_folder(folder).map_err(|e| unwritable(e.to_string()))?;
        }
        let content =
            serde_json::to_vec_pretty(session).map_err(|error| unwritable(error.to_string()))?;
        durable_file::write(&self.0, &content, durable_file::MODE_SECRET)
            .map_err(|error| unwritable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn target(url: &str) -> Target {
        Target {
            url: url.into(),
            api_version: "3.211.0".into(),
            login: url.into(),
            uaa: url.into(),
            log_cache: None,
            http_port: Some(8080),
            https_port: None,
            authority: None,
            skip_ssl_validation: false,
        }
    }

    #[test]
    fn a_session_survives_the_file_and_only_its_owner_reads_it() {
        let home = tempfile::tempdir().expect("a folder");
        let file = SessionFile::under(&home.path().join("deep"));
        assert_eq!(file.load().expect("empty"), Session::default());
        let mut session = Session::default();
        session.retarget(target("http://127.0.0.1:8880"));
        file.save(&session).expect("saved");
        assert_eq!(file.load().expect("loaded"), session);
        let mode = std::fs::metadata(&file.0)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_session_is_told_and_not_replaced() {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join(FILE), "{").expect("written");
        let failure = SessionFile::under(home.path()).load().expect_err("damaged");
        assert!(
            failure
                .next_step()
                .is_some_and(|step| step.contains("cfx login"))
        );
    }

    #[test]
    fn another_target_forgets_the_login_and_the_same_target_keeps_it() {
        let mut session = Session::default();
        session.retarget(target("http://a"));
        session.tokens = Some(Tokens::default());
        session.retarget(target("http://a"));
        assert!(session.tokens.is_some());
        session.retarget(target("http://b"));
        assert!(session.tokens.is_none());
    }
}
