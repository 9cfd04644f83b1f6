//! `/login` and `/info`: how to sign in; `/userinfo`: who has.

use axum::Json;
use axum::response::IntoResponse;
use cfx_protocol::uaa::{LoginInfo, LoginVersion, UserInfo};

use super::{UaaAnswer, UaaCall, UaaRefusal, ZONE};
use crate::api::request::Visitor;
use crate::state::user::User;

/// The version of UAA's API that these endpoints follow.
const UAA_VERSION: &str = "77.0.0";

pub(in crate::api) async fn info(visitor: Visitor) -> UaaAnswer {
    let uaa = visitor.base.href("/uaa");
    let prompt = |name: &str, kind: &str, caption: &str| {
        (name.to_owned(), [kind.to_owned(), caption.to_owned()])
    };
    let body = LoginInfo {
        app: LoginVersion {
            version: UAA_VERSION.to_owned(),
        },
        prompts: [
            prompt("username", "text", "Email"),
            prompt("password", "password", "Password"),
        ]
        .into(),
        links: [("login".to_owned(), uaa.clone()), ("uaa".to_owned(), uaa)].into(),
        zone_name: ZONE.to_owned(),
    };
    Ok(Json(body).into_response())
}

pub(in crate::api) async fn userinfo(call: UaaCall) -> UaaAnswer {
    call.demand(&["openid"])?;
    let user = call.state.get::<User>(&call.caller.guid);
    let user = user.ok_or_else(UaaRefusal::invalid_token)?;
    let name = format!("{} {}", user.given_name, user.family_name);
    let body = UserInfo {
        user_id: user.guid.to_string(),
        sub: user.guid.to_string(),
        user_name: user.username.clone(),
        origin: user.origin.clone(),
        given_name: user.given_name.clone(),
        family_name: user.family_name.clone(),
        name: name.trim().to_owned(),
        email: user.email.clone(),
    };
    Ok(Json(body).into_response())
}
