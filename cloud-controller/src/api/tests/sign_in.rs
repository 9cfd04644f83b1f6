//! Tokens: how people and programs get them, and how they end.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use super::harness::{ADMIN_PASSWORD, Harness, ORIGIN, Reply};

/// `cf:` in base64: the CLI's client and its empty secret.
const CF: &str = "Basic Y2Y6";

async fn token(harness: &Harness, basic: Option<&str>, form: &str) -> Reply {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("/uaa/oauth/token")
        .header("host", "api.test:8880")
        .header("content-type", "application/x-www-form-urlencoded");
    if let Some(basic) = basic {
        request = request.header("authorization", basic);
    }
    harness
        .request(
            request
                .body(Body::from(form.to_owned()))
                .expect("a request"),
        )
        .await
}

async fn sign_in(harness: &Harness, username: &str, password: &str) -> Reply {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "password")
        .append_pair("username", username)
        .append_pair("password", password)
        .finish();
    token(harness, Some(CF), &form).await
}

fn payload(token: &Value) -> Value {
    use base64::Engine;
    let part = token
        .as_str()
        .expect("text")
        .split('.')
        .nth(1)
        .expect("three parts");
    let bytes = base64::prelude::BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .expect("base64");
    serde_json::from_slice(&bytes).expect("json")
}

#[tokio::test]
async fn a_password_gives_a_token_with_the_claims_that_the_cli_reads() {
    let harness = Harness::new().await;
    let reply = sign_in(&harness, "ADMIN", ADMIN_PASSWORD).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.headers["cache-control"], "no-store");
    let body = reply.json();
    assert_eq!(body["token_type"], "bearer");
    let claims = payload(&body["access_token"]);
    assert_eq!(claims["user_name"], "admin");
    assert_eq!(claims["origin"], "uaa");
    assert_eq!(claims["user_id"], claims["sub"]);
    assert_eq!(claims["client_id"], "cf");
    assert_eq!(claims["iss"], format!("{ORIGIN}/uaa/oauth/token"));
    assert_eq!(
        claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat"),
        600
    );
    let token = body["access_token"].as_str().expect("text");
    assert_eq!(harness.get("/v3/organizations", token).await.status, 200);
    harness.advance(601);
    let (status, code, detail) = harness.get("/v3/organizations", token).await.error();
    assert_eq!(
        (status, code, detail.as_str()),
        (401, 1_000, "Invalid Auth Token")
    );
}

#[tokio::test]
async fn wrong_names_and_wrong_passwords_get_the_same_answer_and_then_a_pause() {
    let harness = Harness::new().await;
    let wrong = sign_in(&harness, "admin", "wrong").await;
    let nobody = sign_in(&harness, "nobody", "wrong").await;
    assert_eq!((wrong.status.as_u16(), &wrong.text), (401, &nobody.text));
    assert_eq!(wrong.json()["error"], "unauthorized");
    for _ in 0..4 {
        sign_in(&harness, "admin", "wrong").await;
    }
    let locked = sign_in(&harness, "admin", ADMIN_PASSWORD).await;
    assert!(locked.text.contains("has been locked"), "{locked:?}");
    harness.advance(61);
    assert_eq!(sign_in(&harness, "admin", ADMIN_PASSWORD).await.status, 200);
    let token = harness.admin_token().await;
    let events = harness
        .get("/v3/audit_events?types=audit.user.sign_in_failed", &token)
        .await;
    assert_eq!(events.json()["pagination"]["total_results"], 6);
}

#[tokio::test]
async fn refreshing_renews_both_tokens_and_a_stolen_one_ends_the_session() {
    let harness = Harness::new().await;
    let refresh = async |token_text: &str| {
        let form = format!("grant_type=refresh_token&refresh_token={token_text}");
        token(&harness, Some(CF), &form).await
    };
    let first = sign_in(&harness, "admin", ADMIN_PASSWORD).await.json();
    let first = first["refresh_token"].as_str().expect("text").to_owned();
    harness.advance(700);
    let renewed = refresh(&first).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let renewed = renewed.json();
    let access = renewed["access_token"].as_str().expect("text");
    assert_eq!(harness.get("/v3/organizations", access).await.status, 200);
    harness.advance(120);
    let reused = refresh(&first).await;
    assert_eq!(
        (reused.status.as_u16(), reused.json()["error"].clone()),
        (401, json!("invalid_token"))
    );
    let second = renewed["refresh_token"].as_str().expect("text");
    assert_eq!(
        refresh(second).await.status,
        401,
        "the whole session is over"
    );
    assert_eq!(harness.get("/v3/organizations", access).await.status, 401);
    for nonsense in ["", "x", "a.b", "00000000-0000-0000-0000-000000000000.x"] {
        assert_eq!(refresh(nonsense).await.status, 401);
    }
}

#[tokio::test]
async fn signing_out_takes_the_token_back() {
    let harness = Harness::new().await;
    let body = sign_in(&harness, "admin", ADMIN_PASSWORD).await.json();
    let access = body["access_token"].as_str().expect("text");
    let other = harness.admin_token().await;
    let path = format!(
        "/uaa/oauth/token/revoke/{}",
        body["jti"].as_str().expect("jti")
    );
    let by_other = harness.send(Method::DELETE, &path, Some(&other), "").await;
    assert_eq!(by_other.status, 404);
    let revoked = harness.send(Method::DELETE, &path, Some(access), "").await;
    assert_eq!(revoked.status, 200);
    assert_eq!(harness.get("/v3/organizations", access).await.status, 401);
    assert_eq!(harness.get("/v3/organizations", &other).await.status, 200);
}

