//! Sticky sessions: an app that sets `JSESSIONID` sees the same client at the same instance.
//!
//! The router keeps no session; the instance's guid travels in the client's cookie.

use cfx_protocol::id::InstanceGuid;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

use super::balance::Wish;
use super::upstream::{Lease, LocalRoute};

/// Cookies of apps that want to stick.
const SESSION_COOKIES: [&str; 2] = ["JSESSIONID", "__Host-JSESSIONID"];
/// The router's own cookie.
const INSTANCE_COOKIE: &str = "__VCAP_ID__";
/// Attributes that the router's cookie takes over from the app's.
const COPIED: [&str; 5] = ["secure", "samesite", "expires", "max-age", "partitioned"];

/// The instance that the client wants to see again.
pub(crate) fn instance(headers: &HeaderMap) -> Option<InstanceGuid> {
    let cookies = headers.get_all(COOKIE);
    let pairs = cookies.iter().filter_map(|line| line.to_str().ok());
    let pairs = pairs.flat_map(|line| line.split(';'));
    let (mut session, mut instance) = (false, None);
    for pair in pairs {
        let Some((name, value)) = pair.trim().split_once('=') else {
            continue;
        };
        session |= SESSION_COOKIES.contains(&name);
        if name == INSTANCE_COOKIE {
            instance = value.parse().ok();
        }
    }
    instance.filter(|_| session)
}

/// Give the client the cookie of the instance that answered, when the app begins a session or
/// another than the wished-for instance had to take it over.
pub(crate) fn remember(headers: &mut HeaderMap, route: &LocalRoute, wish: &Wish, lease: &Lease) {
    let instance = lease.endpoint().endpoint.instance;
    let moved = matches!(wish, Wish::Sticky(wished) if *wished != instance);
    if !moved && !headers.contains_key(SET_COOKIE) {
        return;
    }
    let set: Vec<&str> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    if set.iter().any(|line| name_of(line) == INSTANCE_COOKIE) {
        // The app decides for itself.
        return;
    }
    let session = set
        .iter()
        .find(|line| SESSION_COOKIES.contains(&name_of(line)));
    if session.is_none() && !moved {
        return;
    }
    let path = if route.path.is_empty() {
        "/"
    } else {
        &route.path
    };
    let mut cookie = format!("{INSTANCE_COOKIE}={instance}; Path={path}; HttpOnly");
    for attribute in session.iter().flat_map(|line| line.split(';').skip(1)) {
        let attribute = attribute.trim();
        let name = attribute.split('=').next().unwrap_or_default();
        if COPIED
            .iter()
            .any(|copied| copied.eq_ignore_ascii_case(name))
        {
            cookie.push_str("; ");
            cookie.push_str(attribute);
        }
    }
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        headers.append(SET_COOKIE, cookie);
    }
}

fn name_of(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_wished_for_only_together_with_a_session() {
        let guid = "6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001";
        let wished = |cookies: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_str(cookies).expect("a value"));
            instance(&headers).map(|instance| instance.to_string())
        };
        let both = format!("a=b; JSESSIONID=x; __VCAP_ID__={guid}");
        assert_eq!(wished(&both).as_deref(), Some(guid));
        assert_eq!(wished(&format!("__VCAP_ID__={guid}")), None);
        assert_eq!(wished("JSESSIONID=x"), None);
        assert_eq!(wished("JSESSIONID=x; __VCAP_ID__=nonsense"), None);
    }
}
