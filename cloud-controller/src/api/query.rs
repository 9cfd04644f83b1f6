//! The query of a request: comma lists, ranges of time, labels. Unknown keys are ignored, as
//! older and newer clients send some that change nothing here.

use axum::extract::FromRequestParts;
use http::request::Parts;
use jiff::Timestamp;
use url::form_urlencoded;

use super::error::ApiError;
use super::label_selector::Selector;
use crate::state::meta::Meta;

/// Values of one comma list: more than any CLI sends in a URL.
const LIST_MAX: usize = 10_000;

/// A request's path and query, decoded once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(super) path: String,
    pub(super) pairs: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let text = parts.uri.query().unwrap_or_default();
        Ok(Self {
            path: parts.uri.path().to_owned(),
            pairs: form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        })
    }
}

/// Which values a list asks for. Absent admits all; present but empty asks for the empty value.
#[derive(Debug, Clone)]
pub(crate) struct Filter(Option<Vec<String>>);

impl Filter {
    pub(crate) fn admits(&self, value: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|wanted| wanted.iter().any(|one| one == value))
    }

    /// For values that are compared by how they print: guids, numbers.
    pub(crate) fn admits_any<T: ToString>(&self, values: impl IntoIterator<Item = T>) -> bool {
        match &self.0 {
            None => true,
            Some(wanted) => values
                .into_iter()
                .any(|value| wanted.contains(&value.to_string())),
        }
    }

    pub(crate) fn admits_guid(&self, guid: impl ToString) -> bool {
        self.admits_any([guid.to_string()])
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn values(&self) -> &[String] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Query {
    /// The last value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let mut found = self.pairs.iter().rev().filter(|(name, _)| name == key);
        found.next().map(|(_, value)| value.as_str())
    }

    /// A comma list. A comma inside a value travels as `%2C` inside the decoded list.
    pub(crate) fn filter(&self, key: &str) -> Filter {
        Filter(self.get(key).map(|list| {
            list.split(',')
                .take(LIST_MAX)
                .map(|item| item.replace("%2C", ",").replace("%2c", ","))
                .collect()
        }))
    }

    /// Does a comma list (`include`, `embed`) name this?
    pub(crate) fn names(&self, key: &str, item: &str) -> bool {
        let list = self.filter(key);
        list.values().iter().any(|one| one == item)
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, ApiError> {
        match self.get(key) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(ApiError::bad_query(format!("{key} must be true or false"))),
        }
    }

    /// The filters that every list has: times and labels.
    pub(super) fn meta_filter(&self) -> Result<MetaFilter, ApiError> {
        let selector = self.get("label_selector").map(Selector::parse).transpose();
        let selector = selector.map_err(ApiError::bad_query)?;
        let mut times = Vec::new();
        for (key, value) in &self.pairs {
            let (field, relation) = match key.split_once('[') {
                Some((field, rest)) => (field, rest.trim_end_matches(']')),
                None => (key.as_str(), ""),
            };
            let field = match field {
                "created_ats" => TimeField::Created,
                "updated_ats" => TimeField::Updated,
                _ => continue,
            };
            times.push((field, relation.parse()?, parse_times(key, value)?));
        }
        Ok(MetaFilter { selector, times })
    }
}

fn parse_times(key: &str, list: &str) -> Result<Vec<i64>, ApiError> {
    let parse = |text: &str| {
        let at = text.parse::<Timestamp>();
        at.map(Timestamp::as_second).map_err(|_| {
            ApiError::bad_query(format!(
                "{key} must be timestamps such as 2026-01-31T12:00:00Z"
            ))
        })
    };
    list.split(',').map(parse).collect()
}

#[derive(Debug, Clone, Copy)]
enum TimeField {
    Created,
    Updated,
}

#[derive(Debug, Clone, Copy)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl std::str::FromStr for Relation {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        Ok(match text {
            "" => Self::Equal,
            "lt" => Self::Less,
            "lte" => Self::LessOrEqual,
            "gt" => Self::Greater,
            "gte" => Self::GreaterOrEqual,
            _ => return Err(ApiError::bad_query("use one of lt, lte, gt, gte")),
        })
    }
}

/// What a list asks of every record, whatever its kind.
#[derive(Debug)]
pub(super) struct MetaFilter {
    selector: Option<Selector>,
    times: Vec<(TimeField, Relation, Vec<i64>)>,
}

impl MetaFilter {
    pub(super) fn admits(&self, meta: &Meta) -> bool {
        let labels = self.selector.as_ref();
        labels.is_none_or(|selector| selector.admits(&meta.labels))
            && self.times.iter().all(|(field, relation, wanted)| {
                let at = match field {
                    TimeField::Created => meta.created_at.as_second(),
                    TimeField::Updated => meta.updated_at.as_second(),
                };
                wanted.iter().any(|wanted| match relation {
                    Relation::Equal => at == *wanted,
                    Relation::Less => at < *wanted,
                    Relation::LessOrEqual => at <= *wanted,
                    Relation::Greater => at > *wanted,
                    Relation::GreaterOrEqual => at >= *wanted,
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query {
            path: "/v3/apps".to_owned(),
            pairs: form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        }
    }

    #[test]
    fn a_comma_inside_a_name_travels_encoded_twice() {
        let names = query("names=a%252Cb,c").filter("names");
        assert!(names.admits("a,b") && names.admits("c"));
        assert!(!names.admits("a") && !names.admits("b"));
    }

    #[test]
    fn an_absent_filter_admits_all_and_an_empty_one_only_the_empty_value() {
        assert!(query("").filter("hosts").admits("www"));
        let empty = query("hosts=&paths=").filter("hosts");
        assert!(empty.admits("") && !empty.admits("www"));
    }

    #[test]
    fn times_and_labels_filter_and_nonsense_is_refused() {
        let mut meta = Meta::new("2026-05-01T00:00:00.5Z".parse().expect("time"));
        meta.labels.insert("env".into(), "prod".into());
        for (text, admits) in [
            ("created_ats=2026-05-01T00:00:00Z", true),
            ("created_ats[gt]=2026-05-01T00:00:00Z", false),
            (
                "created_ats[gte]=2026-05-01T00:00:00Z&label_selector=env%3Dprod",
                true,
            ),
            ("label_selector=env!%3Dprod", false),
        ] {
            let filter = query(text).meta_filter().expect("parses");
            assert_eq!(filter.admits(&meta), admits, "{text}");
        }
        for wrong in [
            "created_ats=yesterday",
            "updated_ats[near]=2026-05-01T00:00:00Z",
            "label_selector=a in",
        ] {
            assert!(query(wrong).meta_filter().is_err(), "{wrong}");
        }
    }
}
