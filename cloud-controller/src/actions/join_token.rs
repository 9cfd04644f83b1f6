//! Tokens that let one cell or router join, once.

use cfx_protocol::link::Role;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Act, Refused, Target};
use crate::state::Draft;
use crate::state::audit_event::Party;
use crate::state::auth::JoinToken;

/// Life of a token when nobody says, and at most, seconds.
const LIFE_DEFAULT_S: u32 = 3_600;
const LIFE_MAX_S: u32 = 7 * 24 * 3_600;
/// Tokens that are not used yet: more is a script that runs wild.
const TOKENS_MAX: usize = 1_000;

/// Keep the digest of a new secret. Answers when it expires.
pub fn create(
    draft: &mut Draft,
    act: &Act<'_>,
    role: Role,
    ttl_s: Option<u32>,
    secret_digest: String,
) -> Result<Timestamp, Refused> {
    if !matches!(role, Role::Cell | Role::Router) {
        return Err(Refused::unprocessable("Role must be cell or router"));
    }
    let ttl_s = ttl_s.unwrap_or(LIFE_DEFAULT_S);
    if !(1..=LIFE_MAX_S).contains(&ttl_s) {
        return Err(Refused::Unprocessable(format!(
            "Ttl_s must be between 1 and {LIFE_MAX_S} seconds"
        )));
    }
    if draft.all::<JoinToken>().count() >= TOKENS_MAX {
        return Err(Refused::Unprocessable(format!(
            "There are {TOKENS_MAX} unused tokens; use them or let them expire"
        )));
    }
    let expires_at = act.now + SignedDuration::from_secs(i64::from(ttl_s));
    draft.put(JoinToken {
        secret_digest,
        role,
        expires_at,
    });
    let target = Target {
        party: Party {
            guid: String::new(),
            kind: "join_token".to_owned(),
            name: role.as_str().to_owned(),
        },
        space: None,
        organization: None,
    };
    let data = json!({ "request": { "role": role, "ttl_s": ttl_s } });
    act.record(draft, "audit.platform.join_token.create", target, data);
    Ok(expires_at)
}
