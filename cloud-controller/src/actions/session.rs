//! Signing in and out: a session is one sign-in and the refresh tokens that descend from it.
//!
//! Each refresh token is exchanged once for the next. A used one that comes back later was
//! stolen (or its successor was): the whole session ends.

use std::collections::BTreeSet;

use cfx_protocol::id::UserGuid;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::{Act, Refused, user};
use crate::auth::REFRESH_TOKEN_LIFE_S;
use crate::state::auth::{IssuedSecret, RefreshToken};
use crate::state::{Draft, Link};

/// Sessions of one user; past it the one that was not used for longest ends. Scripts sign in often. One commit can end all.
const SESSIONS_MAX: usize = 50;
/// Refresh tokens remembered of one session; past it the oldest used ones are forgotten.
const ISSUED_MAX: usize = 16;
/// A used refresh token may come again for this long: two commands that start together both
/// refresh with the token they found.
const REUSE_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// A session begins with its first refresh token.
pub fn begin(
    draft: &mut Draft,
    act: &Act<'_>,
    user: UserGuid,
    client: &str,
    scopes: BTreeSet<String>,
    digest: String,
) -> Uuid {
    let mut sessions: Vec<_> = sessions_of(draft, user);
    sessions.sort();
    let surplus = (sessions.len() + 1).saturating_sub(SESSIONS_MAX);
    for (_, idle) in sessions.into_iter().take(surplus) {
        draft.delete::<RefreshToken>(&idle);
    }
    let guid = act.ids.guid();
    draft.put(RefreshToken {
        guid,
        user,
        client: client.to_owned(),
        scopes,
        created_at: act.now,
        expires_at: act.now + SignedDuration::from_secs(REFRESH_TOKEN_LIFE_S),
        issued: vec![IssuedSecret {
            digest,
            used_at: None,
        }],
    });
    guid
}

/// What became of a refresh token that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    Renewed(RefreshToken),
    /// It was used before: the session is over.
    Reused,
    /// There is no such token, or not any more.
    Unknown,
}

/// Exchange one refresh token for the next.
pub fn exchange(
    draft: &mut Draft,
    act: &Act<'_>,
    guid: Uuid,
    client: &str,
    presented: &str,
    next: String,
) -> Exchange {
    let now = act.now;
    let found = draft.get::<RefreshToken>(&guid);
    let Some(session) = found.filter(|s| s.client == client && s.expires_at > now) else {
        return Exchange::Unknown;
    };
    let mut session = RefreshToken::clone(session);
    let mut issued = session.issued.iter_mut();
    let Some(token) = issued.find(|issued| issued.digest == presented) else {
        return Exchange::Unknown;
    };
    match token.used_at {
        Some(used_at) if now.duration_since(used_at) > REUSE_GRACE => {
            user::record(draft, act, session.user, "session_revoked", json!({}));
            draft.delete::<RefreshToken>(&guid);
            return Exchange::Reused;
        }
        Some(_) => {}
        None => token.used_at = Some(now),
    }
    session.issued.push(IssuedSecret {
        digest: next,
        used_at: None,
    });
    let surplus = session.issued.len().saturating_sub(ISSUED_MAX);
    session.issued.drain(..surplus);
    session.expires_at = now + SignedDuration::from_secs(REFRESH_TOKEN_LIFE_S);
    draft.put(session.clone());
    Exchange::Renewed(session)
}

/// Sign out: its tokens are worth nothing from now on.
pub fn end(draft: &mut Draft, guid: Uuid) -> Result<(), Refused> {
    draft.delete::<RefreshToken>(&guid);
    Ok(())
}

/// Sign a user out everywhere.
pub fn end_all(draft: &mut Draft, user: UserGuid) {
    for (_, guid) in sessions_of(draft, user) {
        draft.delete::<RefreshToken>(&guid);
    }
}

/// With the end of each, which every use puts off.
fn sessions_of(draft: &Draft, user: UserGuid) -> Vec<(Timestamp, Uuid)> {
    let sessions = draft.linked::<RefreshToken>(Link::RefreshTokensOf(user.0));
    sessions.map(|s| (s.expires_at, s.guid)).collect()
}

#[cfg(test)]
mod tests {
    use cfx_process::entropy::IdSource;

    use super::*;
    use crate::actions::act::platform;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn act(ids: &IdSource, second: i64) -> Act<'_> {
        Act {
            now: at(second),
            ids,
            actor: platform(),
        }
    }

    fn begin_at(draft: &mut Draft, ids: &IdSource, second: i64) -> Uuid {
        let (user, digest) = (UserGuid::NIL, "first".into());
        begin(
            draft,
            &act(ids, second),
            user,
            "cf",
            BTreeSet::new(),
            digest,
        )
    }

    #[test]
    fn a_refresh_token_that_comes_back_late_ends_the_session() {
        let (mut draft, ids) = (Draft::empty(), IdSource::seeded(1));
        let guid = begin_at(&mut draft, &ids, 0);
        let mut exchange = |second, presented: &str, next: &str| {
            exchange(
                &mut draft,
                &act(&ids, second),
                guid,
                "cf",
                presented,
                next.into(),
            )
        };
        assert!(matches!(
            exchange(10, "first", "second"),
            Exchange::Renewed(_)
        ));
        // Another command of the same person, started at the same time.
        assert!(matches!(
            exchange(11, "first", "sibling"),
            Exchange::Renewed(_)
        ));
        assert!(matches!(
            exchange(500, "sibling", "third"),
            Exchange::Renewed(_)
        ));
        assert_eq!(exchange(600, "first", "stolen"), Exchange::Reused);
        assert_eq!(exchange(601, "third", "x"), Exchange::Unknown);
    }

    #[test]
    fn a_refresh_token_is_for_its_client_and_its_time() {
        let (mut draft, ids) = (Draft::empty(), IdSource::seeded(1));
        let guid = begin_at(&mut draft, &ids, 0);
        for (client, presented, second) in [
            ("other", "first", 1),
            ("cf", "wrong", 1),
            ("cf", "first", REFRESH_TOKEN_LIFE_S),
        ] {
            let act = act(&ids, second);
            let outcome = exchange(&mut draft, &act, guid, client, presented, "n".into());
            assert_eq!(outcome, Exchange::Unknown);
        }
    }

    #[test]
    fn the_session_that_was_idle_for_longest_makes_room() {
        let (mut draft, ids) = (Draft::empty(), IdSource::seeded(1));
        let used = begin_at(&mut draft, &ids, 0);
        let idle = begin_at(&mut draft, &ids, 1);
        let use_it = act(&ids, 2);
        exchange(&mut draft, &use_it, used, "cf", "first", "next".into());
        for second in 2..=SESSIONS_MAX {
            begin_at(&mut draft, &ids, i64::try_from(second).expect("small"));
        }
        assert!(draft.get::<RefreshToken>(&used).is_some());
        assert!(draft.get::<RefreshToken>(&idle).is_none());
        assert_eq!(sessions_of(&draft, UserGuid::NIL).len(), SESSIONS_MAX);
        end_all(&mut draft, UserGuid::NIL);
        assert_eq!(sessions_of(&draft, UserGuid::NIL).len(), 0);
    }
}
