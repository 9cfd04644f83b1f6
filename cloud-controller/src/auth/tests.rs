use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::*;
use crate::state::Draft;
use crate::state::auth::{Client, RefreshToken};
use crate::state::meta::Meta;
use crate::state::user::User;
use cfx_protocol::id::UserGuid;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn draft() -> Draft {
    let mut draft = Draft::empty();
    draft.put(generate_signing_key(NOW).expect("key"));
    draft.put(Client {
        id: "cf".into(),
        secret_hash: None,
        grant_types: BTreeSet::new(),
        scopes: BTreeSet::new(),
        authorities: BTreeSet::new(),
        created_at: NOW,
    });
    draft.put(User {
        guid: UserGuid(Uuid::from_u128(1)),
        username: "ann".into(),
        origin: "uaa".into(),
        password_hash: None,
        given_name: String::new(),
        family_name: String::new(),
        email: String::new(),
        active: true,
        groups: BTreeSet::from(["cloud_controller.admin".to_owned()]),
        in_cloud_controller: true,
        meta: Meta::new(NOW),
    });
    draft.put(RefreshToken {
        guid: Uuid::from_u128(7),
        user: UserGuid(Uuid::from_u128(1)),
        client: "cf".into(),
        scopes: BTreeSet::new(),
        created_at: NOW,
        expires_at: NOW,
        issued: Vec::new(),
    });
    draft
}

fn claims() -> Claims {
    let user = Uuid::from_u128(1).to_string();
    Claims {
        jti: "j".into(),
        sub: user.clone(),
        scope: vec![
            "cloud_controller.admin".into(),
            "cloud_controller.read".into(),
        ],
        client_id: "cf".into(),
        cid: "cf".into(),
        azp: "cf".into(),
        grant_type: "password".into(),
        user_id: Some(user),
        origin: Some("uaa".into()),
        user_name: Some("ann".into()),
        email: None,
        authorities: Vec::new(),
        session: Some(Uuid::from_u128(7)),
        revocable: true,
        iat: 0,
        exp: ACCESS_TOKEN_LIFE_S,
        iss: "uaa".into(),
        zid: "uaa".into(),
        aud: vec![AUDIENCE.into()],
    }
}

#[test]
fn a_token_is_believed_until_it_expires() {
    let (auth, draft) = (Auth::default(), draft());
    let token = auth.sign(&draft, &claims()).expect("signs");
    let caller = auth.verify(&draft, &token, NOW).expect("verifies");
    assert_eq!(caller.name, "ann");
    assert!(caller.has_scope("cloud_controller.admin"));
    let late = NOW + SignedDuration::from_secs(ACCESS_TOKEN_LIFE_S);
    assert!(matches!(
        auth.verify(&draft, &token, late),
        Err(TokenError::Expired)
    ));
}

#[test]
fn a_scope_taken_away_ends_with_it_and_so_do_user_and_session() {
    let (auth, mut draft) = (Auth::default(), draft());
    let token = auth.sign(&draft, &claims()).expect("signs");
    let user = UserGuid(Uuid::from_u128(1));
    draft.update::<User>(&user, |user| user.groups.clear());
    let caller = auth.verify(&draft, &token, NOW).expect("still a user");
    assert!(!caller.has_scope("cloud_controller.admin"));
    draft.update::<User>(&user, |user| user.active = false);
    assert!(auth.verify(&draft, &token, NOW).is_err());
    draft.update::<User>(&user, |user| user.active = true);
    draft.delete::<RefreshToken>(&Uuid::from_u128(7));
    assert!(matches!(
        auth.verify(&draft, &token, NOW),
        Err(TokenError::Revoked)
    ));
}

#[test]
fn forgeries_are_refused() {
    let (auth, draft) = (Auth::default(), draft());
    let token = auth.sign(&draft, &claims()).expect("signs");
    let parts: Vec<&str> = token.split('.').collect();
    let other = {
        let mut draft = Draft::empty();
        draft.put(generate_signing_key(NOW).expect("key"));
        auth.sign(&draft, &claims()).expect("signs")
    };
    let key_id = newest(&draft).expect("key").id.clone();
    // The public key used as the secret of a symmetric signature.
    let confused = jsonwebtoken::encode(
        &Header {
            kid: Some(key_id),
            ..Header::new(Algorithm::HS256)
        },
        &claims(),
        &EncodingKey::from_secret(newest(&draft).expect("key").public_key.as_bytes()),
    )
    .expect("signs");
    let elsewhere = Claims {
        aud: vec!["another".into()],
        ..claims()
    };
    let elsewhere = auth.sign(&draft, &elsewhere).expect("signs");
    // {"alg":"none","kid":...} and no signature.
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    for forged in [
        other,
        confused,
        elsewhere,
        unsigned,
        format!("{}.{}.{}", parts[0], parts[1], "AAAA"),
        format!("{}.{}.", parts[0], parts[1]),
        String::new(),
        "a.b.c".into(),
        "x".repeat(TOKEN_MAX_BYTES + 1),
    ] {
        assert!(auth.verify(&draft, &forged, NOW).is_err(), "{forged}");
    }
}
