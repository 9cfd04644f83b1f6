//! The environment, read once and here only.

use std::path::PathBuf;
use std::time::Duration;

/// How long staging may take unless `CF_STAGING_TIMEOUT` (minutes) says otherwise.
const STAGING_TIMEOUT_DEFAULT_MIN: f64 = 15.0;
/// How long starting may take unless `CF_STARTUP_TIMEOUT` (minutes) says otherwise.
const STARTUP_TIMEOUT_DEFAULT_MIN: f64 = 5.0;
/// Longest of either, minutes: a day.
const TIMEOUT_MAX_MIN: f64 = 1_440.0;

/// What the CLI takes from its environment.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// Where the session is kept.
    pub(crate) home: PathBuf,
    pub(crate) no_color: bool,
    /// The terminal cannot redraw lines.
    pub(crate) dumb_terminal: bool,
    pub(crate) docker_password: Option<String>,
    /// `CF_USERNAME` and `CF_PASSWORD`: a login without flags.
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) staging_timeout: Duration,
    pub(crate) startup_timeout: Duration,
    /// Where `cfx up` keeps its data unless told otherwise.
    pub(crate) data: PathBuf,
}

impl Environment {
    pub(crate) fn read() -> Self {
        Self::from_variables(variable)
    }

    /// From whatever answers for the variables.
    pub(crate) fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        let home = get("CFX_HOME").map_or_else(
            || PathBuf::from(get("HOME").unwrap_or_else(|| "/".to_owned())).join(".cfx"),
            PathBuf::from,
        );
        let minutes = |name: &str, default: f64| {
            let given = get(name).and_then(|text| text.trim().parse::<f64>().ok());
            let minutes = given.filter(|m| m.is_finite() && *m > 0.0);
            Duration::from_secs_f64(minutes.unwrap_or(default).min(TIMEOUT_MAX_MIN) * 60.0)
        };
        Self {
            data: home.join("data"),
            home,
            no_color: get("NO_COLOR").is_some(),
            dumb_terminal: get("TERM").is_some_and(|term| term == "dumb"),
            docker_password: get("CF_DOCKER_PASSWORD"),
            user: get("CF_USERNAME"),
            password: get("CF_PASSWORD"),
            staging_timeout: minutes("CF_STAGING_TIMEOUT", STAGING_TIMEOUT_DEFAULT_MIN),
            startup_timeout: minutes("CF_STARTUP_TIMEOUT", STARTUP_TIMEOUT_DEFAULT_MIN),
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is where the environment is read"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_variables(|name| {
            let found = pairs.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_session_lives_in_cfx_home_or_under_the_users_home() {
        assert_eq!(with(&[("HOME", "/u")]).home, PathBuf::from("/u/.cfx"));
        assert_eq!(with(&[("CFX_HOME", "/x")]).home, PathBuf::from("/x"));
    }

    #[test]
    fn absurd_timeouts_fall_back_or_are_capped() {
        for (text, seconds) in [
            ("2", 120),
            ("-1", 900),
            ("NaN", 900),
            ("x", 900),
            ("1e300", 86_400),
        ] {
            assert_eq!(
                with(&[("CF_STAGING_TIMEOUT", text)])
                    .staging_timeout
                    .as_secs(),
                seconds,
                "{text}"
            );
        }
    }
}
