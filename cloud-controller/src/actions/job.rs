//! Jobs: what the API answers where Cloud Foundry works in the background. Most of ours are done
//! when they are made, in the commit that did the work.

use cfx_protocol::id::JobGuid;
use uuid::Uuid;

use super::Act;
use crate::auth::client_guid;
use crate::state::Draft;
use crate::state::job::{Job, JobError, JobState};
use crate::state::meta::Meta;

/// A job that is done. `operation` is as Cloud Foundry names it: `organization.delete`.
pub fn completed(draft: &mut Draft, act: &Act<'_>, operation: &str) -> JobGuid {
    begin(draft, act, operation, JobState::Complete)
}

/// A job that failed. There is always an error: the CLI relies on it.
pub fn failed(draft: &mut Draft, act: &Act<'_>, operation: &str, error: JobError) -> JobGuid {
    let guid = begin(draft, act, operation, JobState::Failed);
    draft.update::<Job>(&guid, |job| job.errors.push(error));
    guid
}

/// A job in any state; its end is written by whoever does the work.
pub fn begin(draft: &mut Draft, act: &Act<'_>, operation: &str, state: JobState) -> JobGuid {
    let guid = act.ids.guid();
    draft.put(Job {
        guid,
        operation: operation.to_owned(),
        state,
        errors: Vec::new(),
        warnings: Vec::new(),
        resource: None,
        user: owner(&act.actor.guid),
        meta: Meta::new(act.now),
    });
    guid
}

/// A user by guid; a client, whose id is a name, by the guid that follows from it.
#[must_use]
pub fn owner(actor: &str) -> Uuid {
    actor.parse().unwrap_or_else(|_| client_guid(actor).0)
}
