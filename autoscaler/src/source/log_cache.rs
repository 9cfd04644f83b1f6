//! Measurements by PromQL: one range selector asks for all metrics of many apps.

use async_trait::async_trait;
use cfx_protocol::id::AppGuid;
use cfx_rules::units::{Second, milli_from_text};
use serde::Deserialize;

use super::{Question, Series, Source};
use crate::public_api::{Ask, CallError, FORM, PublicApi, form};

/// Apps of one query. Log-cache takes a thousand; fewer keep an answer small and let a slow one
/// hold up few.
const APPS_PER_QUERY: usize = 200;
/// Samples that one query may read: half of what log-cache admits.
const SAMPLES_PER_QUERY: i64 = 500_000;

/// Log-cache of the platform.
#[derive(Debug, Clone)]
pub struct LogCache(PublicApi);

impl LogCache {
    #[must_use]
    pub fn new(api: PublicApi) -> Self {
        Self(api)
    }
}

#[async_trait]
impl Source for LogCache {
    async fn read(&self, question: &Question) -> Result<Vec<Series>, CallError> {
        let mut found = Vec::new();
        for piece in pieces(question) {
            let query = piece.query(question);
            let at = piece.until.to_string();
            let ask = Ask::post(
                "/api/v1/query",
                FORM,
                form(&[("query", &query), ("time", &at)]),
            );
            let answer: Answer = self.0.log_cache(ask).await?.json("the PromQL query")?;
            let series = answer.data.result.into_iter();
            found.extend(series.filter_map(|one| one.understood(question)));
        }
        Ok(found)
    }
}

/// What one query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    apps: Vec<AppGuid>,
    after: Second,
    until: Second,
}

/// Few apps at a time, and of large ones few seconds at a time.
fn pieces(question: &Question) -> Vec<Piece> {
    let metrics = i64::try_from(question.metrics.len()).unwrap_or(1).max(1);
    let span = (question.until - question.after).max(1);
    let mut pieces = Vec::new();
    let mut rest = question.apps.as_slice();
    while !rest.is_empty() {
        let (mut taken, mut instances) = (0, 0);
        for (_, count) in rest.iter().take(APPS_PER_QUERY) {
            let more = instances + i64::from(*count).max(1);
            if taken > 0 && more.saturating_mul(metrics * span) > SAMPLES_PER_QUERY {
                break;
            }
            (taken, instances) = (taken + 1, more);
        }
        let (now, later) = rest.split_at(taken);
        rest = later;
        let apps: Vec<_> = now.iter().map(|(app, _)| *app).collect();
        let seconds = (SAMPLES_PER_QUERY / instances.saturating_mul(metrics)).max(1);
        let mut after = question.after;
        while after < question.until {
            let until = (after + seconds).min(question.until);
            pieces.push(Piece {
                apps: apps.clone(),
                after,
                until,
            });
            after = until;
        }
    }
    pieces
}

impl Piece {
    /// `{__name__=~"cpu|http_requests",source_id=~"GUID|GUID"}[5s]`.
    fn query(&self, question: &Question) -> String {
        let names: Vec<&str> = question.metrics.iter().map(String::as_str).collect();
        let guids: Vec<_> = self.apps.iter().map(ToString::to_string).collect();
        format!(
            "{{__name__=~\"{}\",source_id=~\"{}\"}}[{}s]",
            names.join("|"),
            guids.join("|"),
            self.until - self.after
        )
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    result: Vec<Matrix>,
}

/// One series of a range query.
#[derive(Debug, Deserialize)]
struct Matrix {
    metric: Labels,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

#[derive(Debug, Deserialize)]
struct Labels {
    #[serde(rename = "__name__")]
    name: String,
    source_id: AppGuid,
    #[serde(default)]
    instance_id: String,
    #[serde(default)]
    process_type: String,
}

impl Matrix {
    /// None for what is not of a web instance: it is no evidence.
    fn understood(self, question: &Question) -> Option<Series> {
        let labels = self.metric;
        if !labels.process_type.is_empty() && labels.process_type != "web" {
            return None;
        }
        let wanted = |at: &i64| *at > question.after && *at <= question.until;
        let point = |(at, value): (f64, String)| {
            // Whole seconds fit.
            #[allow(
                clippy::cast_possible_truncation,
                reason = "bucket ends are whole seconds"
            )]
            let at = at as i64;
            let value = milli_from_text(&value)?;
            wanted(&at).then_some((at, value))
        };
        Some(Series {
            app: labels.source_id,
            metric: labels.name,
            index: labels.instance_id.parse().ok()?,
            points: self.values.into_iter().filter_map(point).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "6f1f33a4-5a04-4d9c-b9b2-b6a3a7c0a001";

    fn question() -> Question {
        Question {
            apps: vec![(APP.parse().expect("a guid"), 5)],
            metrics: ["http_requests", "cpu"].map(str::to_owned).into(),
            after: 100,
            until: 105,
        }
    }

    #[test]
    fn one_query_asks_for_all_metrics_of_all_apps() {
        let question = question();
        let pieces = pieces(&question);
        assert_eq!(pieces.len(), 1);
        assert_eq!(
            pieces[0].query(&question),
            format!("{{__name__=~\"cpu|http_requests\",source_id=~\"{APP}\"}}[5s]")
        );
    }

    #[test]
    fn many_apps_and_large_ones_are_asked_about_in_pieces_without_a_gap() {
        let app = question().apps[0].0;
        let many = Question {
            apps: vec![(app, 5); 450],
            ..question()
        };
        assert_eq!(pieces(&many).len(), 3, "two hundred at a time");
        let large = Question {
            apps: vec![(app, 10), (app, 5_000), (app, 10)],
            after: 0,
            until: 600,
            ..question()
        };
        let pieces = pieces(&large);
        assert!(
            pieces.iter().all(|it| it.apps.len() == 1),
            "{}",
            pieces.len()
        );
        let middle: Vec<_> = pieces[1..pieces.len() - 1].iter().collect();
        assert_eq!((middle[0].after, middle[middle.len() - 1].until), (0, 600));
        assert!(middle.windows(2).all(|it| it[0].until == it[1].after));
        assert!(middle.iter().all(|it| it.until - it.after <= 50));
    }

    #[test]
    fn only_points_of_web_instances_inside_the_window_are_taken() {
        let read = |process_type: &str, index: &str| {
            let text = format!(
                r#"{{"metric":{{"__name__":"cpu","source_id":"{APP}","instance_id":"{index}",
                "process_instance_id":"x","process_type":"{process_type}"}},
                "values":[[100,"1"],[101,"2.5"],[104.0,"NaN"],[105,"3"],[106,"4"]]}}"#
            );
            let series: Matrix = serde_json::from_str(&text).expect("a series");
            series.understood(&question())
        };
        let series = read("web", "3").expect("is of web");
        assert_eq!(series.index, 3);
        assert_eq!(series.points, [(101, 2_500), (105, 3_000)]);
        assert_eq!(read("worker", "3"), None);
        assert_eq!(read("web", "third"), None);
    }
}
