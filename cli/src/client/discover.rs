//! Finding out what answers at an API address: the root document.

use std::sync::Arc;

use cfx_process::clock::Clock;
use cfx_protocol::v3::platform::CfxMeta;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;

use super::error::{ApiError, ClientError};
use super::transport::{Call, Transport};
use super::trust::Trust;
use crate::output::Terminal;

/// The oldest API that is known to do.
pub(crate) const API_VERSION_MIN: (u64, u64) = (3, 99);

/// What the root document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Discovered {
    pub(crate) api_version: String,
    pub(crate) login: String,
    pub(crate) uaa: String,
    pub(crate) log_cache: Option<String>,
    pub(crate) cfx: Option<CfxMeta>,
}

impl Discovered {
    pub(crate) fn is_old(&self) -> bool {
        let mut parts = self.api_version.split('.').map(|part| part.parse::<u64>());
        let major = parts.next().and_then(Result::ok).unwrap_or(0);
        let minor = parts.next().and_then(Result::ok).unwrap_or(0);
        (major, minor) < API_VERSION_MIN
    }
}

#[derive(Deserialize)]
struct Root {
    links: Links,
}

#[derive(Deserialize)]
struct Links {
    cloud_controller_v3: Option<Link>,
    login: Option<Link>,
    uaa: Option<Link>,
    log_cache: Option<Link>,
    #[serde(default)]
    cfx: Option<CfxLink>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
struct CfxLink {
    #[serde(default)]
    meta: CfxMeta,
}

/// The address as it will be used: with a scheme (https when none was typed), without a path.
pub(crate) fn address(typed: &str) -> Result<String, ClientError> {
    let typed = typed.trim();
    let with_scheme = if typed.contains("://") {
        typed.to_owned()
    } else {
        format!("https://{typed}")
    };
    let invalid = |detail: &str| ClientError::Address {
        address: typed.to_owned(),
        detail: detail.to_owned(),
    };
    let url = url::Url::parse(&with_scheme).map_err(|error| invalid(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("only http and https are spoken"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it holds a password; log in with `cfx login`"));
    }
    Ok(url.origin().ascii_serialization())
}

/// Ask the root document at `address`.
pub(crate) async fn discover(
    address: &str,
    trust: &Trust,
    clock: Clock,
    terminal: Arc<Terminal>,
) -> Result<Discovered, ClientError> {
    let transport = Transport::new(trust, clock, terminal)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let url = format!("{address}/");
    let answer = transport
        .call(Call {
            method: Method::GET,
            url: url.clone(),
            headers,
            body: bytes::Bytes::new(),
        })
        .await?;
    if !answer.status.is_success() {
        return Err(ClientError::Api(ApiError::read(
            answer.status,
            &answer.body,
        )));
    }
    read(&url, &answer.body)
}

fn read(url: &str, body: &[u8]) -> Result<Discovered, ClientError> {
    let garbled = |detail: String| ClientError::Garbled {
        what: url.to_owned(),
        detail,
    };
    let root: Root = serde_json::from_slice(body).map_err(|error| garbled(error.to_string()))?;
    let href = |link: Option<Link>| link.map(|link| link.href.trim_end_matches('/').to_owned());
    let api_version = root
        .links
        .cloud_controller_v3
        .and_then(|link| link.meta.version);
    let uaa = href(root.links.uaa).ok_or_else(|| garbled("it links no uaa".to_owned()))?;
    Ok(Discovered {
        api_version: api_version.ok_or_else(|| garbled("it links no v3 API".to_owned()))?,
        login: href(root.links.login).unwrap_or_else(|| uaa.clone()),
        uaa,
        log_cache: href(root.links.log_cache),
        cfx: root.links.cfx.map(|link| link.meta),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_a_scheme_and_loses_its_path() {
        for (typed, used) in [
            ("http://127.0.0.1:8880/", "http://127.0.0.1:8880"),
            ("api.example.org", "https://api.example.org"),
            (
                "https://api.example.org:8443/v3?x=1",
                "https://api.example.org:8443",
            ),
        ] {
            assert_eq!(address(typed).expect(typed), used);
        }
        for wrong in ["", "ftp://x", "http://", "http://user:pw@host"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_root_document_names_what_is_needed() {
        let body = br#"{"links":{"self":{"href":"http://h"},"cloud_controller_v3":{"href":"http://h/v3","meta":{"version":"3.211.0"}},
            "login":{"href":"http://h/uaa"},"uaa":{"href":"http://h/uaa/"},"log_cache":{"href":"http://h"},"app_ssh":null,
            "cfx":{"href":"http://h/cfx/v1","meta":{"version":"0.1.0","http_port":8080}}}}"#;
        let found = read("http://h/", body).expect("a root");
        assert_eq!(found.uaa, "http://h/uaa");
        assert_eq!(found.cfx.and_then(|meta| meta.http_port), Some(8080));
        assert!(read("http://h/", b"{}").is_err());
    }
}
