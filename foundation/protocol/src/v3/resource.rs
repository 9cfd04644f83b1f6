//! What all v3 resources are made of: links, metadata, relationships, lists; and the ways in which
//! their requests are looser than plain JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A link of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub href: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

pub type Links = BTreeMap<String, Link>;

impl Link {
    #[must_use]
    pub fn get(href: String) -> Self {
        Self { href, method: None }
    }

    #[must_use]
    pub fn post(href: String) -> Self {
        Self {
            href,
            method: Some("POST".to_owned()),
        }
    }
}

/// Labels and annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// A change of metadata: null removes a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataPatch {
    #[serde(default)]
    pub labels: BTreeMap<String, Option<String>>,
    #[serde(default)]
    pub annotations: BTreeMap<String, Option<String>>,
}

/// `{"guid": ...}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference<G> {
    pub guid: G,
}

/// A relationship to at most one resource. `data` is always an object or null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToOne<G> {
    pub data: Option<Reference<G>>,
}

impl<G> ToOne<G> {
    pub fn to(guid: G) -> Self {
        Self {
            data: Some(Reference { guid }),
        }
    }
}

/// A relationship to any number of resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToMany<G> {
    pub data: Vec<Reference<G>>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List<T> {
    pub pagination: Pagination,
    pub resources: Vec<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub included: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pagination {
    pub total_results: usize,
    pub total_pages: usize,
    pub first: Link,
    pub last: Link,
    pub next: Option<Link>,
    pub previous: Option<Link>,
}

/// For fields where null means something else than absence: absent is `None`, null `Some(None)`.
pub mod present {
    use serde::{Deserialize, Deserializer};

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Option::<T>::deserialize(deserializer).map(Some)
    }
}

/// A whole number that may come as text (`"256"`), as `cf curl` scripts send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Number(pub i64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Number, E> {
                i64::try_from(number)
                    .map(Number)
                    .map_err(|_| E::custom("the number is too large"))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                text.trim()
                    .parse()
                    .map(Number)
                    .map_err(|_| E::custom("it must be a whole number"))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Patch {
        #[serde(default, deserialize_with = "present::deserialize")]
        command: Option<Option<String>>,
        #[serde(default)]
        instances: Option<Number>,
    }

    #[test]
    fn absent_null_and_given_are_three_things_and_numbers_may_be_text() {
        let parse = |text: &str| serde_json::from_str::<Patch>(text).expect("parses");
        assert_eq!(parse("{}").command, None);
        assert_eq!(parse(r#"{"command":null}"#).command, Some(None));
        assert_eq!(
            parse(r#"{"command":"x"}"#).command,
            Some(Some("x".to_owned()))
        );
        for text in [r#"{"instances":3}"#, r#"{"instances":"3"}"#] {
            assert_eq!(parse(text).instances, Some(Number(3)));
        }
        for wrong in [
            r#"{"instances":"three"}"#,
            r#"{"instances":1.5}"#,
            r#"{"instances":[]}"#,
        ] {
            assert!(serde_json::from_str::<Patch>(wrong).is_err(), "{wrong}");
        }
    }
}
