//! Which attributes a manifest may have, and what each holds. One table a level.

use std::path::PathBuf;

use cfx_protocol::quantity;
use serde_yaml::{Mapping, Value};

use super::error::Fault;
use super::node::{Kind, Node};
use super::suggest::nearest;
use super::{APPS_MAX, AppManifest, scalar, yaml};

/// What an attribute holds.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    /// Text, or nothing to reset it.
    Command,
    /// `256M`.
    Amount,
    /// An amount, or -1 for unlimited.
    Rate,
    Count {
        least: u64,
    },
    Flag,
    OneOf(&'static [&'static str]),
    /// Values that become text.
    Environment,
    Flags,
    Texts,
    Map(&'static [Attribute]),
    Maps(&'static [Attribute]),
    Services,
    /// Handed on as it is.
    Anything,
}

type Attribute = (&'static str, Holds);

const CHECKS: &[&str] = &["port", "http", "process", "none"];

/// Attributes of an app and of a process alike.
macro_rules! process_attributes {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            ("command", Holds::Command),
            ("disk-quota", Holds::Amount),
            ("disk_quota", Holds::Amount),
            ("health-check-http-endpoint", Holds::Text),
            ("health-check-interval", Holds::Count { least: 1 }),
            ("health-check-invocation-timeout", Holds::Count { least: 1 }),
            ("health-check-type", Holds::OneOf(CHECKS)),
            ("instances", Holds::Count { least: 0 }),
            ("log-rate-limit-per-second", Holds::Rate),
            ("memory", Holds::Amount),
            ("readiness-health-check-http-endpoint", Holds::Text),
            ("readiness-health-check-interval", Holds::Count { least: 1 }),
            ("readiness-health-check-invocation-timeout", Holds::Count { least: 1 }),
            ("readiness-health-check-type", Holds::OneOf(CHECKS)),
            ("timeout", Holds::Count { least: 1 }),
        ]
    };
}

const PROCESS: &[Attribute] = process_attributes![("type", Holds::Text)];

const DOCKER: &[Attribute] = &[("image", Holds::Text), ("username", Holds::Text)];

const ROUTE: &[Attribute] = &[
    ("route", Holds::Text),
    ("protocol", Holds::OneOf(&["http1", "http2", "tcp"])),
    ("options", Holds::Anything),
];

const SIDECAR: &[Attribute] = &[
    ("name", Holds::Text),
    ("command", Holds::Text),
    ("memory", Holds::Amount),
    ("process_types", Holds::Texts),
];

const METADATA: &[Attribute] = &[
    ("labels", Holds::Anything),
    ("annotations", Holds::Anything),
];

const SERVICE: &[Attribute] = &[
    ("name", Holds::Text),
    ("binding_name", Holds::Text),
    ("parameters", Holds::Anything),
];

const APPLICATION: &[Attribute] = process_attributes![
    ("name", Holds::Text),
    ("buildpack", Holds::Command),
    ("buildpacks", Holds::Texts),
    ("default-route", Holds::Flag),
    ("docker", Holds::Map(DOCKER)),
    ("env", Holds::Environment),
    ("features", Holds::Flags),
    ("lifecycle", Holds::OneOf(&["buildpack", "docker"])),
    ("metadata", Holds::Map(METADATA)),
    ("no-route", Holds::Flag),
    ("path", Holds::Text),
    ("processes", Holds::Maps(PROCESS)),
    ("random-route", Holds::Flag),
    ("routes", Holds::Maps(ROUTE)),
    ("services", Holds::Services),
    ("sidecars", Holds::Maps(SIDECAR)),
    ("stack", Holds::Text),
];

/// Gone from Cloud Foundry, but alive in old manifests.
const RETIRED: &[&str] = &["domain", "domains", "host", "hosts", "no-hostname"];

