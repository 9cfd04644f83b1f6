//! Measurements by PromQL: one range selector asks for all metrics of many apps.

use async_trait::async_trait;
use cfx_protocol::id::AppGuid;
use cfx_rules::units::milli_from_text;
use serde::Deserialize;

use super::{Question, Series, Source};
use crate::public_api::{Ask, CallError, FORM, PublicApi, form};

/// Apps of one query. Log-cache takes a thousand; fewer keep an answer small and let a slow one
/// hold up few.
const APPS_PER_QUERY: usize = 200;

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
        for apps in question.apps.chunks(APPS_PER_QUERY) {
            let query = query(question, apps);
            let at = question.until.to_string();
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

/// `{__name__=~"cpu|http_requests",source_id=~"GUID|GUID"}[5s]`.
fn query(question: &Question, apps: &[AppGuid]) -> String {
    let names: Vec<&str> = question.metrics.iter().map(String::as_str).collect();
    let guids: Vec<_> = apps.iter().map(ToString::to_string).collect();
    let seconds = (question.until - question.after).max(1);
    format!(
        "{{__name__=~\"{}\",source_id=~\"{}\"}}[{seconds}s]",
        names.join("|"),
        guids.join("|")
    )
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
            apps: vec![APP.parse().expect("a guid")],
            metrics: ["http_requests", "cpu"].map(str::to_owned).into(),
            after: 100,
            until: 105,
        }
    }

    #[test]
    fn one_query_asks_for_all_metrics_of_all_apps() {
        let question = question();
        assert_eq!(
            query(&question, &question.apps),
            format!("{{__name__=~\"cpu|http_requests\",source_id=~\"{APP}\"}}[5s]")
        );
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
