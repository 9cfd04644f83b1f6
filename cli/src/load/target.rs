//! Where a load goes: a URL, resolved once, and whether it may be sent there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::HeaderValue;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::client::Trust;
use crate::failure::{Failure, Outcome};

/// A resolved address that takes requests.
#[derive(Clone)]
pub(crate) struct Target {
    /// `http://shop.apps.localhost:8080`, for people.
    pub(crate) origin: String,
    /// Path and query of the URL.
    pub(crate) path: String,
    /// What `Host` says.
    pub(crate) host: HeaderValue,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("origin", &self.origin)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// How a URL is to be taken.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) trust: Trust,
    /// Connect here, whatever the URL's host resolves to.
    pub(crate) connect_to: Option<SocketAddr>,
    /// Machines beyond this one may be loaded.
    pub(crate) allow_remote: bool,
}

impl Target {
    pub(crate) async fn resolve(text: &str, rules: &Rules) -> Outcome<Self> {
        let url = parse(text)?;
        let host = url
            .host()
            .ok_or_else(|| unusable(text, "it names no host"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses = match rules.connect_to {
            Some(address) => vec![address],
            None => resolve(&host, port).await?,
        };
        if !rules.allow_remote {
            refuse_remote(&addresses, &url)?;
        }
        let is_encrypted = url.scheme() == "https";
        let name = host.to_string();
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let tls = match is_encrypted {
            false => None,
            true => Some((
                TlsConnector::from(rules.trust.config()?),
                ServerName::try_from(name.to_owned())
                    .map_err(|_| unusable(text, "TLS cannot verify its host"))?,
            )),
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let host = HeaderValue::try_from(authority.as_str())
            .map_err(|_| unusable(text, "its host cannot stand in a header"))?;
        Ok(Self {
            origin: format!("{}://{authority}", url.scheme()),
            path,
            host,
            addresses,
            tls,
        })
    }
}

/// A URL, with `http://` where no scheme was typed.
fn parse(text: &str) -> Outcome<Url> {
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let url = Url::parse(&with_scheme).map_err(|error| unusable(text, &error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(unusable(text, "only http and https are spoken"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unusable(text, "it holds a password; send a header instead"));
    }
    Ok(url)
}

fn unusable(text: &str, why: &str) -> Failure {
    Failure::new(format!("cannot load `{text}`: {why}"))
        .next("give it as http://HOST:PORT/PATH or https://HOST/PATH")
}

/// Names below `localhost` are this machine (RFC 6761); not every resolver knows.
async fn resolve(host: &Host<&str>, port: u16) -> Outcome<Vec<SocketAddr>> {
    let name = match host {
        Host::Ipv4(address) => return Ok(vec![SocketAddr::from((*address, port))]),
        Host::Ipv6(address) => return Ok(vec![SocketAddr::from((*address, port))]),
        Host::Domain(name) => name.trim_end_matches('.').to_ascii_lowercase(),
    };
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(vec![
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ]);
    }
    let unknown = |detail: String| {
        Failure::new(format!("cannot find `{name}`: {detail}"))
            .next("name the address to connect to: --connect-to IP:PORT")
    };
    let found = tokio::net::lookup_host((name.as_str(), port)).await;
    let found: Vec<SocketAddr> = found.map_err(|error| unknown(error.to_string()))?.collect();
    match found.is_empty() {
        true => Err(unknown("it has no address".to_owned())),
        false => Ok(found),
    }
}

/// A slip of the finger must not send a flood to somebody else's machine.
fn refuse_remote(addresses: &[SocketAddr], url: &Url) -> Outcome {
    let remote = addresses
        .iter()
        .find(|address| !is_this_machine(address.ip()));
    let Some(address) = remote else {
        return Ok(());
    };
    Err(
        Failure::new(format!("{url} is on another machine ({})", address.ip()))
            .next("if you may put load on it, say so: --allow-remote. Otherwise check the address"),
    )
}

fn is_this_machine(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            trust: Trust::System,
            connect_to: None,
            allow_remote: false,
        }
    }

    #[tokio::test]
    async fn names_below_localhost_are_this_machine() {
        let target = Target::resolve("shop.apps.localhost:8080/api?x=1", &rules())
            .await
            .expect("resolved");
        assert_eq!(target.origin, "http://shop.apps.localhost:8080");
        assert_eq!(target.path, "/api?x=1");
        assert_eq!(target.host, "shop.apps.localhost:8080");
        assert!(target.addresses.iter().all(|one| one.ip().is_loopback()));
        assert!(target.tls.is_none());
    }

    #[tokio::test]
    async fn another_machine_is_loaded_only_when_that_was_said() {
        for url in [
            "http://192.0.2.7/",
            "http://[2001:db8::1]:80/",
            "http://0.0.0.0/",
        ] {
            let failure = Target::resolve(url, &rules()).await.expect_err(url);
            assert!(
                failure
                    .next_step()
                    .is_some_and(|step| step.contains("--allow-remote"))
            );
            let allowed = Rules {
                allow_remote: true,
                ..rules()
            };
            assert!(Target::resolve(url, &allowed).await.is_ok(), "{url}");
        }
        for url in [
            "http://127.9.9.9/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(Target::resolve(url, &rules()).await.is_ok(), "{url}");
        }
        let elsewhere = Rules {
            connect_to: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
            ..rules()
        };
        let target = Target::resolve("http://shop.example.org/", &elsewhere).await;
        assert_eq!(target.expect("by address").host, "shop.example.org");
    }

    #[tokio::test]
    async fn what_is_no_url_is_refused_with_an_example() {
        for url in ["", "ftp://localhost", "http://", "http://u:p@localhost"] {
            let failure = Target::resolve(url, &rules()).await.expect_err(url);
            assert!(failure.next_step().is_some(), "{url}");
        }
    }
}
