//! A manifest as it is typed: the keys that there are, and the looseness of YAML's scalars.

use std::collections::BTreeMap;

use cfx_protocol::v3::resource::{MetadataPatch, Number, present};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_yaml::Value;

use super::{WantedService, invalid, shortened};
use crate::actions::Refused;

/// Read a map of keys; what is wrong is told with the key it stands under.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, Refused> {
    let whole = match serde_yaml::from_value(value.clone()) {
        Ok(read) => return Ok(read),
        Err(error) => error.to_string(),
    };
    let Value::Mapping(entries) = value else {
        return Err(invalid(&whole));
    };
    for (key, value) in entries {
        let name = key.as_str().unwrap_or("?").to_owned();
        let alone = Value::Mapping([(key, value.clone())].into_iter().collect());
        if let Err(error) = serde_yaml::from_value::<T>(alone) {
            return Err(invalid(&format!("key '{}': {}", shortened(&name), error)));
        }
    }
    Err(invalid(&whole))
}

/// Text, or a number or truth value that was typed where text is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Bool(truth) => Ok(Self(truth.to_string())),
            _ => Err(serde::de::Error::custom("it must be text")),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RawApp {
    pub(crate) name: Option<Text>,
    pub(crate) lifecycle: Option<String>,
    pub(crate) docker: Option<RawDocker>,
    #[serde(default, deserialize_with = "present::deserialize")]
    pub(crate) buildpacks: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "present::deserialize")]
    pub(crate) buildpack: Option<Option<String>>,
    pub(crate) stack: Option<String>,
    pub(crate) env: Option<BTreeMap<String, Value>>,
    pub(crate) routes: Option<Vec<RawRoute>>,
    pub(crate) no_route: Option<bool>,
    pub(crate) random_route: Option<bool>,
    pub(crate) default_route: Option<bool>,
    pub(crate) services: Option<Vec<RawService>>,
    pub(crate) sidecars: Option<Vec<Value>>,
    pub(crate) processes: Option<Vec<RawProcess>>,
    pub(crate) metadata: Option<RawMetadata>,
    pub(crate) features: Option<BTreeMap<String, bool>>,
    #[serde(flatten)]
    pub(crate) process: RawSize,
}

/// What an app and each of its processes may say.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RawSize {
    #[serde(default, deserialize_with = "present::deserialize")]
    pub(crate) command: Option<Option<Text>>,
    pub(crate) instances: Option<Number>,
    pub(crate) memory: Option<Text>,
    #[serde(alias = "disk_quota")]
    pub(crate) disk_quota: Option<Text>,
    #[serde(rename = "log-rate-limit-per-second")]
    pub(crate) log_rate: Option<Text>,
    pub(crate) health_check_type: Option<String>,
    pub(crate) health_check_http_endpoint: Option<String>,
    pub(crate) health_check_invocation_timeout: Option<Number>,
    pub(crate) health_check_interval: Option<Number>,
    pub(crate) timeout: Option<Number>,
    pub(crate) readiness_health_check_type: Option<String>,
    pub(crate) readiness_health_check_http_endpoint: Option<String>,
    pub(crate) readiness_health_check_invocation_timeout: Option<Number>,
    pub(crate) readiness_health_check_interval: Option<Number>,
    /// Keys that nothing above knows.
    #[serde(flatten)]
    pub(crate) unknown: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RawProcess {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(flatten)]
    pub(crate) size: RawSize,
}

/// The password is not in a manifest: the CLI takes it from its environment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDocker {
    #[serde(rename = "image")]
    pub(crate) _image: Option<String>,
    #[serde(rename = "username")]
    pub(crate) _username: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRoute {
    pub(crate) route: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) options: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum RawService {
    Name(String),
    Whole {
        name: Option<String>,
        binding_name: Option<String>,
        parameters: Option<Value>,
    },
}

impl RawService {
    pub(super) fn wanted(&self) -> Result<WantedService, Refused> {
        match self {
            Self::Name(name) => Ok(WantedService {
                name: name.clone(),
                binding_name: None,
            }),
            Self::Whole {
                parameters: Some(_),
                ..
            } => Err(invalid(
                "Services: parameters are not supported for user-provided service instances",
            )),
            Self::Whole {
                name, binding_name, ..
            } => Ok(WantedService {
                name: name
                    .clone()
                    .ok_or_else(|| invalid("Services: each must have a name"))?,
                binding_name: binding_name.clone(),
            }),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawMetadata {
    #[serde(default)]
    labels: BTreeMap<String, Option<Text>>,
    #[serde(default)]
    annotations: BTreeMap<String, Option<Text>>,
}

impl RawMetadata {
    pub(super) fn patch(self) -> MetadataPatch {
        let texts = |map: BTreeMap<String, Option<Text>>| {
            let one = |(key, value): (String, Option<Text>)| (key, value.map(|text| text.0));
            map.into_iter().map(one).collect()
        };
        MetadataPatch {
            labels: texts(self.labels),
            annotations: texts(self.annotations),
        }
    }
}

/// A variable's value: scalars as text, structures as JSON, null removes.
pub(super) fn variable(name: &str, value: &Value) -> Result<Option<String>, Refused> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => serde_json::to_string(value)
            .map_err(|_| {
            invalid(&format!(
                "The environment variable '{}' has a value that cannot be written as JSON",
                shortened(name)
            ))
        })?,
    };
    if text.contains('\0') {
        return Err(invalid(&format!(
            "The environment variable '{}' cannot hold a null character",
            shortened(name)
        )));
    }
    Ok(Some(text))
}
