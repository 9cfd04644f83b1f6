//! Reading an app's logs from log-cache: the recent ones, and then new ones as they come.

use std::collections::{HashSet, VecDeque};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, Method};
use serde::Deserialize;

use super::error::{ApiError, ClientError};
use super::{Api, parse};

/// Lines that log-cache gives at once.
const BATCH_MAX: usize = 1_000;
/// How far back a follower looks again for lines that arrived late, nanoseconds.
const LATE_NS: i64 = 2_000_000_000;
/// Lines remembered so that none is shown twice; more than two seconds of a busy app hold.
const SEEN_MAX: usize = 20_000;
/// Batches read in one look, so that a torrent of logs cannot keep a command forever.
const BATCHES_PER_LOOK: usize = 10;

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) timestamp_ns: i64,
    pub(crate) source_type: String,
    pub(crate) instance: String,
    pub(crate) is_error: bool,
    pub(crate) text: String,
}

#[derive(Deserialize, Default)]
struct Read {
    #[serde(default)]
    envelopes: Batch,
}

#[derive(Deserialize, Default)]
struct Batch {
    #[serde(default)]
    batch: Vec<Envelope>,
}

#[derive(Deserialize)]
struct Envelope {
    timestamp: String,
    #[serde(default)]
    instance_id: String,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    log: Option<Log>,
}

#[derive(Deserialize, Default)]
struct Tags {
    #[serde(default)]
    source_type: String,
    #[serde(default)]
    instance_id: Option<String>,
}

#[derive(Deserialize)]
struct Log {
    #[serde(default)]
    payload: String,
    #[serde(default, rename = "type")]
    kind: String,
}

impl Envelope {
    fn line(self) -> Option<LogLine> {
        let log = self.log?;
        let payload = BASE64_STANDARD.decode(&log.payload).ok()?;
        Some(LogLine {
            timestamp_ns: self.timestamp.parse().ok()?,
            source_type: self.tags.source_type,
            instance: self.tags.instance_id.unwrap_or(self.instance_id),
            is_error: log.kind == "ERR",
            text: String::from_utf8_lossy(&payload).into_owned(),
        })
    }
}

impl Api {
    /// The newest lines, oldest of them first.
    pub(crate) async fn recent_logs(&self, app: &str) -> Result<Vec<LogLine>, ClientError> {
        let mut lines = self.read_logs(app, i64::MIN / 2, true).await?;
        lines.reverse();
        Ok(lines)
    }

    async fn read_logs(
        &self,
        app: &str,
        start_ns: i64,
        newest_first: bool,
    ) -> Result<Vec<LogLine>, ClientError> {
        let Some(origin) = &self.target().log_cache else {
            return Ok(Vec::new());
        };
        let descending = if newest_first { "&descending=true" } else { "" };
        let url = format!(
            "{origin}/api/v1/read/{app}?start_time={start_ns}&envelope_types=LOG&limit={BATCH_MAX}{descending}"
        );
        let answer = self
            .authorised(
                Method::GET,
                url.clone(),
                HeaderMap::new(),
                bytes::Bytes::new(),
            )
            .await?;
        if !answer.status.is_success() {
            return Err(ClientError::Api(ApiError::read(
                answer.status,
                &answer.body,
            )));
        }
        let read: Read = parse(&url, &answer.body)?;
        Ok(read
            .envelopes
            .batch
            .into_iter()
            .filter_map(Envelope::line)
            .collect())
    }
}

/// Follows an app's log: each look gives the lines that came since the last.
#[derive(Debug)]
pub(crate) struct LogCursor {
    app: String,
    /// Newest line seen, or where to start.
    newest_ns: i64,
    /// Nothing before this is shown.
    from_ns: i64,
    seen: HashSet<(i64, u64)>,
    order: VecDeque<(i64, u64)>,
}

impl LogCursor {
    /// From this moment on.
    pub(crate) fn starting_at(app: &str, from_ns: i64) -> Self {
        Self {
            app: app.to_owned(),
            newest_ns: from_ns,
            from_ns,
            seen: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// From the last lines on: `lines` were shown already.
    pub(crate) fn after(app: &str, lines: &[LogLine], now_ns: i64) -> Self {
        let newest = lines.iter().map(|line| line.timestamp_ns).max();
        let mut cursor = Self::starting_at(app, newest.unwrap_or(now_ns));
        for line in lines {
            cursor.is_new(line);
        }
        cursor
    }

    /// The lines that came since the last look, in order.
    pub(crate) async fn look(&mut self, api: &Api) -> Result<Vec<LogLine>, ClientError> {
        let mut fresh = Vec::new();
        for _ in 0..BATCHES_PER_LOOK {
            let start = self.newest_ns.saturating_sub(LATE_NS).max(self.from_ns);
            let lines = api.read_logs(&self.app, start, false).await?;
            let full = lines.len() >= BATCH_MAX;
            let before = self.newest_ns;
            fresh.extend(lines.into_iter().filter(|line| self.is_new(line)));
            // A full window of old lines only: step over it, or it would be read for ever.
            if full && self.newest_ns == before {
                self.newest_ns = before.saturating_add(LATE_NS);
            }
            if !full {
                break;
            }
        }
        fresh.sort_by_key(|line| line.timestamp_ns);
        Ok(fresh)
    }

    fn is_new(&mut self, line: &LogLine) -> bool {
        let key = (line.timestamp_ns, fingerprint(line));
        if !self.seen.insert(key) {
            return false;
        }
        self.newest_ns = self.newest_ns.max(line.timestamp_ns);
        self.order.push_back(key);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

fn fingerprint(line: &LogLine) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (&line.source_type, &line.instance, &line.text, line.is_error).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(timestamp_ns: i64, text: &str) -> LogLine {
        LogLine {
            timestamp_ns,
            source_type: "APP/PROC/WEB".into(),
            instance: "0".into(),
            is_error: false,
            text: text.into(),
        }
    }

    #[test]
    fn a_line_is_shown_once_and_a_late_one_still_is() {
        let mut cursor = LogCursor::starting_at("app", 0);
        assert!(cursor.is_new(&line(10, "a")));
        assert!(!cursor.is_new(&line(10, "a")));
        assert!(cursor.is_new(&line(10, "b")));
        assert!(cursor.is_new(&line(9, "late")));
        assert_eq!(cursor.newest_ns, 10);
    }

    #[test]
    fn the_memory_of_seen_lines_is_bounded() {
        let mut cursor = LogCursor::starting_at("app", 0);
        for n in 0..SEEN_MAX as i64 + 100 {
            cursor.is_new(&line(n, "x"));
        }
        assert_eq!(cursor.seen.len(), SEEN_MAX);
    }

    #[test]
    fn an_envelope_without_a_log_or_with_a_broken_payload_is_left_out() {
        let body = r#"{"envelopes":{"batch":[
            {"timestamp":"5","source_id":"x","instance_id":"0","tags":{"source_type":"STG"},"log":{"payload":"aGk=","type":"OUT"}},
            {"timestamp":"6","tags":{}},
            {"timestamp":"7","log":{"payload":"*"}}]}}"#;
        let read: Read = serde_json::from_str(body).expect("a batch");
        let lines: Vec<LogLine> = read
            .envelopes
            .batch
            .into_iter()
            .filter_map(Envelope::line)
            .collect();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].text, "hi");
    }
}
