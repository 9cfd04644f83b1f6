//! Organisations, spaces, roles, events: what the CLI's commands rely on.

use http::Method;
use serde_json::{Value, json};

use super::harness::{Harness, ORIGIN};
use super::world::World;

#[tokio::test]
async fn names_are_unique_in_the_words_that_the_cli_knows() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    let new = json!({"name": "dev", "suspended": false});
    let org = harness
        .post("/v3/organizations", &admin, new.clone())
        .await
        .guid();
    let (_, _, detail) = harness.post("/v3/organizations", &admin, new).await.error();
    assert_eq!(detail, "Organization 'dev' already exists.");
    let new = json!({"name": "dev", "relationships": {"organization": {"data": {"guid": org}}}});
    harness.post("/v3/spaces", &admin, new.clone()).await.guid();
    let (_, _, detail) = harness.post("/v3/spaces", &admin, new).await.error();
    assert_eq!(detail, "Name must be unique per organization");
}

#[tokio::test]
async fn a_role_in_a_space_needs_one_in_its_organization_first() {
    let harness = Harness::new().await;
    let world = World::build(&harness).await;
    let admin = harness.admin_token().await;
    let role = |kind: &str, place: &str, guid: String| {
        json!({"type": kind, "relationships": {
            "user": {"data": {"username": "outsider", "origin": "uaa"}},
            place: {"data": {"guid": guid}},
        }})
    };
    let own = &world.own;
    let in_space = role("space_developer", "space", own.space.to_string());
    let (status, _, detail) = harness
        .post("/v3/roles", &admin, in_space.clone())
        .await
        .error();
    assert_eq!(status, 422);
    assert!(detail.contains("space's organization"), "{detail}");
    let in_org = role(
        "organization_user",
        "organization",
        own.organization.to_string(),
    );
    let org_role = harness.post("/v3/roles", &admin, in_org.clone()).await;
    assert_eq!(org_role.status, 201, "{org_role:?}");
    let space_role = harness.post("/v3/roles", &admin, in_space).await;
    assert_eq!(
        space_role.json()["relationships"]["organization"]["data"],
        Value::Null
    );
    let (_, _, detail) = harness.post("/v3/roles", &admin, in_org).await.error();
    assert_eq!(
        detail,
        "User 'outsider' already has 'organization_user' role in organization 'own'."
    );

    let path = format!("/v3/roles/{}", org_role.guid());
    let early = harness.send(Method::DELETE, &path, Some(&admin), "").await;
    assert_eq!(early.status, 422, "{early:?}");
    let listed = format!("/v3/roles?space_guids={}&include=user", own.space);
    let body = harness.get(&listed, &admin).await.json();
    let users = body["included"]["users"].as_array().expect("users");
    assert!(users.iter().any(|user| user["username"] == "outsider"));
    for guid in [space_role.guid(), org_role.guid()] {
        let path = format!("/v3/roles/{guid}");
        let gone = harness.send(Method::DELETE, &path, Some(&admin), "").await;
        assert_eq!(gone.status, 202, "{gone:?}");
        let job = gone.headers["location"]
            .trim_start_matches(ORIGIN)
            .to_owned();
        assert_eq!(harness.get(&job, &admin).await.json()["state"], "COMPLETE");
    }
}

