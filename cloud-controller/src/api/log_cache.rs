//! Log-cache: `/api/v1/{info,meta,read}`, as its clients and `cf logs` read it. Gauges are answered
//! to those who name them: `cf logs` asks for no type and must see lines only.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cfx_protocol::id::AppGuid;
use cfx_protocol::log_cache as wire;
use cfx_protocol::telemetry::{LogEnvelope, Stream};

use super::access::Scope;
use super::error::{Answer, ApiError, Code};
use super::permission::Action;
use super::query::Query;
use super::request::{Call, Visitor};
use super::response;
use crate::log_cache::Range;
use crate::metrics_history::{Gauges, SECONDS_KEPT, Series};
use crate::state::State;
use crate::state::app::App;
use crate::state::organization::Organization;
use crate::state::process::Process;
use crate::state::space::Space;

/// The version of log-cache's API: from 2.0.0 on, clients read under `/api/v1`.
const VERSION: &str = "3.0.0";
/// Envelopes of one answer, when the client does not say, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Who wrote the lines, as loggregator names it.
const ORIGIN: &str = "rep";
const NS_PER_S: i64 = 1_000_000_000;
/// Seconds of gauges that are looked at together.
const GAUGES_PIECE_S: i64 = 15;

pub(super) async fn info(visitor: Visitor) -> Answer {
    let uptime = visitor.context.clock.monotonic().as_secs();
    response::ok(wire::Info {
        version: VERSION.to_owned(),
        vm_uptime: uptime.to_string(),
    })
}

pub(super) async fn meta(call: Call) -> Answer {
    let (lines, numbers) = (&call.context.log_cache, &call.context.metrics);
    let mut apps = lines.apps();
    apps.extend(numbers.apps());
    apps.sort_unstable();
    apps.dedup();
    let kept = |app: AppGuid| {
        find(&call, app).ok()?;
        let lines = lines.kept(app);
        let numbers = numbers.kept(app);
        let ns = |seconds: i64| seconds.saturating_mul(NS_PER_S);
        let oldest = [
            lines.map(|it| it.oldest_ns),
            numbers.map(|it| ns(it.oldest)),
        ];
        let newest = [
            lines.map(|it| it.newest_ns),
            numbers.map(|it| ns(it.newest)),
        ];
        let count = lines.map_or(0, |it| it.count) + numbers.map_or(0, |it| it.count);
        let meta = wire::SourceMeta {
            count: count.to_string(),
            expired: lines.map_or(0, |it| it.expired).to_string(),
            oldest_timestamp: oldest.into_iter().flatten().min()?.to_string(),
            newest_timestamp: newest.into_iter().flatten().max()?.to_string(),
        };
        Some((app.to_string(), meta))
    };
    response::ok(wire::Meta {
        meta: apps.into_iter().filter_map(kept).collect(),
    })
}

pub(super) async fn read(call: Call, query: Query) -> Answer {
    let app = find(&call, call.guid_of("source_id"))?;
    let range = range(&query, call.context.clock.now_ns())?;
    let types = query
        .pairs
        .iter()
        .filter(|(key, _)| key == "envelope_types" || key == "envelope_type");
    let types: Vec<&str> = types.map(|(_, value)| value.as_str()).collect();
    let names = |kind: &str| types.iter().any(|it| [kind, "ANY"].contains(it));
    let tags = Tags::of(&call.state, &app);
    let mut batch = Vec::new();
    if types.is_empty() || names("LOG") {
        let lines = call.context.log_cache.read(app.guid, range);
        batch.extend(lines.iter().map(|line| present(&call.state, &tags, line)));
    }
    if names("GAUGE") {
        batch.extend(gauges(&call, app.guid, &range, &tags));
        let time = |envelope: &wire::Envelope| envelope.timestamp.parse::<i64>().unwrap_or(0);
        batch.sort_by_key(|envelope| match range.descending {
            true => time(envelope).saturating_neg(),
            false => time(envelope),
        });
        batch.truncate(range.limit);
    }
    response::ok(wire::ReadReply {
        envelopes: wire::Batch { batch },
    })
}

fn find(call: &Call, guid: AppGuid) -> Result<Arc<App>, ApiError> {
    let found = call.state.get::<App>(&guid);
    let seen = found.filter(|app| call.may(Action::AppRead, Scope::Space(app.space)));
    seen.cloned()
        .ok_or_else(|| ApiError::new(Code::ResourceNotFound, "App not found"))
}

