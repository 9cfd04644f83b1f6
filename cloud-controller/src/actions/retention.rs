//! What grows forever unless somebody takes the oldest away: events, jobs, sessions, keys.

use jiff::{SignedDuration, Timestamp};

use super::deletion::{Budget, Progress};
use crate::auth::{ACCESS_TOKEN_LIFE_S, newest};
use crate::state::audit_event::AuditEvent;
use crate::state::auth::{JoinToken, RefreshToken, SigningKey};
use crate::state::job::{Job, JobState};
use crate::state::{Draft, Stored};

/// Cloud Foundry keeps events for 31 days; the number bounds memory (1 KB each).
pub const AUDIT_EVENT_AGE_MAX: SignedDuration = SignedDuration::from_hours(31 * 24);
pub const AUDIT_EVENTS_MAX: usize = 20_000;
/// Jobs are asked about within seconds.
pub const JOB_AGE_MAX: SignedDuration = SignedDuration::from_hours(24);
pub const JOBS_MAX: usize = 2_000;
/// Age at which a signing key gets a successor.
pub const SIGNING_KEY_AGE_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Delete what is past its time, some at a time.
pub fn sweep(draft: &mut Draft, now: Timestamp) -> Progress {
    let mut budget = Budget::of_one_commit();
    let swept = [
        oldest::<AuditEvent>(
            draft,
            &mut budget,
            |event| event.created_at,
            now - AUDIT_EVENT_AGE_MAX,
            AUDIT_EVENTS_MAX,
        ),
        oldest::<Job>(
            draft,
            &mut budget,
            |job| finished_at(job, now),
            now - JOB_AGE_MAX,
            JOBS_MAX,
        ),
        expired::<RefreshToken>(draft, &mut budget, |session| session.expires_at <= now),
        expired::<JoinToken>(draft, &mut budget, |token| token.expires_at <= now),
        old_keys(draft, &mut budget, now),
    ];
    if swept.contains(&Progress::More) {
        Progress::More
    } else {
        Progress::Done
    }
}

/// Is it time for a new signing key?
#[must_use]
pub fn needs_signing_key(draft: &crate::state::State, now: Timestamp) -> bool {
    newest(draft).is_none_or(|key| now.duration_since(key.created_at) > SIGNING_KEY_AGE_MAX)
}

/// A job that still runs is as young as can be.
fn finished_at(job: &Job, now: Timestamp) -> Timestamp {
    match job.state {
        JobState::Processing | JobState::Polling => now,
        JobState::Complete | JobState::Failed => job.meta.updated_at,
    }
}

fn oldest<R: Stored>(
    draft: &mut Draft,
    budget: &mut Budget,
    age: impl Fn(&R) -> Timestamp,
    before: Timestamp,
    most: usize,
) -> Progress {
    let mut all: Vec<(Timestamp, R::Key)> = draft
        .all::<R>()
        .map(|record| (age(record), record.key()))
        .collect();
    all.sort();
    let surplus = all.len().saturating_sub(most);
    let aged = all.iter().take_while(|(at, _)| *at < before).count();
    for (_, key) in all.into_iter().take(surplus.max(aged)) {
        if !budget.take() {
            return Progress::More;
        }
        draft.delete::<R>(&key);
    }
    Progress::Done
}

fn expired<R: Stored>(
    draft: &mut Draft,
    budget: &mut Budget,
    is_expired: impl Fn(&R) -> bool,
) -> Progress {
    let gone = draft.all::<R>().filter(|record| is_expired(record));
    for key in gone.map(|record| record.key()).collect::<Vec<_>>() {
        if !budget.take() {
            return Progress::More;
        }
        draft.delete::<R>(&key);
    }
    Progress::Done
}

/// A key whose successor is older than the life of a token has nothing left to verify.
fn old_keys(draft: &mut Draft, budget: &mut Budget, now: Timestamp) -> Progress {
    let Some(newest) = newest(draft).cloned() else {
        return Progress::Done;
    };
    let settled = SignedDuration::from_secs(2 * ACCESS_TOKEN_LIFE_S);
    if now.duration_since(newest.created_at) < settled {
        return Progress::Done;
    }
    expired::<SigningKey>(draft, budget, |key| key.id != newest.id)
}

#[cfg(test)]
mod tests {
    use cfx_process::entropy::IdSource;
    use serde_json::Value;

    use super::*;
    use crate::actions::act::platform;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn event(ids: &IdSource, second: i64) -> AuditEvent {
        AuditEvent {
            guid: ids.guid(),
            kind: "audit.app.create".into(),
            actor: platform(),
            target: platform(),
            data: Value::Null,
            space: None,
            organization: None,
            created_at: at(second),
        }
    }

    #[test]
    fn old_events_go_in_steps_and_young_ones_stay() {
        let (mut draft, ids) = (Draft::empty(), IdSource::seeded(1));
        for second in 0..130 {
            draft.put(event(&ids, second));
        }
        let now = at(100) + AUDIT_EVENT_AGE_MAX;
        let mut steps = 0;
        while sweep(&mut draft, now) == Progress::More {
            steps += 1;
            assert!(steps < 10);
        }
        assert!(steps > 0, "one commit cannot take them all");
        assert_eq!(draft.all::<AuditEvent>().count(), 30);
    }

    #[test]
    fn an_old_key_outlives_the_tokens_it_signed() {
        let mut draft = Draft::empty();
        for (id, second) in [("old", 0), ("new", 1_000)] {
            draft.put(SigningKey {
                id: id.into(),
                private_key: String::new(),
                public_key: String::new(),
                created_at: at(second),
            });
        }
        assert_eq!(
            sweep(&mut draft, at(1_000 + ACCESS_TOKEN_LIFE_S)),
            Progress::Done
        );
        assert_eq!(draft.all::<SigningKey>().count(), 2);
        assert_eq!(
            sweep(&mut draft, at(1_000 + 2 * ACCESS_TOKEN_LIFE_S)),
            Progress::Done
        );
        assert_eq!(
            newest(&draft).map(|key| key.id.clone()),
            Some("new".to_owned())
        );
        assert_eq!(draft.all::<SigningKey>().count(), 1);
    }
}