#[tokio::test]
async fn a_client_takes_a_token_of_its_own_in_the_header_or_in_the_body() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    let client = json!({
        "client_id": "robot",
        "client_secret": "s3cret",
        "authorized_grant_types": ["client_credentials"],
        "authorities": ["cloud_controller.read", "cloud_controller.admin"],
    });
    assert_eq!(
        harness
            .post("/oauth/clients", &admin, client.clone())
            .await
            .status,
        201
    );
    assert_eq!(
        harness.post("/oauth/clients", &admin, client).await.status,
        409
    );
    let in_body = "grant_type=client_credentials&client_id=robot&client_secret=s3cret";
    let in_header = "Basic cm9ib3Q6czNjcmV0";
    let replies = [
        token(&harness, None, in_body).await,
        token(&harness, Some(in_header), "grant_type=client_credentials").await,
    ];
    for reply in replies {
        assert_eq!(reply.status, 200, "{reply:?}");
        let body = reply.json();
        assert_eq!(body.get("refresh_token"), None);
        let claims = payload(&body["access_token"]);
        assert_eq!(claims["client_id"], "robot");
        assert_eq!(claims.get("user_name"), None);
        let own = body["access_token"].as_str().expect("text");
        assert_eq!(
            harness.get("/whoami", own).await.json(),
            json!({"name": "robot", "kind": "Client"})
        );
    }
    for wrong in [
        "grant_type=client_credentials&client_id=robot&client_secret=wrong",
        "grant_type=client_credentials&client_id=nobody&client_secret=s3cret",
        "grant_type=client_credentials&client_id=robot",
        "grant_type=password&client_id=robot&client_secret=s3cret&username=admin&password=x",
        "grant_type=client_credentials&client_id=cf&client_secret=",
    ] {
        assert_eq!(token(&harness, None, wrong).await.status, 401, "{wrong}");
    }
}

#[tokio::test]
async fn users_are_made_found_renamed_a_password_and_deleted() {
    let harness = Harness::new().await;
    let admin = harness.admin_token().await;
    let new = json!({
        "userName": "bob", "password": "pw", "origin": "uaa",
        "name": {"familyName": "bob", "givenName": "bob"},
        "emails": [{"value": "bob", "primary": true}],
    });
    let made = harness.post("/uaa/Users", &admin, new.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["id"].as_str().expect("id").to_owned();
    let again = harness.post("/uaa/Users", &admin, new).await;
    assert_eq!(again.json()["error"], "scim_resource_already_exists");
    let query = "/uaa/Users?filter=userName+eq+%22BOB%22+and+origin+eq+%22uaa%22";
    let found = harness.get(query, &admin).await.json();
    assert_eq!(found["totalResults"], 1);
    assert_eq!(found["resources"][0]["id"], json!(id));

    let signed_in = sign_in(&harness, "bob", "pw").await.json();
    let bob = signed_in["access_token"].as_str().expect("text").to_owned();
    assert_eq!(
        harness.get(query, &bob).await.json()["error"],
        "insufficient_scope"
    );
    let path = format!("/uaa/Users/{id}/password");
    let change = |old: &str| json!({"oldPassword": old, "password": "new"}).to_string();
    let wrong = harness
        .send(Method::PUT, &path, Some(&bob), &change("nope"))
        .await;
    assert_eq!(wrong.status, 401);
    let right = harness
        .send(Method::PUT, &path, Some(&bob), &change("pw"))
        .await;
    assert_eq!(right.status, 200, "{right:?}");
    assert_eq!(
        harness.get("/v3/organizations", &bob).await.status,
        401,
        "signed out"
    );
    assert_eq!(sign_in(&harness, "bob", "pw").await.status, 401);
    assert_eq!(sign_in(&harness, "bob", "new").await.status, 200);

    let path = format!("/uaa/Users/{id}");
    assert_eq!(
        harness
            .send(Method::DELETE, &path, Some(&admin), "")
            .await
            .status,
        200
    );
    assert_eq!(sign_in(&harness, "bob", "new").await.status, 401);
    assert_eq!(
        harness
            .send(Method::DELETE, &path, Some(&admin), "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn the_public_keys_verify_the_tokens() {
    let harness = Harness::new().await;
    let keys = harness
        .send(Method::GET, "/token_keys", None, "")
        .await
        .json();
    let key = &keys["keys"][0];
    let text = |name: &str| key[name].as_str().expect("text").to_owned();
    let verifier =
        jsonwebtoken::DecodingKey::from_rsa_components(&text("n"), &text("e")).expect("a key");
    let token = harness.admin_token().await;
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.validate_exp = false;
    validation.set_audience(&["cloud_controller"]);
    let decoded = jsonwebtoken::decode::<Value>(&token, &verifier, &validation);
    assert_eq!(decoded.expect("verifies").claims["user_name"], "admin");
    assert!(text("value").starts_with("-----BEGIN PUBLIC KEY-----"));
}

#[tokio::test]
async fn login_says_how_to_sign_in_under_both_prefixes() {
    let harness = Harness::new().await;
    for path in ["/login", "/uaa/login"] {
        let info = harness.send(Method::GET, path, None, "").await.json();
        assert_eq!(info["prompts"]["username"], json!(["text", "Email"]));
        assert_eq!(info["prompts"]["password"][0], "password");
        assert_eq!(info["links"]["uaa"], format!("{ORIGIN}/uaa"));
    }
}