/// The apps of a manifest.
pub(super) fn applications(tree: &Node) -> Result<Vec<AppManifest>, Fault> {
    let entries = tree.map().ok_or_else(|| {
        Fault::new(
            tree.line,
            format!("a manifest is a map, not {}", tree.noun()),
        )
        .next(yaml::EXAMPLE)
    })?;
    let mut applications = None;
    for (key, value) in entries {
        match key.text() {
            Some("applications") => applications = Some(value),
            Some("version") => {}
            // A place to keep anchors.
            _ if value.anchored => {}
            other => return Err(unknown(key.line, other, &["applications", "version"], "")),
        }
    }
    let node = applications
        .ok_or_else(|| Fault::new(tree.line, "it has no `applications`").next(yaml::EXAMPLE))?;
    let Kind::List(items) = &node.kind else {
        let message = format!("`applications` is a list, not {}", node.noun());
        return Err(Fault::new(node.line, message).next(yaml::EXAMPLE));
    };
    if items.is_empty() || items.len() > APPS_MAX {
        let message = format!(
            "a manifest has 1 to {APPS_MAX} applications, not {}",
            items.len()
        );
        return Err(Fault::new(node.line, message).next(yaml::EXAMPLE));
    }
    items.iter().map(application).collect()
}

fn application(node: &Node) -> Result<AppManifest, Fault> {
    let mut attributes = map(node, APPLICATION, "an application")?;
    let mut take = |key: &str| match attributes.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let name = take("name").unwrap_or_default();
    let path = take("path").map(PathBuf::from);
    if let Some(quota) = attributes.shift_remove("disk_quota") {
        if attributes.contains_key("disk-quota") {
            let message = "both `disk_quota` and `disk-quota` are given";
            return Err(Fault::new(node.line, message).next("keep disk-quota"));
        }
        attributes.insert("disk-quota".into(), quota);
    }
    if attributes.contains_key("docker") && attributes.contains_key("buildpacks") {
        let message = "both `docker` and `buildpacks` are given";
        return Err(Fault::new(node.line, message).next("keep one: an image needs no buildpack"));
    }
    Ok(AppManifest {
        name,
        path,
        attributes,
    })
}

fn map(node: &Node, allowed: &'static [Attribute], what: &str) -> Result<Mapping, Fault> {
    let entries = node
        .map()
        .ok_or_else(|| Fault::new(node.line, format!("{what} is a map, not {}", node.noun())))?;
    let mut filled = Mapping::new();
    for (key, item) in entries {
        let name = key.text().unwrap_or_default();
        let Some((_, holds)) = allowed.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = allowed.iter().map(|(known, _)| *known).collect();
            return Err(unknown(key.line, key.text(), &known, what));
        };
        filled.insert(Value::String(name.to_owned()), holds.read(name, item)?);
    }
    Ok(filled)
}

fn unknown(line: usize, key: Option<&str>, known: &[&str], what: &str) -> Fault {
    let Some(key) = key else {
        return Fault::new(line, "a key must be a single value");
    };
    if RETIRED.contains(&key) {
        return Fault::new(line, format!("`{key}` is not supported any more"))
            .next("use routes:  routes: [{route: HOST.DOMAIN}]");
    }
    let meant = match nearest(key, known) {
        Some(word) => format!("; did you mean `{word}`?"),
        None => String::new(),
    };
    let place = if what.is_empty() { "a manifest" } else { what };
    Fault::new(line, format!("{place} has no `{key}`{meant}"))
        .next(format!("allowed here: {}", known.join(", ")))
}

