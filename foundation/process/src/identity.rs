//! The platform's certificate authority and the identities it gives to its processes.
//!
//! A certificate names a role and a guid in one URI, `cfx://cell/<guid>`. Clients check that the
//! server's role is the one they dialled, by the DNS name `<role>.cfx.internal`, whatever its
//! address is. Certificates are back-dated by five minutes against clock skew.

use std::path::Path;

use cfx_protocol::link::Role;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use uuid::Uuid;

use crate::durable_file;

/// Life of an identity, days; it is renewed at each start and when half of it is over.
pub const IDENTITY_LIFE_DAYS: i64 = 365;
/// Life of the authority, days.
pub const AUTHORITY_LIFE_DAYS: i64 = 3_650;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read or write {path}: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
    #[error("the certificate or key cannot be made or read: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the certificate is not one of this platform: {0}")]
    Foreign(String),
}

/// A certificate, its key, and the authority that vouches for it; all PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
    pub authority: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Who a peer is, out of its verified certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerIdentity {
    pub role: Role,
    pub guid: Uuid,
}

/// Signs certificates for the platform's own processes.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Load the authority from `folder`, or make it there.
    pub fn load_or_create(folder: &Path, now: Timestamp) -> Result<Self, IdentityError> {
        let (certificate_path, key_path) =
            (folder.join("authority.pem"), folder.join("authority.key"));
        let file = |path: &Path| {
            let path = path.display().to_string();
            move |source| IdentityError::File { path, source }
        };
        let certificate = durable_file::read(&certificate_path).map_err(file(&certificate_path))?;
        let key = durable_file::read(&key_path).map_err(file(&key_path))?;
        if let (Some(certificate), Some(key)) = (certificate, key) {
            return Self::from_pem(
                &String::from_utf8_lossy(&certificate),
                &String::from_utf8_lossy(&key),
            );
        }
        let (certificate, key) = Self::generate(now)?;
        durable_file::write(&key_path, key.as_bytes(), durable_file::MODE_SECRET)
            .map_err(file(&key_path))?;
        durable_file::write(
            &certificate_path,
            certificate.as_bytes(),
            durable_file::MODE_PUBLIC,
        )
        .map_err(file(&certificate_path))?;
        Self::from_pem(&certificate, &key)
    }

    fn from_pem(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key)?)?;
        Ok(Self {
            issuer,
            certificate: certificate.to_owned(),
        })
    }

    fn generate(now: Timestamp) -> Result<(String, String), IdentityError> {
        let mut params = params_valid(now, AUTHORITY_LIFE_DAYS);
        params
            .distinguished_name
            .push(DnType::CommonName, "cfx platform authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// PEM of the authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A new identity with a new key.
    pub fn issue(&self, role: Role, guid: Uuid, now: Timestamp) -> Result<Identity, IdentityError> {
        let key = KeyPair::generate()?;
        let certificate = identity_params(role, guid, now)?.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            authority: self.certificate.clone(),
        })
    }

    /// The certificate for a request whose key stays with the asker. Only the request's public
    /// key is used; the names are ours.
    pub fn sign(
        &self,
        request: &str,
        role: Role,
        guid: Uuid,
        now: Timestamp,
    ) -> Result<String, IdentityError> {
        let mut request = CertificateSigningRequestParams::from_pem(request)?;
        request.params = identity_params(role, guid, now)?;
        Ok(request.signed_by(&self.issuer)?.pem())
    }

    /// A server certificate for ordinary TLS clients, such as browsers on the apps domain.
    pub fn issue_server(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<Identity, IdentityError> {
        let key = KeyPair::generate()?;
        let mut params = params_valid(now, IDENTITY_LIFE_DAYS);
        params.subject_alt_names = CertificateParams::new(names.to_vec())?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            authority: self.certificate.clone(),
        })
    }
}

/// A key and the request to sign it: `(key, request)`, both PEM.
pub fn certificate_request() -> Result<(String, String), IdentityError> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?;
    Ok((key.serialize_pem(), request.pem()?))
}

/// The DNS name under which a role's certificate is checked.
#[must_use]
pub fn dns_name(role: Role) -> String {
    format!("{}.cfx.internal", role.as_str())
}

/// Read the identity out of a certificate that TLS has verified already.
pub fn peer_identity(certificate_der: &[u8]) -> Result<PeerIdentity, IdentityError> {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let foreign = |why: &str| IdentityError::Foreign(why.to_owned());
    let (_, certificate) =
        X509Certificate::from_der(certificate_der).map_err(|_| foreign("not X.509"))?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| foreign("broken names"))?
        .ok_or_else(|| foreign("no names"))?;
    let uri = names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix("cfx://"),
            _ => None,
        });
    let (role, guid) = uri
        .and_then(|uri| uri.split_once('/'))
        .ok_or_else(|| foreign("no cfx:// name"))?;
    let role = [Role::Controller, Role::Cell, Role::Router, Role::Autoscaler]
        .into_iter()
        .find(|known| known.as_str() == role)
        .ok_or_else(|| foreign("unknown role"))?;
    let guid = Uuid::try_parse(guid).map_err(|_| foreign("broken guid"))?;
    Ok(PeerIdentity { role, guid })
}

fn identity_params(
    role: Role,
    guid: Uuid,
    now: Timestamp,
) -> Result<CertificateParams, IdentityError> {
    let mut params = params_valid(now, IDENTITY_LIFE_DAYS);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("cfx {} {guid}", role.as_str()));
    params.subject_alt_names = vec![
        SanType::URI(format!("cfx://{}/{guid}", role.as_str()).try_into()?),
        SanType::DnsName(dns_name(role).try_into()?),
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

fn params_valid(now: Timestamp, days: i64) -> CertificateParams {
    const SKEW_S: i64 = 300;
    const DAY_S: i64 = 86_400;
    let mut params = CertificateParams::default();
    params.not_before = date(now.as_second() - SKEW_S);
    params.not_after = date(now.as_second() + days * DAY_S);
    params
}

fn date(second: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(second).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issued_certificate_names_its_role_and_guid_and_survives_a_reload() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = Timestamp::UNIX_EPOCH;
        let made = Authority::load_or_create(folder.path(), now).expect("made");
        let again = Authority::load_or_create(folder.path(), now).expect("loaded");
        assert_eq!(made.certificate(), again.certificate());
        let guid = Uuid::from_u128(42);
        let (_, request) = certificate_request().expect("a request");
        let pem = again.sign(&request, Role::Cell, guid, now).expect("signed");
        let der = crate::tls::chain(&pem).expect("PEM").remove(0);
        assert_eq!(
            peer_identity(&der).expect("ours"),
            PeerIdentity {
                role: Role::Cell,
                guid
            }
        );
    }
}
