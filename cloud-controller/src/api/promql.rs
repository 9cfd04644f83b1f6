//! Log-cache's PromQL: `/api/v1/query` and `/api/v1/query_range`, by GET, or by POST with a form
//! for long queries. Answers and refusals have Prometheus's form.
//!
//! Callers see the series of apps that they may read; others are silently absent.

use axum::Json;
use axum::body::Bytes;
use axum::response::IntoResponse;
use cfx_protocol::id::AppGuid;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Number, Value as JsonValue, json};
use url::form_urlencoded;

use super::access::Scope;
use super::error::{Answer, ApiError};
use super::permission::Action;
use super::query::Query as UrlQuery;
use super::request::Call;
use crate::metrics_history::{Found, Identity, MetricsHistory, Series};
use crate::promql::{
    self, DURATION_MAX_MS, Error, Labels, Matcher, Point, SAMPLES_MAX, Selector, Source, Stream,
    Value,
};
use crate::state::app::App;

/// Apps that one query may name.
pub(super) const IDS_MAX: usize = 1_000;
/// The label that names the app.
const SOURCE_ID: &str = "source_id";
const MS_PER_S: i64 = 1_000;

pub(super) async fn query(call: Call, query: UrlQuery, body: Bytes) -> Answer {
    let parameters = Parameters::of(query, &body);
    answer(&call, parameters, async |call, parameters| {
        let query = promql::parse(parameters.get("query")?)?;
        let at = match parameters.find("time") {
            Some(text) => time("time", text)?,
            None => call.context.clock.now().as_millisecond(),
        };
        let source = sees(call, query.selectors())?;
        run(move || promql::instant(&query, &source, at)).await
    })
    .await
}

pub(super) async fn query_range(call: Call, query: UrlQuery, body: Bytes) -> Answer {
    let parameters = Parameters::of(query, &body);
    answer(&call, parameters, async |call, parameters| {
        let query = promql::parse(parameters.get("query")?)?;
        let start = time("start", parameters.get("start")?)?;
        let end = time("end", parameters.get("end")?)?;
        let step = step(parameters.get("step")?)?;
        let source = sees(call, query.selectors())?;
        run(move || promql::range(&query, &source, (start, end), step)).await
    })
    .await
}

/// Off the threads that serve: a large query may take a second.
async fn run(
    evaluate: impl FnOnce() -> Result<Value, Error> + Send + 'static,
) -> Result<Value, Failed> {
    let done = tokio::task::spawn_blocking(evaluate).await;
    Ok(done.map_err(ApiError::internal)??)
}

/// Prometheus's refusal, or one of ours.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Query(#[from] Error),
    #[error(transparent)]
    Api(#[from] ApiError),
}

async fn answer(
    call: &Call,
    parameters: Parameters,
    evaluate: impl AsyncFnOnce(&Call, &Parameters) -> Result<Value, Failed>,
) -> Answer {
    match evaluate(call, &parameters).await {
        Ok(value) => {
            let body = json!({"status": "success", "data": present(value)});
            Ok(Json(body).into_response())
        }
        Err(Failed::Query(error)) => {
            let body = json!({
                "status": "error",
                "errorType": "bad_data",
                "error": error.to_string(),
            });
            Ok((StatusCode::BAD_REQUEST, Json(body)).into_response())
        }
        Err(Failed::Api(error)) => Err(error),
    }
}

/// Of the URL, then of the form.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(query: UrlQuery, body: &Bytes) -> Self {
        let mut pairs = query.pairs;
        pairs.extend(form_urlencoded::parse(body).into_owned());
        Self(pairs)
    }

    fn find(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(key, _)| key == name);
        let (_, value) = named.next()?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn get(&self, name: &str) -> Result<&str, Error> {
        self.find(name)
            .ok_or_else(|| Error::Meaning(format!("the parameter {name} is missing")))
    }
}

/// Seconds since 1970, or RFC 3339; as milliseconds.
fn time(name: &str, text: &str) -> Result<i64, Error> {
    let at = match text.parse::<f64>() {
        Ok(seconds) => milliseconds(seconds),
        Err(_) => text
            .parse::<Timestamp>()
            .ok()
            .map(Timestamp::as_millisecond),
    };
    at.ok_or_else(|| {
        Error::Meaning(format!(
            "{name} must be seconds since 1970 or a time such as 2026-01-31T12:00:00Z"
        ))
    })
}

/// Seconds, or a duration such as `15s`; as milliseconds.
fn step(text: &str) -> Result<i64, Error> {
    let step = match text.parse::<f64>() {
        Ok(seconds) => milliseconds(seconds),
        Err(_) => promql::duration(text),
    };
    step.filter(|ms| (1..=DURATION_MAX_MS).contains(ms))
        .ok_or_else(|| Error::Meaning("step must be seconds or a duration such as 15s".to_owned()))
}

/// None for what no clock can show.
fn milliseconds(seconds: f64) -> Option<i64> {
    const LATEST_S: f64 = 253_402_207_200.0;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "between the years 1 and 9999"
    )]
    let ms = (seconds * 1_000.0).round() as i64;
    (seconds.abs() <= LATEST_S).then_some(ms)
}

