//! Health and readiness checks as people give them.

use cfx_protocol::health::{Check, HealthCheck, ReadinessCheck, START_TIMEOUT_MAX_S};
use cfx_protocol::v3::process::{HealthCheckDataPatch, HealthCheckPatch};

use super::Refused;
use super::limits::seconds;

/// Longest time one probe may take, and longest time between probes, seconds.
const PROBE_MAX_S: u32 = 3_600;
/// Longest endpoint of an HTTP check, characters.
const ENDPOINT_MAX_CHARS: usize = 255;

pub fn patched(old: &HealthCheck, patch: &HealthCheckPatch) -> Result<HealthCheck, Refused> {
    let none = HealthCheckDataPatch::default();
    let data = patch.data.as_ref().unwrap_or(&none);
    let mut new = old.clone();
    new.check = check("Health check", &old.check, patch.kind.as_deref(), data)?;
    if let Some(number) = data.timeout {
        new.start_timeout_s = seconds("Health check timeout", number, START_TIMEOUT_MAX_S)?;
    }
    if let Some(number) = data.invocation_timeout {
        new.invocation_timeout_s = seconds("Health check invocation timeout", number, PROBE_MAX_S)?;
    }
    if let Some(number) = data.interval {
        new.interval_s = seconds("Health check interval", number, PROBE_MAX_S)?;
    }
    Ok(new)
}

pub fn readiness_patched(
    old: &ReadinessCheck,
    patch: &HealthCheckPatch,
) -> Result<ReadinessCheck, Refused> {
    let none = HealthCheckDataPatch::default();
    let data = patch.data.as_ref().unwrap_or(&none);
    if data.timeout.is_some() {
        return Err(Refused::unprocessable(
            "Readiness health check has no timeout; use invocation_timeout",
        ));
    }
    let mut new = old.clone();
    let what = "Readiness health check";
    new.check = check(what, &old.check, patch.kind.as_deref(), data)?;
    if let Some(number) = data.invocation_timeout {
        new.invocation_timeout_s = seconds(
            "Readiness health check invocation timeout",
            number,
            PROBE_MAX_S,
        )?;
    }
    if let Some(number) = data.interval {
        new.interval_s = seconds("Readiness health check interval", number, PROBE_MAX_S)?;
    }
    Ok(new)
}

fn check(
    what: &str,
    old: &Check,
    kind: Option<&str>,
    data: &HealthCheckDataPatch,
) -> Result<Check, Refused> {
    let old_kind = self::kind(old);
    let new = match kind.unwrap_or(old_kind) {
        "port" => Check::Port,
        // What older clients call it.
        "process" | "none" => Check::Process,
        "http" => {
            let kept = match old {
                Check::Http { endpoint } => endpoint.as_str(),
                Check::Port | Check::Process => "/",
            };
            Check::Http {
                endpoint: endpoint(what, data.endpoint.as_deref().unwrap_or(kept))?,
            }
        }
        _ => {
            return Err(Refused::Unprocessable(format!(
                "{what} type must be \"port\", \"process\", or \"http\""
            )));
        }
    };
    if data.endpoint.is_some() && !matches!(new, Check::Http { .. }) {
        return Err(Refused::Unprocessable(format!(
            "{what} type must be \"http\" to set a health check HTTP endpoint"
        )));
    }
    Ok(new)
}

fn endpoint(what: &str, text: &str) -> Result<String, Refused> {
    let fits = text.starts_with('/')
        && text.chars().count() <= ENDPOINT_MAX_CHARS
        && text.chars().all(|c| c.is_ascii_graphic());
    if fits {
        return Ok(text.to_owned());
    }
    Err(Refused::Unprocessable(format!(
        "{what} endpoint must be a valid URI path: it starts with \"/\" and has at most \
         {ENDPOINT_MAX_CHARS} printable characters"
    )))
}

/// The word of the v3 API.
#[must_use]
pub fn kind(check: &Check) -> &'static str {
    match check {
        Check::Port => "port",
        Check::Http { .. } => "http",
        Check::Process => "process",
    }
}
