//! What a plain scalar means where nothing says what it should be (`services[].parameters`).

use serde_yaml::{Number, Value};

use super::node::{Kind, Node};

/// A tree as YAML values.
pub(super) fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar { .. } if node.is_null() => Value::Null,
        Kind::Scalar { text, plain: true } => resolve(text),
        Kind::Scalar { text, plain: false } => Value::String(text.clone()),
        Kind::List(items) => Value::Sequence(items.iter().map(value).collect()),
        Kind::Map(entries) => Value::Mapping(
            entries
                .iter()
                .map(|(key, item)| (Value::String(key_text(key)), value(item)))
                .collect(),
        ),
    }
}

/// The same as JSON, for values that must be text (`env`).
pub(super) fn json(node: &Node) -> String {
    serde_json::to_string(&value(node)).unwrap_or_default()
}

pub(super) fn key_text(key: &Node) -> String {
    key.text().unwrap_or_default().to_owned()
}

/// A plain scalar by YAML's core rules.
fn resolve(text: &str) -> Value {
    if let Some(flag) = boolean(text) {
        return Value::Bool(flag);
    }
    if let Some(number) = integer(text) {
        return Value::Number(number);
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => Value::Number(Number::from(number)),
        _ => Value::String(text.to_owned()),
    }
}

/// `true` and `false` in the spellings of YAML's core rules.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// The older spellings, taken only where a boolean is expected.
pub(super) fn lenient_boolean(text: &str) -> Option<bool> {
    boolean(text).or_else(|| match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" => Some(true),
        "no" | "off" | "n" => Some(false),
        _ => None,
    })
}

fn integer(text: &str) -> Option<Number> {
    // A leading zero is part of a text, such as a telephone number.
    let digits = text.trim_start_matches(['-', '+']);
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    match text.parse::<i64>() {
        Ok(number) => Some(number.into()),
        Err(_) => text.parse::<u64>().ok().map(Number::from),
    }
}
