//! UAA tokens: getting them, reading what they say, renewing them in time.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::error::ClientError;
use super::transport::{Call, Transport};

/// A token with less life than this is renewed first, seconds.
const RENEW_BEFORE_S: i64 = 60;
/// `cf:` in base64: the public client of the cf CLI, with an empty secret.
const CLIENT_BASIC: &str = "Basic Y2Y6";

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    #[serde(default)]
    pub(crate) refresh: Option<String>,
}

/// What an access token says about its bearer. Not verified here: the platform does that.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Claims {
    #[serde(default)]
    pub(crate) exp: i64,
    #[serde(default)]
    pub(crate) user_name: Option<String>,
    #[serde(default)]
    pub(crate) origin: Option<String>,
    #[serde(default)]
    pub(crate) client_id: Option<String>,
}

impl Tokens {
    pub(crate) fn claims(&self) -> Option<Claims> {
        let payload = self.access.split('.').nth(1)?;
        let payload = payload.trim_end_matches('=');
        let json = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
        serde_json::from_slice(&json).ok()
    }

    pub(crate) fn needs_renewal(&self, now: Timestamp) -> bool {
        self.claims()
            .is_none_or(|claims| claims.exp - now.as_second() < RENEW_BEFORE_S)
    }

    /// The name to show: the user's, or the client's.
    pub(crate) fn user_name(&self) -> String {
        let claims = self.claims().unwrap_or_default();
        claims
            .user_name
            .or(claims.client_id)
            .unwrap_or_else(|| "unknown".to_owned())
    }
}

/// How to get a token.
#[derive(Debug, Clone)]
pub(crate) enum Grant<'a> {
    Password {
        user: &'a str,
        password: &'a str,
        origin: Option<&'a str>,
    },
    Refresh {
        token: &'a str,
    },
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Denied {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// Ask `login` for tokens.
pub(crate) async fn request(
    transport: &Transport,
    login: &str,
    grant: Grant<'_>,
) -> Result<Tokens, ClientError> {
    let answer = transport.call(token_call(login, &grant)).await?;
    if answer.status.is_success() {
        let granted: Granted =
            serde_json::from_slice(&answer.body).map_err(|error| ClientError::Garbled {
                what: format!("{login}/oauth/token"),
                detail: error.to_string(),
            })?;
        return Ok(Tokens {
            access: granted.access_token,
            refresh: granted.refresh_token,
        });
    }
    if matches!(grant, Grant::Refresh { .. }) && answer.status.is_client_error() {
        return Err(ClientError::LoginExpired);
    }
    let denied = serde_json::from_slice::<Denied>(&answer.body).ok();
    let detail = denied.map_or_else(
        || format!("the platform answered the login with {}", answer.status),
        |denied| match denied.error_description.as_str() {
            "" => denied.error,
            text => text.to_owned(),
        },
    );
    Err(ClientError::Login { detail })
}

fn token_call(login: &str, grant: &Grant<'_>) -> Call {
    let mut url = format!("{login}/oauth/token");
    let mut form = form_urlencoded::Serializer::new(String::new());
    match grant {
        Grant::Password {
            user,
            password,
            origin,
        } => {
            form.append_pair("grant_type", "password")
                .append_pair("username", user)
                .append_pair("password", password);
            if let Some(origin) = origin {
                let hint = serde_json::json!({ "origin": origin }).to_string();
                let query = form_urlencoded::Serializer::new(String::new())
                    .append_pair("login_hint", &hint)
                    .finish();
                url = format!("{url}?{query}");
            }
        }
        Grant::Refresh { token } => {
            form.append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", token);
        }
    }
    let mut headers = HeaderMap::new();
    let fixed = [
        (header::AUTHORIZATION, CLIENT_BASIC),
        (header::ACCEPT, "application/json"),
        (header::CONTENT_TYPE, "application/x-www-form-urlencoded"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Call {
        method: Method::POST,
        url,
        headers,
        body: form.finish().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(claims: &str) -> Tokens {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(claims);
        Tokens {
            access: format!("e30.{payload}.sig"),
            refresh: None,
        }
    }

    #[test]
    fn a_token_is_renewed_a_minute_before_it_ends_and_when_it_cannot_be_read() {
        let now = Timestamp::from_second(1_000).expect("a time");
        for (claims, renew) in [
            (r#"{"exp":1061}"#, false),
            (r#"{"exp":1059}"#, true),
            (r#"{"exp":1}"#, true),
            ("{}", true),
            ("not json", true),
        ] {
            assert_eq!(tokens(claims).needs_renewal(now), renew, "{claims}");
        }
        assert!(Tokens::default().needs_renewal(now));
    }

    #[test]
    fn the_bearer_is_the_user_or_the_client() {
        assert_eq!(tokens(r#"{"user_name":"ann"}"#).user_name(), "ann");
        assert_eq!(tokens(r#"{"client_id":"ci"}"#).user_name(), "ci");
    }
}
