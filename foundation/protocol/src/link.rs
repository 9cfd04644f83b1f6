//! The internal links: paths, limits and rhythms that both ends must agree on.
//!
//! Every internal link is HTTP + JSON / NDJSON over mutual TLS, readable with curl and a
//! certificate. The peer's certificate names its role and its guid (`process::identity`); a cell
//! may speak only for itself.

/// Prefix of every internal endpoint.
pub const PREFIX: &str = "/internal/v1";

/// Time between keepalive frames on a stream, and between reports, milliseconds.
pub const RHYTHM_MS: u64 = 1_000;
/// A stream with no frame for this long is dead: dial again, milliseconds.
pub const STREAM_SILENCE_MAX_MS: u64 = 3_500;
/// Longest line of a stream, bytes.
pub const FRAME_MAX_BYTES: usize = 64 * 1024 * 1024;
/// A cell silent for this long is suspect: nothing new is placed on it, milliseconds.
pub const CELL_SUSPECT_MS: u64 = 3_000;
/// A cell silent for this long is lost: its instances are replaced, milliseconds.
pub const CELL_LOST_MS: u64 = 5_000;

/// Header of an upload: the hexadecimal digest of its body.
pub const SHA256_HEADER: &str = "x-cfx-sha256";

// Cell to controller. `{}` is the guid.
//   POST {PREFIX}/cells                      CellRegistration -> 200
//   GET  {PREFIX}/cells/{}/desired           NDJSON of DesiredFrame
//   POST {PREFIX}/cells/{}/report            CellReport -> ReportReply
//   POST {PREFIX}/logs                       NDJSON of LogEnvelope -> 204
//   POST {PREFIX}/metrics                    MetricsBatch -> 204
//   GET  {PREFIX}/packages/{}                zip
//   GET  {PREFIX}/droplets/{}                tar.gz
//   PUT  {PREFIX}/droplets/{}                tar.gz, from the cell that stages it; SHA256_HEADER
//   GET  {PREFIX}/buildpacks/{}              zip
//   GET  {PREFIX}/build_caches/{app}/{stack} tar.gz or 404
//   PUT  {PREFIX}/build_caches/{app}/{stack} tar.gz; SHA256_HEADER
// Router to controller.
//   GET  {PREFIX}/routes                     NDJSON of RouteFrame
//   POST {PREFIX}/routers/{}/ack             TableAck -> 204
//   POST {PREFIX}/logs                       as above, source type RTR
//   POST {PREFIX}/metrics                    as above, once a second
// Joining, authenticated by a one-time token instead of a certificate.
//   POST {PREFIX}/join                       JoinRequest -> JoinReply

use serde::{Deserialize, Serialize};

/// A new cell or router asks for its certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinRequest {
    /// One-time token that an operator made with `cfx cells join-token`.
    pub token: String,
    pub role: Role,
    pub name: String,
    /// PKCS#10 request, PEM. The private key never travels.
    pub certificate_request: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinReply {
    pub guid: uuid::Uuid,
    /// PEM.
    pub certificate: String,
    /// PEM of the platform's certificate authority.
    pub authority: String,
}

/// What a process of the platform may do, named in its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Controller,
    Cell,
    Router,
    Autoscaler,
}

impl Role {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Cell => "cell",
            Self::Router => "router",
            Self::Autoscaler => "autoscaler",
        }
    }
}
