//! The text of a record, in gorouter's format.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use http::{HeaderValue, Version};

use super::AccessRecord;

/// Bytes of a header value that a line shows.
const VALUE_MAX_BYTES: usize = 1_000;
/// Bytes of a request target that a line shows.
const TARGET_MAX_BYTES: usize = 20_000;

impl Display for AccessRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_ref().and_then(|host| host.to_str().ok());
        write!(f, "{} - [", host.filter(|h| !h.is_empty()).unwrap_or("-"))?;
        write!(f, "{:.9}] \"{} ", self.started_at, self.method)?;
        let target = self.uri.path_and_query().map_or("/", |path| path.as_str());
        escape(f, target.as_bytes(), TARGET_MAX_BYTES)?;
        let (version, status) = (version(self.version), self.status);
        write!(
            f,
            " {version}\" {status} {} {}",
            self.bytes_in, self.bytes_out
        )?;
        f.write_char(' ')?;
        quoted(f, self.referer.as_ref())?;
        f.write_char(' ')?;
        quoted(f, self.user_agent.as_ref())?;
        write!(f, " \"{}\" ", self.client)?;
        self.write_endpoint_address(f)?;
        f.write_str(" x_forwarded_for:")?;
        quoted(f, self.forwarded_for.as_ref())?;
        f.write_str(" x_forwarded_proto:")?;
        quoted(f, self.forwarded_proto.as_ref())?;
        f.write_str(" vcap_request_id:")?;
        quoted(f, self.request_id.as_ref())?;
        self.write_times(f)?;
        self.write_endpoint(f)?;
        if self.failed_attempts > 0 {
            write!(f, " failed_attempts:{}", self.failed_attempts)?;
            let took = self.failed_attempts_took.as_secs_f64();
            write!(f, " failed_attempts_time:{took:.6}")?;
        }
        f.write_str(" x_cf_routererror:")?;
        quoted(f, self.router_error.as_ref())
    }
}

impl AccessRecord {
    fn write_endpoint_address(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Some(endpoint) => write!(f, "\"{}\"", endpoint.address),
            None => f.write_str("\"-\""),
        }
    }

    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.took.saturating_sub(self.upstream_took);
        write!(f, " response_time:{:.6}", self.took.as_secs_f64())?;
        write!(f, " gorouter_time:{:.6}", own.as_secs_f64())
    }

    fn write_endpoint(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(endpoint) = &self.endpoint else {
            return f.write_str(" app_id:\"-\" app_index:\"-\" instance_id:\"-\"");
        };
        let (app, index, instance) = (endpoint.app, endpoint.index, endpoint.instance);
        write!(
            f,
            " app_id:\"{app}\" app_index:\"{index}\" instance_id:\"{instance}\""
        )?;
        if self.upstream_took > Duration::ZERO {
            write!(f, " backend_time:{:.6}", self.upstream_took.as_secs_f64())?;
        }
        Ok(())
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// What is missing shows as `"-"`.
fn quoted(f: &mut fmt::Formatter<'_>, value: Option<&HeaderValue>) -> fmt::Result {
    let value = value.map(HeaderValue::as_bytes).filter(|v| !v.is_empty());
    f.write_char('"')?;
    escape(f, value.unwrap_or(b"-"), VALUE_MAX_BYTES)?;
    f.write_char('"')
}

/// A client must not be able to forge a field: quotes, backslashes and other than printable
/// ASCII are escaped.
fn escape(f: &mut fmt::Formatter<'_>, bytes: &[u8], max: usize) -> fmt::Result {
    for byte in bytes.iter().take(max) {
        match byte {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            0x20..=0x7e => f.write_char(char::from(*byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use cfx_protocol::id::{AppGuid, InstanceGuid, ProcessGuid};
    use cfx_protocol::route::{Endpoint, EndpointProtocol};
    use http::{Method, Uri};
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;

    fn record() -> AccessRecord {
        AccessRecord {
            started_at: Timestamp::from_nanosecond(1_784_102_400_123_456_789).expect("in range"),
            host: Some(HeaderValue::from_static("shop.apps.localhost")),
            method: Method::GET,
            uri: Uri::from_static("/item?id=7"),
            version: Version::HTTP_11,
            status: 200,
            bytes_in: 3,
            bytes_out: 1_024,
            referer: None,
            user_agent: Some(HeaderValue::from_static("curl/8 \"x\"")),
            client: SocketAddr::from(([127, 0, 0, 1], 40_000)),
            endpoint: Some(Endpoint {
                address: SocketAddr::from(([10, 0, 0, 2], 8_080)),
                protocol: EndpointProtocol::Http1,
                app: AppGuid(Uuid::from_u128(1)),
                process: ProcessGuid(Uuid::from_u128(2)),
                instance: InstanceGuid(Uuid::from_u128(3)),
                index: 4,
            }),
            forwarded_for: Some(HeaderValue::from_static("127.0.0.1")),
            forwarded_proto: Some(HeaderValue::from_static("http")),
            request_id: Some(HeaderValue::from_static("r")),
            took: Duration::from_micros(2_500),
            upstream_took: Duration::from_micros(2_000),
            failed_attempts: 0,
            failed_attempts_took: Duration::ZERO,
            router_error: None,
        }
    }

    #[test]
    fn a_line_has_every_field_in_its_place() {
        assert_eq!(
            record().to_string(),
            "shop.apps.localhost - [2026-07-15T08:00:00.123456789Z] \"GET /item?id=7 HTTP/1.1\" \
             200 3 1024 \"-\" \"curl/8 \\\"x\\\"\" \"127.0.0.1:40000\" \"10.0.0.2:8080\" \
             x_forwarded_for:\"127.0.0.1\" x_forwarded_proto:\"http\" vcap_request_id:\"r\" \
             response_time:0.002500 gorouter_time:0.000500 \
             app_id:\"00000000-0000-0000-0000-000000000001\" app_index:\"4\" \
             instance_id:\"00000000-0000-0000-0000-000000000003\" backend_time:0.002000 \
             x_cf_routererror:\"-\""
        );
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        let mut record = record();
        record.endpoint = None;
        record.failed_attempts = 2;
        record.router_error = Some(HeaderValue::from_static("unknown_route"));
        let line = record.to_string();
        assert!(
            line.contains("\"127.0.0.1:40000\" \"-\" x_forwarded_for"),
            "{line}"
        );
        assert!(line.contains("app_id:\"-\" app_index:\"-\" instance_id:\"-\" failed_attempts:2"));
        assert!(
            line.ends_with("x_cf_routererror:\"unknown_route\""),
            "{line}"
        );
    }
}