#[tokio::test]
async fn deleting_an_organization_takes_everything_in_it_along() {
    let harness = Harness::new().await;
    let world = World::build(&harness).await;
    let admin = harness.admin_token().await;
    let path = format!("/v3/organizations/{}", world.own.organization);
    let reply = harness.send(Method::DELETE, &path, Some(&admin), "").await;
    assert_eq!(reply.status, 202, "{reply:?}");
    for path in world.own.paths() {
        assert_eq!(harness.get(&path, &admin).await.status, 404, "{path}");
    }
    for path in world.foreign.paths() {
        assert_eq!(harness.get(&path, &admin).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn in_a_suspended_organization_only_admins_change_things() {
    let harness = Harness::new().await;
    let world = World::build(&harness).await;
    let admin = harness.admin_token().await;
    let manager = harness.token_of(world.user("org manager")).await;
    let path = format!("/v3/organizations/{}", world.own.organization);
    let suspend = json!({"suspended": true}).to_string();
    let by_manager = harness
        .send(Method::PATCH, &path, Some(&manager), &suspend)
        .await;
    assert_eq!(by_manager.error().1, 10_003);
    let by_admin = harness
        .send(Method::PATCH, &path, Some(&admin), &suspend)
        .await;
    assert_eq!(by_admin.json()["suspended"], true);
    let rename = json!({"name": "other"}).to_string();
    let refused = harness
        .send(Method::PATCH, &path, Some(&manager), &rename)
        .await;
    assert_eq!(
        refused.error(),
        (403, 10_017, "The organization is suspended".to_owned())
    );
    assert_eq!(harness.get(&path, &manager).await.status, 200);
    assert_eq!(
        harness
            .send(Method::PATCH, &path, Some(&admin), &rename)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn where_operators_allow_it_users_make_their_own_organizations_and_manage_them() {
    let harness = Harness::new().await;
    let world = World::build(&harness).await;
    let admin = harness.admin_token().await;
    let outsider = harness.token_of(world.user("outsider")).await;
    let new = json!({"name": "mine"});
    let refused = harness
        .post("/v3/organizations", &outsider, new.clone())
        .await;
    assert_eq!(refused.error().1, 10_003);
    let on = json!({"enabled": true}).to_string();
    let flag = "/v3/feature_flags/user_org_creation";
    harness.send(Method::PATCH, flag, Some(&admin), &on).await;
    let guid = harness
        .post("/v3/organizations", &outsider, new)
        .await
        .guid();
    let space = json!({"name": "s", "relationships": {"organization": {"data": {"guid": guid}}}});
    harness.post("/v3/spaces", &outsider, space).await.guid();
}

#[tokio::test]
async fn a_job_is_followed_by_whoever_began_it_and_by_nobody_else() {
    let harness = Harness::new().await;
    let world = World::build(&harness).await;
    let manager = harness.token_of(world.user("org manager")).await;
    let path = format!("/v3/spaces/{}", world.own.space);
    let reply = harness
        .send(Method::DELETE, &path, Some(&manager), "")
        .await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let job = reply.headers["location"]
        .trim_start_matches(ORIGIN)
        .to_owned();
    assert_eq!(
        harness.get(&job, &manager).await.json()["operation"],
        "space.delete"
    );
    let user = harness.token_of(world.user("org user")).await;
    assert_eq!(harness.get(&job, &user).await.error().2, "Job not found");
    let admin = harness.admin_token().await;
    assert_eq!(harness.get(&job, &admin).await.status, 200);
}

#[tokio::test]
async fn events_tell_what_was_done_newest_first() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    let new = json!({"name": "dev"});
    let guid = harness.post("/v3/organizations", &admin, new).await.guid();
    harness.advance(5);
    let path = format!("/v3/organizations/{guid}");
    let rename = json!({"name": "prod"}).to_string();
    harness
        .send(Method::PATCH, &path, Some(&admin), &rename)
        .await;
    let path =
        format!("/v3/audit_events?target_guids={guid}&order_by=-created_at&per_page=50&page=1");
    let body = harness.get(&path, &admin).await.json();
    let kinds: Vec<_> = body["resources"]
        .as_array()
        .expect("events")
        .iter()
        .collect();
    assert_eq!(kinds[0]["type"], "audit.organization.update");
    assert_eq!(kinds[1]["type"], "audit.organization.create");
    assert_eq!(kinds[0]["actor"]["name"], "admin");
    assert_eq!(kinds[0]["target"]["name"], "prod");
    assert_eq!(kinds[0]["data"]["request"]["name"], "prod");
    assert_eq!(kinds[0]["created_at"], "2027-01-15T08:00:05Z");
}

#[tokio::test]
async fn operators_set_flags_groups_and_join_tokens() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    let patch = async |path: &str, body: Value| {
        harness
            .send(Method::PATCH, path, Some(&admin), &body.to_string())
            .await
    };
    let flag = patch("/v3/feature_flags/diego_docker", json!({"enabled": false}))
        .await
        .json();
    assert_eq!(
        (&flag["name"], &flag["enabled"]),
        (&json!("diego_docker"), &json!(false))
    );
    let (status, _, detail) = harness
        .get("/v3/feature_flags/nonsense", &admin)
        .await
        .error();
    assert_eq!((status, detail.as_str()), (404, "Feature flag not found"));

    let path = "/v3/environment_variable_groups/running";
    let group = patch(path, json!({"var": {"A": "1", "B": "2"}}))
        .await
        .json();
    assert_eq!(group["var"], json!({"A": "1", "B": "2"}));
    let group = patch(path, json!({"var": {"A": null}})).await.json();
    assert_eq!(group["var"], json!({"B": "2"}));
    assert_eq!(
        patch(path, json!({"var": {"VCAP_X": "1"}})).await.status,
        422
    );

    let token = harness
        .post("/cfx/v1/join_tokens", &admin, json!({"role": "cell"}))
        .await;
    assert_eq!(token.status, 201, "{token:?}");
    let secret = token.json()["token"].as_str().expect("a secret").to_owned();
    let digest = crate::auth::digest(&secret);
    let state = harness.context.state.read();
    assert!(
        state
            .get::<crate::state::auth::JoinToken>(&digest)
            .is_some()
    );
    let wrong = json!({"role": "controller"});
    assert_eq!(
        harness
            .post("/cfx/v1/join_tokens", &admin, wrong)
            .await
            .status,
        422
    );
    let status = harness.get("/cfx/v1/status", &admin).await.json();
    assert_eq!(status["apps_domain"], "apps.test");
}