/// What the caller may see of the apps that the query names.
fn sees(call: &Call, selectors: &[Selector]) -> Result<Apps, Error> {
    let sees_all = call.access.reads_everything();
    let mut ids = std::collections::BTreeSet::new();
    let mut all = selectors.is_empty();
    for selector in selectors {
        let of_apps = |matcher: &&Matcher| matcher.label == SOURCE_ID;
        let named = selector.matchers.iter().filter(of_apps);
        let named: Vec<_> = named.filter_map(Matcher::values).collect();
        match named.first() {
            Some(values) => ids.extend(values.iter().cloned()),
            None if sees_all => all = true,
            None => {
                let message =
                    "name the apps: add {source_id=\"GUID\"} or {source_id=~\"GUID|GUID\"}";
                return Err(Error::Meaning(message.to_owned()));
            }
        }
    }
    if ids.len() > IDS_MAX {
        return Err(Error::TooMuch {
            what: format!("the query names {} apps, and may name {IDS_MAX}", ids.len()),
            advice: "send several queries",
        });
    }
    let visible = |text: &String| {
        let guid: AppGuid = text.parse().ok()?;
        let app = call.state.get::<App>(&guid)?;
        call.may(Action::AppRead, Scope::Space(app.space))
            .then_some(guid)
    };
    Ok(Apps {
        history: call.context.metrics.clone(),
        visible: ids.iter().filter_map(visible).collect(),
        all,
    })
}

/// The series of some apps.
struct Apps {
    history: MetricsHistory,
    visible: Vec<AppGuid>,
    /// Of apps that the query does not name, too.
    all: bool,
}

impl Source for Apps {
    fn load(
        &self,
        selector: &Selector,
        after_ms: i64,
        until_ms: i64,
    ) -> Result<Vec<Stream>, Error> {
        let matchers = &selector.matchers;
        let wanted = |identity: &Identity, series: Series| fits(matchers, identity, series);
        let names_apps = matchers
            .iter()
            .any(|it| it.label == SOURCE_ID && it.values().is_some());
        let apps = (names_apps || !self.all).then_some(self.visible.as_slice());
        let mut room = SAMPLES_MAX;
        let time = (after_ms.div_euclid(MS_PER_S), until_ms.div_euclid(MS_PER_S));
        let found = self.history.select(apps, wanted, time, &mut room);
        let found = found.map_err(|_| Error::too_many_samples())?;
        Ok(found.into_iter().map(stream).collect())
    }
}

/// What each label of a series is.
fn label(name: &str, identity: &Identity, series: Series) -> String {
    match name {
        "__name__" => series.name().to_owned(),
        SOURCE_ID => identity.app.to_string(),
        "process_id" => identity.process.to_string(),
        "process_type" => identity.process_type.to_string(),
        "instance_id" => identity.index.to_string(),
        "process_instance_id" => identity.instance.to_string(),
        _ => String::new(),
    }
}

const LABELS: [&str; 6] = [
    "__name__",
    SOURCE_ID,
    "process_id",
    "process_type",
    "instance_id",
    "process_instance_id",
];

/// The name first: it rules out most, and costs least.
fn fits(matchers: &[Matcher], identity: &Identity, series: Series) -> bool {
    let named = |matcher: &Matcher| matcher.label == "__name__";
    let by_name = matchers.iter().filter(|it| named(it));
    let by_rest = matchers.iter().filter(|it| !named(it));
    by_name.clone().all(|it| it.admits(series.name()))
        && by_rest
            .clone()
            .all(|it| it.admits(&label(&it.label, identity, series)))
}

fn stream(found: Found) -> Stream {
    let labels = LABELS.map(|name| (name.to_owned(), label(name, &found.identity, found.series)));
    let points = found.samples.iter().map(|sample| Point {
        at_ms: sample.at * MS_PER_S,
        width_ms: sample.width * MS_PER_S,
        count: sample.count,
        sum: sample.sum,
        min: sample.min,
        max: sample.max,
    });
    Stream {
        points: points.collect(),
        labels: labels.into(),
    }
}

fn present(value: Value) -> JsonValue {
    match value {
        Value::Scalar(at, value) => json!({"resultType": "scalar", "result": pair(at, value)}),
        Value::Vector(at, values) => {
            let each =
                |(labels, value)| json!({"metric": metric(labels), "value": pair(at, value)});
            let result: Vec<_> = values.into_iter().map(each).collect();
            json!({"resultType": "vector", "result": result})
        }
        Value::Matrix(series) => {
            let each = |(labels, values): (Labels, Vec<(i64, f64)>)| {
                let values: Vec<_> = values.into_iter().map(|(at, it)| pair(at, it)).collect();
                json!({"metric": metric(labels), "values": values})
            };
            let result: Vec<_> = series.into_iter().map(each).collect();
            json!({"resultType": "matrix", "result": result})
        }
    }
}

fn metric(labels: Labels) -> JsonValue {
    let labels = labels.into_iter().map(|(name, value)| (name, value.into()));
    JsonValue::Object(labels.collect::<Map<_, _>>())
}

/// A moment in seconds, and a value as text.
fn pair(at_ms: i64, value: f64) -> JsonValue {
    let whole = Number::from(at_ms / MS_PER_S);
    #[allow(clippy::cast_precision_loss, reason = "times are below 2^52")]
    let at = match at_ms % MS_PER_S {
        0 => whole,
        _ => Number::from_f64(at_ms as f64 / 1_000.0).unwrap_or(whole),
    };
    let value = match value {
        value if value == f64::INFINITY => "+Inf".to_owned(),
        value if value == f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    };
    json!([at, value])
}
