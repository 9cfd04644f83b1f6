//! How a role on another machine gets its certificate: once by a token, then from its own disk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cfx_process::clock::Clock;
use cfx_process::durable_file::{self, MODE_PUBLIC, MODE_SECRET};
use cfx_process::http_client::{InternalClient, LinkError};
use cfx_process::identity::{Identity, certificate_request};
use cfx_process::tls;
use cfx_protocol::link::{JoinReply, JoinRequest, PREFIX, Role};
use serde::Deserialize;
use uuid::Uuid;

use super::error_text;
use crate::failure::{Failure, Outcome};

/// Longest that joining waits for a controller.
const TRIES: u32 = 10;
const TRY_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);

/// The part of a role's file that says whom it belongs to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Membership {
    /// Internal listeners of the controllers.
    pub(super) controllers: Vec<SocketAddr>,
    /// Needed once.
    #[serde(default)]
    join_token: Option<String>,
    /// PEM of the platform's authority; needed with the token.
    #[serde(default)]
    authority: Option<String>,
}

/// A role that is part of a platform.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) guid: Uuid,
    pub(super) client: InternalClient,
}

/// The identity on disk, or a new one by the token.
pub(super) async fn member(
    membership: &Membership,
    role: Role,
    name: &str,
    data: &Path,
    clock: &Clock,
) -> Outcome<Member> {
    if membership.controllers.is_empty() {
        return Err(Failure::new("`controllers` names none")
            .next("`cfx cells join-token` prints the lines to put into the file"));
    }
    let files = Files(data.join("identity"));
    let (guid, identity) = match files.load()? {
        Some(kept) => kept,
        None => {
            let joined = join(membership, role, name, clock).await?;
            files.save(&joined)?;
            joined
        }
    };
    let client = tls::client(&identity).map_err(|error| {
        Failure::new(format!(
            "the certificate cannot be used: {}",
            error_text(&error)
        ))
        .next(format!(
            "remove {} and join again with a new token",
            files.0.display()
        ))
    })?;
    Ok(Member {
        guid,
        client: InternalClient::new(client, membership.controllers.clone()),
    })
}

async fn join(
    membership: &Membership,
    role: Role,
    name: &str,
    clock: &Clock,
) -> Outcome<(Uuid, Identity)> {
    let (Some(token), Some(authority)) = (&membership.join_token, &membership.authority) else {
        return Err(Failure::new(
            "this machine has no certificate yet, and the file has no `join-token` and `authority`",
        )
        .next(format!(
            "make a token at the platform: `cfx cells join-token --role {}`",
            role.as_str()
        )));
    };
    let unusable = |error: &dyn std::error::Error| {
        Failure::new(format!("cannot join: {}", error_text(error)))
            .next("check `authority` in the file against `cfx cells join-token`")
    };
    let (key, request) = certificate_request().map_err(|error| unusable(&error))?;
    let config = tls::joining_client(authority).map_err(|error| unusable(&error))?;
    let client = InternalClient::new(config, membership.controllers.clone());
    let question = JoinRequest {
        token: token.clone(),
        role,
        name: name.to_owned(),
        certificate_request: request,
    };
    let reply = ask(&client, &question, clock).await?;
    let identity = Identity {
        certificate: reply.certificate,
        key,
        authority: reply.authority,
    };
    Ok((reply.guid, identity))
}

async fn ask(client: &InternalClient, question: &JoinRequest, clock: &Clock) -> Outcome<JoinReply> {
    let path = format!("{PREFIX}/join");
    let mut attempt = 1;
    loop {
        match client.post(&path, question).await {
            Ok(reply) => return Ok(reply),
            Err(error) if error.is_transient() && attempt < TRIES => {
                tracing::warn!(%error, "cannot join yet; trying again");
                clock.sleep(TRY_PAUSE).await;
                attempt += 1;
            }
            Err(error) => return Err(refused(&error)),
        }
    }
}

fn refused(error: &LinkError) -> Failure {
    let next = match error {
        LinkError::Refused { .. } => {
            "a token admits once and ends after an hour: make a new one with `cfx cells join-token`"
        }
        _ => "check `controllers` in the file, and that the controller runs",
    };
    Failure::new(format!("cannot join: {error}")).next(next)
}

/// Certificate, key, authority and guid, in a folder of their own.
struct Files(PathBuf);

impl Files {
    fn load(&self) -> Outcome<Option<(Uuid, Identity)>> {
        let read = |name: &str| -> Outcome<Option<String>> {
            let path = self.0.join(name);
            let content =
                durable_file::read(&path).map_err(|error| self.broken(&error.to_string()))?;
            Ok(content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
        };
        let parts = (
            read("guid")?,
            read("certificate.pem")?,
            read("key.pem")?,
            read("authority.pem")?,
        );
        let (Some(guid), Some(certificate), Some(key), Some(authority)) = parts else {
            return Ok(None);
        };
        let guid = guid
            .trim()
            .parse()
            .map_err(|_| self.broken("the guid is none"))?;
        let identity = Identity {
            certificate,
            key,
            authority,
        };
        Ok(Some((guid, identity)))
    }

    /// The guid last: without it nothing counts as there.
    fn save(&self, (guid, identity): &(Uuid, Identity)) -> Outcome {
        let write = |name: &str, text: &str, mode: u32| {
            durable_file::write(&self.0.join(name), text.as_bytes(), mode)
                .map_err(|error| self.broken(&error.to_string()))
        };
        write("key.pem", &identity.key, MODE_SECRET)?;
        write("certificate.pem", &identity.certificate, MODE_PUBLIC)?;
        write("authority.pem", &identity.authority, MODE_PUBLIC)?;
        write("guid", &guid.to_string(), MODE_PUBLIC)
    }

    fn broken(&self, detail: &str) -> Failure {
        Failure::new(format!(
            "the identity in {} cannot be used: {detail}",
            self.0.display()
        ))
        .next("remove that folder and join again with a new token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_kept_and_half_of_one_does_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files(folder.path().join("identity"));
        assert!(files.load().expect("nothing").is_none());
        let identity = Identity {
            certificate: "c".into(),
            key: "k".into(),
            authority: "a".into(),
        };
        let guid = Uuid::from_u128(7);
        files.save(&(guid, identity)).expect("saved");
        let (kept, loaded) = files.load().expect("read").expect("there");
        assert_eq!((kept, loaded.key.as_str()), (guid, "k"));
        std::fs::remove_file(files.0.join("guid")).expect("removed");
        assert!(files.load().expect("read").is_none());
    }
}