impl Holds {
    fn read(self, name: &str, node: &Node) -> Result<Value, Fault> {
        match self {
            Self::Text => text(name, node).map(Value::String),
            Self::Command if node.is_null() => Ok(Value::Null),
            Self::Command => text(name, node).map(Value::String),
            Self::Amount => amount(name, node),
            Self::Rate if matches!(node.text(), Some("-1" | "0")) => scalar_text(name, node),
            Self::Rate => match quantity::parse_bytes(&text(name, node)?) {
                Ok(_) => scalar_text(name, node),
                Err(error) => Err(wrong(
                    name,
                    node,
                    &error.to_string(),
                    "4K, or -1 for no limit",
                )),
            },
            Self::Count { least } => count(name, node, least),
            Self::Flag => match scalar::lenient_boolean(&text(name, node)?) {
                Some(flag) => Ok(Value::Bool(flag)),
                None => Err(wrong(name, node, "it is neither true nor false", "true")),
            },
            Self::OneOf(words) => {
                let given = text(name, node)?;
                if words.contains(&given.as_str()) {
                    return Ok(Value::String(given));
                }
                let expected = words.join(", ");
                Err(wrong(
                    name,
                    node,
                    &format!("`{given}` is none of {expected}"),
                    words[0],
                ))
            }
            Self::Environment => environment(node),
            Self::Flags => flags(name, node),
            Self::Texts => items(name, node, |item| text(name, item).map(Value::String)),
            Self::Map(allowed) => map(node, allowed, &format!("`{name}`")).map(Value::Mapping),
            Self::Maps(allowed) => items(name, node, |item| {
                map(item, allowed, &format!("an entry of `{name}`")).map(Value::Mapping)
            }),
            Self::Services => items(name, node, |item| match &item.kind {
                Kind::Map(_) => map(item, SERVICE, "an entry of `services`").map(Value::Mapping),
                _ => text(name, item).map(Value::String),
            }),
            Self::Anything => Ok(scalar::value(node)),
        }
    }
}

fn wrong(name: &str, node: &Node, why: &str, example: &str) -> Fault {
    Fault::new(node.line, format!("`{name}`: {why}"))
        .next(format!("for example `{name}: {example}`"))
}

fn text(name: &str, node: &Node) -> Result<String, Fault> {
    match node.text() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Fault::new(
            node.line,
            format!("`{name}` holds a single value, not {}", node.noun()),
        )),
    }
}

fn scalar_text(name: &str, node: &Node) -> Result<Value, Fault> {
    text(name, node).map(Value::String)
}

fn amount(name: &str, node: &Node) -> Result<Value, Fault> {
    let given = text(name, node)?;
    match quantity::parse_mebibytes(&given) {
        Ok(_) => Ok(Value::String(given)),
        Err(error) => Err(wrong(name, node, &error.to_string(), "256M")),
    }
}

fn count(name: &str, node: &Node, least: u64) -> Result<Value, Fault> {
    match text(name, node)?.parse::<u32>() {
        Ok(count) if u64::from(count) >= least => Ok(Value::Number(count.into())),
        _ => {
            let why = format!("it is not a whole number of at least {least}");
            Err(wrong(name, node, &why, &least.max(1).to_string()))
        }
    }
}

fn items(
    name: &str,
    node: &Node,
    read: impl Fn(&Node) -> Result<Value, Fault>,
) -> Result<Value, Fault> {
    let Kind::List(items) = &node.kind else {
        let message = format!("`{name}` is a list, not {}", node.noun());
        return Err(Fault::new(node.line, message).next("start each entry with `- `"));
    };
    let items: Vec<Value> = items.iter().map(read).collect::<Result<_, _>>()?;
    Ok(Value::Sequence(items))
}

/// Environment variables are text: `1.10` stays `1.10`, maps and lists become JSON.
fn environment(node: &Node) -> Result<Value, Fault> {
    let Some(entries) = node.map() else {
        let message = format!("`env` is a map, not {}", node.noun());
        return Err(Fault::new(node.line, message).next("write `env:` and `NAME: value` below it"));
    };
    let values = entries.iter().map(|(key, item)| {
        let value = match &item.kind {
            Kind::Scalar { .. } if item.is_null() => Value::Null,
            Kind::Scalar { text, .. } => Value::String(text.clone()),
            Kind::List(_) | Kind::Map(_) => Value::String(scalar::json(item)),
        };
        (Value::String(scalar::key_text(key)), value)
    });
    Ok(Value::Mapping(values.collect()))
}

fn flags(name: &str, node: &Node) -> Result<Value, Fault> {
    let Some(entries) = node.map() else {
        let message = format!("`{name}` is a map, not {}", node.noun());
        return Err(Fault::new(node.line, message));
    };
    let mut filled = Mapping::new();
    for (key, item) in entries {
        let key = scalar::key_text(key);
        let flag = Holds::Flag.read(&key, item)?;
        filled.insert(Value::String(key), flag);
    }
    Ok(Value::Mapping(filled))
}