fn range(query: &Query, now_ns: i64) -> Result<Range, ApiError> {
    let number = |key: &str, default: i64| match query.get(key).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text
            .parse::<i64>()
            .map_err(|_| ApiError::bad_query(format!("{key} must be a whole number"))),
    };
    let start_ns = number("start_time", 0)?;
    let end_ns = number("end_time", now_ns)?;
    if start_ns > end_ns {
        return Err(ApiError::bad_query("start_time must not be after end_time"));
    }
    let limit = number("limit", 0)?;
    if limit < 0 || limit > LIMIT_MAX as i64 {
        return Err(ApiError::bad_query(format!(
            "limit must be between 1 and {LIMIT_MAX}"
        )));
    }
    let limit = match usize::try_from(limit) {
        Ok(0) | Err(_) => LIMIT_DEFAULT,
        Ok(limit) => limit,
    };
    Ok(Range {
        start_ns,
        end_ns,
        limit,
        descending: query.flag("descending")?.unwrap_or(false),
    })
}

/// Names as they are now: a renamed app's old lines carry its new name.
struct Tags {
    fixed: BTreeMap<String, String>,
}

impl Tags {
    fn of(state: &State, app: &App) -> Self {
        let space = state.get::<Space>(&app.space);
        let organization = space.and_then(|space| state.get::<Organization>(&space.organization));
        let mut fixed = BTreeMap::from([
            ("app_id".to_owned(), app.guid.to_string()),
            ("app_name".to_owned(), app.name.clone()),
            ("origin".to_owned(), ORIGIN.to_owned()),
            ("space_id".to_owned(), app.space.to_string()),
        ]);
        if let Some(space) = space {
            fixed.insert("space_name".to_owned(), space.name.clone());
            fixed.insert("organization_id".to_owned(), space.organization.to_string());
        }
        if let Some(organization) = organization {
            fixed.insert("organization_name".to_owned(), organization.name.clone());
        }
        Self { fixed }
    }
}

fn present(state: &State, tags: &Tags, line: &LogEnvelope) -> wire::Envelope {
    let index = line.instance_index.to_string();
    let mut tags = tags.fixed.clone();
    tags.insert("source_type".to_owned(), line.source_type.clone());
    tags.insert("instance_id".to_owned(), index.clone());
    if let Some(guid) = line.process {
        tags.insert("process_id".to_owned(), guid.to_string());
        if let Some(process) = state.get::<Process>(&guid) {
            tags.insert("process_type".to_owned(), process.process_type.clone());
        }
    }
    if let Some(instance) = line.instance {
        tags.insert("process_instance_id".to_owned(), instance.to_string());
    }
    wire::Envelope {
        timestamp: line.timestamp_ns.to_string(),
        source_id: line.app.to_string(),
        instance_id: index,
        deprecated_tags: BTreeMap::new(),
        tags,
        log: Some(wire::Log {
            payload: BASE64_STANDARD.encode(&line.payload),
            kind: match line.stream {
                Stream::Out => "OUT",
                Stream::Err => "ERR",
            }
            .to_owned(),
        }),
        gauge: None,
    }
}

/// The gauges of a range, second by second, as many as were asked for.
fn gauges(call: &Call, app: AppGuid, range: &Range, tags: &Tags) -> Vec<wire::Envelope> {
    let now = call.context.clock.now().as_second();
    let oldest = now - SECONDS_KEPT;
    let (mut after, mut until) = (
        (range.start_ns - 1).div_euclid(NS_PER_S).max(oldest),
        (range.end_ns - 1).div_euclid(NS_PER_S).min(now),
    );
    let mut found = Vec::new();
    // Piece by piece: an app of thousands has more in ten minutes than anybody reads.
    while after < until && found.len() < range.limit {
        let piece = match range.descending {
            true => ((until - GAUGES_PIECE_S).max(after), until),
            false => (after, (after + GAUGES_PIECE_S).min(until)),
        };
        let mut gauges = call.context.metrics.gauges(app, piece);
        if range.descending {
            gauges.reverse();
            until = piece.0;
        } else {
            after = piece.1;
        }
        found.extend(gauges);
    }
    found.truncate(range.limit);
    found.iter().map(|it| present_gauges(tags, it)).collect()
}

fn present_gauges(tags: &Tags, gauges: &Gauges) -> wire::Envelope {
    let identity = &gauges.identity;
    let index = identity.index.to_string();
    let mut tags = tags.fixed.clone();
    for (tag, value) in [
        ("instance_id", index.clone()),
        ("process_id", identity.process.to_string()),
        ("process_type", identity.process_type.to_string()),
        ("process_instance_id", identity.instance.to_string()),
    ] {
        tags.insert(tag.to_owned(), value);
    }
    let metric = |(series, value): &(Series, f64)| {
        let value = wire::GaugeValue {
            unit: series.unit().to_owned(),
            value: *value,
        };
        (series.name().to_owned(), value)
    };
    wire::Envelope {
        timestamp: gauges.at.saturating_mul(NS_PER_S).to_string(),
        source_id: identity.app.to_string(),
        instance_id: index,
        deprecated_tags: BTreeMap::new(),
        tags,
        log: None,
        gauge: Some(wire::Gauge {
            metrics: gauges.values.iter().map(metric).collect(),
        }),
    }
}
