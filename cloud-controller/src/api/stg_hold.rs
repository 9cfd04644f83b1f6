//! How long the stock CLI is told that a build is still staging.
//!
//! It looks at a build every 3 s and at the log all the time, but throws log lines away until they
//! are 2 s old, and stops reading when it sees STAGED. So what a build printed last would never be
//! shown. For that client alone a build that has ended goes on for a moment.

use std::time::Duration;

use cfx_protocol::id::AppGuid;

use super::request::Call;
use crate::log_cache::Range;
use crate::state::build::{Build, BuildState};

/// How old the last staging line must be: what the CLI holds back, and a look at the log more.
const HOLD: Duration = Duration::from_millis(2_600);
/// Lines that are looked at for the last one of staging.
const LINES: usize = 100;
const STAGING: &str = "STG";

/// The state of a build as this caller is to see it.
pub(super) fn shown_state(call: &Call, build: &Build) -> BuildState {
    if build.state == BuildState::Staging || !call.is_stock_cli() {
        return build.state;
    }
    // A build that ended long ago has no young lines; it need not be looked for.
    let ended = build.meta.updated_at;
    let since_end = call.context.clock.now().duration_since(ended);
    if since_end > jiff::SignedDuration::try_from(HOLD * 2).unwrap_or_default() {
        return build.state;
    }
    match last_staging_line_ns(call, build.app) {
        Some(last) if age_of(call, last) < HOLD => BuildState::Staging,
        _ => build.state,
    }
}

fn age_of(call: &Call, timestamp_ns: i64) -> Duration {
    let age = call.context.clock.now_ns().saturating_sub(timestamp_ns);
    Duration::from_nanos(u64::try_from(age).unwrap_or(0))
}

fn last_staging_line_ns(call: &Call, app: AppGuid) -> Option<i64> {
    let newest = call.context.log_cache.read(
        app,
        Range {
            start_ns: i64::MIN,
            end_ns: i64::MAX,
            limit: LINES,
            descending: true,
        },
    );
    let mut staging = newest.iter().filter(|line| line.source_type == STAGING);
    staging.next().map(|line| line.timestamp_ns)
}
